"""Candidates of one call and what their units are worth -> what is sent of each. Pure, but for what it is handed.

Candidates with the same keep ratio share one budget.

Axes: U units of a candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.config import CompressionConfig
from specprefill_agents.prompt.aggregation import AGGREGATION_NOTE, asks_about_everything
from specprefill_agents.prompt.render import gap_marks
from specprefill_agents.prompt.units import Layout
from specprefill_agents.selection.adaptive import GREATEST_SHARE, adaptive_budget
from specprefill_agents.selection.fit import Count, Part, fit, unit_costs
from specprefill_agents.selection.forced import forced_units
from specprefill_agents.types import CompressedSegment, KeepRatio, MarkStyle, Segment, Span

BRIEF_BELOW_TOKENS = 100
"""With less budget than this for each candidate, gaps are marked as briefly as possible."""

TYPICAL_SHARE = 0.3
"""Of tokens that `auto` keeps, on average over the evaluation sets (README): what a call is expected to keep before it is scored."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A segment that may be cut: its position among the segments, its length in target tokens and its layout."""

    position: int
    segment: Segment
    tokens: int
    layout: Layout


@dataclass(frozen=True, slots=True)
class Choice:
    """What is sent of each candidate, and what a caller should know of it."""

    segments: tuple[CompressedSegment, ...]
    note: str | None

    @property
    def kept(self) -> list[tuple[Span, ...]]:
        """The kept spans of each candidate."""
        return [segment.spans for segment in self.segments]


@dataclass(frozen=True, slots=True)
class _Group:
    """Candidates with one keep ratio: their `places` in the call, what their units are worth and cost, and the `budget` in
    target tokens that they share; None where they had better pass whole."""

    places: list[int]
    found: list[Candidate]
    values: list[NDArray[np.float64]]
    costs: list[NDArray[np.int64]]
    budget: int | None

    @property
    def tokens(self) -> int:
        """Target tokens of all candidates."""
        return sum(one.tokens for one in self.found)

    def within(self, share: float) -> _Group:
        """The group with a `share` of its budget."""
        return replace(self, budget=int(share * (self.tokens if self.budget is None else self.budget)))


class Chooser:
    """Chooses under `config`. `count` counts target tokens, `id_of` gives the id that a mark names for a whole text ("" for none)."""

    def __init__(self, config: CompressionConfig, count: Count, id_of: Callable[[str], str]) -> None:
        self._config = config
        self._count = count
        self._id_of = id_of

    def expected_tokens(self, found: Sequence[Candidate]) -> int:
        """About what candidates keep, before anything is known of them."""
        ratios = [self._keep_ratio(one.segment) for one in found]
        return int(sum(one.tokens * (TYPICAL_SHARE if ratio == "auto" else ratio) for one, ratio in zip(found, ratios, strict=True)))

    def choose(self, found: Sequence[Candidate], values: Sequence[NDArray[np.float64]], query: str, room: int | None = None) -> Choice:
        """What is sent of each candidate, whose units are worth `values` (U,); at most `room` target tokens of all."""
        done: dict[int, CompressedSegment] = {}
        notes = [AGGREGATION_NOTE] if asks_about_everything(query) else []
        groups = self._groups(found, values, query)
        wanted = sum(group.tokens if group.budget is None else group.budget for group in groups)
        if room is not None and wanted > room:
            notes.append(f"cut to the {max(0, room)} tokens that there is room for, from {wanted}")
            groups = [group.within(max(0, room) / wanted) for group in groups]
        for group in groups:
            segments, note = self._fitted(group)
            done.update(zip(group.places, segments, strict=True))
            notes += [note] if note else []
        scored = tuple(replace(done[index], score=float(own.max(initial=0.0))) for index, own in enumerate(values))
        return Choice(scored, "; ".join(notes) or None)

    def _groups(self, found: Sequence[Candidate], values: Sequence[NDArray[np.float64]], query: str) -> list[_Group]:
        """The candidates by their keep ratio."""
        ratios = [self._keep_ratio(one.segment) for one in found]
        groups: list[_Group] = []
        for ratio in dict.fromkeys(ratios):
            places = [index for index, own in enumerate(ratios) if own == ratio]
            members, worth = [found[i] for i in places], [values[i] for i in places]
            costs = [unit_costs(one.segment.text, one.layout, self._count) for one in members]
            groups.append(_Group(places, members, worth, costs, self._budget(members, worth, costs, ratio, query)))
        return groups

    def _fitted(self, group: _Group) -> tuple[list[CompressedSegment], str]:
        """What is sent of candidates that share one budget, and what a caller should know of it."""
        found, budget = group.found, group.budget
        if budget is None:
            return [sent_whole(one.segment, one.tokens, "auto: no part stands out enough") for one in found], ""
        style: MarkStyle = "brief" if budget < BRIEF_BELOW_TOKENS * len(found) else "full"
        parts = [self._part(one, cost, style) for one, cost in zip(found, group.costs, strict=True)]
        fitted, held = fit(parts, group.values, budget, self._count)
        return fitted, f"what must be kept has {held} tokens, more than the budget of {budget}" if held > budget else ""

    def _keep_ratio(self, segment: Segment) -> KeepRatio:
        return self._config.keep_ratio_of(segment.name if segment.kind == "tool_result" else None)

    def _budget(
        self,
        found: Sequence[Candidate],
        values: Sequence[NDArray[np.float64]],
        costs: Sequence[NDArray[np.int64]],
        ratio: KeepRatio,
        query: str,
    ) -> int | None:
        """What the candidates may keep together, in target tokens; None where they had better pass whole."""
        total = sum(one.tokens for one in found)
        if ratio != "auto":
            return int(total * ratio)
        if asks_about_everything(query):
            return int(total * GREATEST_SHARE)
        return adaptive_budget(values, costs, [one.layout.kind for one in found], [one.tokens for one in found])

    def _part(self, one: Candidate, costs: NDArray[np.int64], style: MarkStyle) -> Part:
        text = one.segment.text
        original_id = self._id_of(text) if style == "full" else ""
        marks = gap_marks(self._config, one.segment.kind, style, original_id)
        forced = forced_units(one.segment, one.layout, self._config.force_keep)
        return Part(text, one.tokens, one.layout, costs, forced, style, marks, original_id)


def sent_whole(segment: Segment, tokens: int, reason: str, outcome: str = "") -> CompressedSegment:
    """A segment of so many tokens as it is, for a `reason`; `protected` unless its `outcome` is `passthrough`."""
    spans = ((0, len(segment.text)),) if segment.text else ()
    return CompressedSegment(segment.text, spans, "protected" if outcome != "passthrough" else "passthrough", tokens, tokens, reason)
