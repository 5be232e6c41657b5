"""Which units are kept whatever their score: those that a rule of the user's, or the segment itself, protects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.errors import ScoringError
from specprefill_agents.prompt.units import Layout
from specprefill_agents.types import KeepRule, Segment, Span


def forced_units(segment: Segment, layout: Layout, rules: Sequence[KeepRule]) -> NDArray[np.bool_]:
    """Units (U,) that touch a protected span: a match of a pattern, a span that a function returns, or one of `segment.keep`.

    Raises `ScoringError` for a span that does not lie in the text.
    """
    forced = np.zeros(len(layout.units), dtype=np.bool_)
    starts = np.array([unit.start for unit in layout.units])
    for start, end in _protected(segment, rules):
        if not 0 <= start <= end <= len(segment.text):
            raise ScoringError(f"span ({start}, {end}) to keep does not lie in a text of {len(segment.text)} characters")
        if start < end:
            first, last = np.searchsorted(starts, (start, end - 1), side="right") - 1
            forced[first : last + 1] = True
    return forced


def _protected(segment: Segment, rules: Sequence[KeepRule]) -> Iterable[Span]:
    yield from segment.keep
    for rule in rules:
        if isinstance(rule, str):
            yield from (match.span() for match in re.finditer(rule, segment.text))
        else:
            yield from rule(segment)
