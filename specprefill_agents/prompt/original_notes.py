"""What a compressed text was before, noted on its message for a model on this machine, which can make more of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from specprefill_agents.types import CompressedSegment, Span

KEY = "specprefill_original"
"""Key of the note among a message's further arguments. Models that do not read originals are never shown one."""


@dataclass(frozen=True, slots=True)
class Original:
    """A whole text and the `spans` of it that are kept; None where the message also shows what the text does not hold."""

    text: str
    spans: tuple[Span, ...] | None


def reads_originals(model: object) -> bool:
    """Whether a model, which may have arguments bound to it, wants to know them: by its attribute `reads_originals`."""
    return bool(getattr(getattr(model, "bound", model), "reads_originals", False))


def with_note(arguments: Mapping[str, Any], text: str, decided: CompressedSegment) -> dict[str, Any]:
    """A message's further arguments with its whole `text` and what was decided on it."""
    spans = None if decided.recalled else [list(span) for span in decided.spans]
    return {**arguments, KEY: {"text": text, "spans": spans}}


def original_in(arguments: Mapping[str, Any]) -> Original | None:
    """What is noted among a message's further arguments; None where nothing is."""
    note = arguments.get(KEY)
    if not note:
        return None
    spans = note["spans"]
    return Original(note["text"], None if spans is None else tuple((start, end) for start, end in spans))
