"""A decision as a row of plain JSON types, and back. Holds spans, counts and headings, no text of a segment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast, get_args

from specprefill_agents.observe.decisions import one_of, spans_from
from specprefill_agents.types import CompressedSegment, GapForm, MarkStyle, Outcome, Recalled, Repeat, Span


def pack(decided: CompressedSegment) -> list[Any]:
    """The row of a decision."""
    repeat = decided.repeat
    return [
        decided.outcome,
        decided.original_tokens,
        decided.kept_tokens,
        decided.reason,
        decided.marks,
        _spans_to(decided.spans),
        list(decided.forms),
        decided.original_id,
        [] if repeat is None else [repeat.source, repeat.label, list(repeat.gaps)],
        [[one.source, one.heading, _spans_to(one.spans)] for one in decided.recalled],
    ]


def unpack(row: Sequence[Any]) -> CompressedSegment:
    """The decision of a row, without its text. Raises TypeError or ValueError for a row that is none."""
    outcome, original, kept, reason, marks, spans, forms, original_id, repeat, recalled = row
    one_of(outcome, get_args(Outcome))
    one_of(marks, get_args(MarkStyle))
    for form in forms:
        one_of(form, get_args(GapForm))
    return CompressedSegment(
        text="",
        spans=spans_from(spans),
        outcome=cast(Outcome, outcome),
        original_tokens=int(original),
        kept_tokens=int(kept),
        reason=str(reason),
        marks=cast(MarkStyle, marks),
        forms=tuple(cast(GapForm, form) for form in forms),
        original_id=str(original_id),
        repeat=_repeat_from(repeat) if repeat else None,
        recalled=tuple(_recalled_from(part) for part in recalled),
    )


def _repeat_from(row: Sequence[Any]) -> Repeat:
    source, label, gaps = row
    return Repeat(str(source), str(label), tuple(int(gap) for gap in gaps))


def _recalled_from(row: Sequence[Any]) -> Recalled:
    source, heading, spans = row
    return Recalled(str(source), str(heading), spans_from(spans))


def _spans_to(spans: Sequence[Span]) -> list[list[int]]:
    return [list(span) for span in spans]
