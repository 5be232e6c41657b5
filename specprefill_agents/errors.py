"""The exception tree.

    SpecPrefillError
    ├── ConfigError          a setting is wrong; raised at construction (also a ValueError)
    ├── DraftError           the draft model cannot be found, loaded or used
    │   ├── UnknownDraftError    no such name and no such path
    │   └── DraftFetchError      the weights could not be obtained, or were not the pinned ones
    ├── ScoringError         a scorer failed or returned something unusable
    ├── NotKeptError         an original cannot be kept, so nothing may be left out of it
    └── TargetError          a local target cannot take the prompt it was given

A missing optional dependency is an ImportError whose text is the pip command that mends it.
"""

from __future__ import annotations


class SpecPrefillError(Exception):
    """Base of every error this library raises on purpose."""


class ConfigError(SpecPrefillError, ValueError):
    """A setting has a value outside its range. Names the field, the value and what is allowed."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(f"{field}={value!r} is not valid; allowed: {allowed}")
        self.field = field
        self.value = value
        self.allowed = allowed


class DraftError(SpecPrefillError):
    """The draft model cannot be found, loaded or used."""


class UnknownDraftError(DraftError):
    """A draft name is neither known, nor a local path, nor of the form of a hub name."""


class DraftFetchError(DraftError):
    """Draft weights could not be obtained, or are not the pinned ones."""


class ScoringError(SpecPrefillError):
    """A scorer failed or returned something unusable (wrong shape, non-finite)."""


class NotKeptError(SpecPrefillError):
    """No store could hold a text, so nothing may be left out of it."""


class TargetError(SpecPrefillError):
    """A local target cannot take a prompt: nothing in it, too long for the model, or refused by its chat template."""


def missing_extra(feature: str, extra: str) -> ImportError:
    """The ImportError for a feature whose optional dependencies are not installed."""
    return ImportError(f"{feature} needs optional packages. Install them with: pip install 'specprefill-agents[{extra}]'")
