"""Units and their priorities -> what is sent of each text of a call: the best choice that fits the budget as it reads.

Costs of units are estimates (a tokenizer may join across their borders, a mark names line numbers), so what counts is the
rendered text. Pure: `count` counts target tokens, and holds no state that shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.prompt.render import GapMarks, merge_spans, render
from specprefill_agents.prompt.units import Layout
from specprefill_agents.selection.budget import Candidate, select
from specprefill_agents.types import CompressedSegment, GapForm, MarkStyle, Span

FILL_ROUNDS = 3
"""How often the selection is repeated with what the cost estimates left unspent, until less than 1 % is."""

Count = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Part:
    """A text that is to be cut: its length in target tokens, how it may be cut, what its units (U) cost, which of them
    are forced, and how its gaps read."""

    text: str
    tokens: int
    layout: Layout
    costs: NDArray[np.int64]
    forced: NDArray[np.bool_]
    style: MarkStyle
    marks: GapMarks
    original_id: str

    def rendered(self, kept: NDArray[np.bool_], count: Count) -> CompressedSegment:
        """The segment as it would be sent; the original itself where marks would make it no shorter."""
        spans, forms = kept_spans(self.layout, kept), gap_forms(self.layout, kept)
        text = render(self.text, spans, self.marks, forms)
        tokens = count(text)
        if tokens >= self.tokens:
            return CompressedSegment(self.text, ((0, len(self.text)),), "passthrough", self.tokens, self.tokens, "nothing gained")
        return CompressedSegment(
            text, spans, "compressed", self.tokens, tokens, marks=self.style, forms=forms, original_id=self.original_id
        )


def kept_spans(layout: Layout, kept: NDArray[np.bool_]) -> tuple[Span, ...]:
    """The characters of the units (U,) that are kept."""
    units = layout.units
    return merge_spans([(units[i].start, units[i].end) for i in np.flatnonzero(kept)])


def gap_starts(kept: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The first unit of each gap between kept units (U,), in order."""
    return np.flatnonzero(~kept & np.concatenate([[True], kept[:-1]]))


def gap_forms(layout: Layout, kept: NDArray[np.bool_]) -> tuple[GapForm, ...]:
    """The form of each gap: that of its first unit; () when all are plain."""
    forms = tuple(layout.gaps[i] for i in gap_starts(kept))
    return () if set(forms) <= {"plain"} else forms


def unit_costs(text: str, layout: Layout, count: Count) -> NDArray[np.int64]:
    """Target tokens of each unit (U,) alone."""
    return np.array([count(text[unit.start : unit.end]) for unit in layout.units], dtype=np.int64)


def candidate_of(part: Part, priorities: NDArray[np.float64], count: Count) -> Candidate:
    """The numbers by which units (U) of `part` are chosen."""
    nothing = np.zeros(len(part.layout.units), np.bool_)
    note = count(part.marks.note)
    return Candidate(
        scores=priorities,
        costs=part.costs,
        forced=part.forced,
        empty_cost=max(0, count(render(part.text, (), part.marks, gap_forms(part.layout, nothing))) - note),
        gap_cost=count(part.marks.words(999, 1, is_first=False) + "\n"),
        needs=part.layout.needs,
        note_cost=note,
    )


def fit(parts: Sequence[Part], priorities: Sequence[NDArray[np.float64]], budget: int, count: Count) -> tuple[list[CompressedSegment], int]:
    """What is sent of each part, at most `budget` target tokens in all, and the budget that held.

    That is `budget`, or what is sent where the forced units alone come to more. A budget in which not even the marks fit
    leaves nothing but "".
    """
    candidates = [candidate_of(part, values, count) for part, values in zip(parts, priorities, strict=True)]

    def rendered(target: int) -> list[CompressedSegment]:
        return [part.rendered(kept, count) for part, kept in zip(parts, select(candidates, target), strict=True)]

    given = budget
    least = [CompressedSegment("", (), "compressed", part.tokens, 0, marks="none") for part in parts]
    if any(part.forced.any() for part in parts):
        least = rendered(0)
        budget = max(budget, _total(least))
    best: list[CompressedSegment] | None = None
    target = budget
    for _ in range(FILL_ROUNDS):
        done = rendered(target)
        spare = budget - _total(done)
        if spare >= 0:
            best = done
        if 0 <= spare * 100 <= budget or (spare < 0 and best):
            break
        target += spare
    while best is None and target > 0:
        target = min(target - 1, int(0.97 * target))
        done = rendered(target)
        if _total(done) <= budget:
            best = done
    return best or least, max(given, _total(best or least))


def _total(segments: Sequence[CompressedSegment]) -> int:
    return sum(segment.kept_tokens for segment in segments)
