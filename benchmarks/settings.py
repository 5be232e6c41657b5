"""What several benchmarks read from their command lines: names of a list, and any setting of the compressor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

DRAFTLESS = frozenset({"bm25", "random", "head_tail"})
"""Scorers that read with no draft."""


def setting(given: str) -> tuple[str, Any]:
    """`NAME=VALUE`, the value as JSON or else plain text. Raises ValueError for anything else."""
    name, separator, value = given.partition("=")
    if not name or not separator:
        raise ValueError(f"--set {given}: must read NAME=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def named(option: str, names: str, allowed: Sequence[str]) -> tuple[str, ...]:
    """Names separated by commas, each once. Raises ValueError for one that is not among `allowed`."""
    wanted = tuple(dict.fromkeys(names.split(",")))
    unknown = [name for name in wanted if name not in allowed]
    if unknown:
        raise ValueError(f"--{option} {', '.join(unknown)}: known are {', '.join(allowed)}")
    return wanted
