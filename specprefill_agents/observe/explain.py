"""Explanation: what a compressor decided about one text, unit by unit, and the numbers it decided by. Pure data, no view.

Axes: U units of the text, S scorers, T tokens of a scorer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from specprefill_agents.accounting.tokens import TokenCounter
from specprefill_agents.config import CompressionConfig
from specprefill_agents.prompt.render import gap_marks
from specprefill_agents.prompt.titles import title_of
from specprefill_agents.prompt.units import Layout, Limits, layout_of
from specprefill_agents.scoring.base import Scorer, check_scores, score_titled
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.selection.budget import Candidate
from specprefill_agents.selection.fit import Part, candidate_of, unit_costs
from specprefill_agents.selection.forced import forced_units
from specprefill_agents.selection.units import priorities
from specprefill_agents.types import CompressedSegment, CompressionResult, MarkStyle, Outcome, Segment, Span

TOP_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Heat levels as shares of the text's tokens: a unit in the top 1 % has the highest level, below the top half it has 0."""

NO_QUESTION = "none: what matters in general"
"""What views show where the question is empty."""


class Compresses(Protocol):
    """What an explanation needs of a `Compressor`."""

    @property
    def config(self) -> CompressionConfig:
        """What it was told to do."""
        ...

    @property
    def counter(self) -> TokenCounter:
        """What counts target tokens."""
        ...

    def compress(self, segments: Sequence[Segment], query: str) -> CompressionResult:
        """As `Compressor.compress`."""
        ...


@dataclass(frozen=True, slots=True)
class Decided:
    """Stands for the compressor that made a decision: `compress` decides nothing anew, it says what was decided."""

    config: CompressionConfig
    counter: TokenCounter
    decision: CompressedSegment

    def compress(self, _: Sequence[Segment], query: str) -> CompressionResult:
        """The decision."""
        return CompressionResult((self.decision,))


@dataclass(frozen=True, slots=True)
class ExplainedUnit:
    """One unit [start, end) of the text: its size, its place, what it drags along, its scores (S) and what became of it.

    `tokens` are target tokens of the unit alone; `needs` are indices of units that must be kept with it; `forced` means
    that a `force_keep` pattern matches in it.
    """

    start: int
    end: int
    tokens: int
    block: int
    needs: tuple[int, ...]
    scores: tuple[float, ...]
    kept: bool
    forced: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision on one text, with all that shows how it came about. The first of `scorers` is the one that decided.

    In target tokens, `empty_cost` is what the text costs with nothing kept, `gap_cost` one gap mark between kept units,
    and `note_cost` what is added to the first one. `reason` says why the text passed unchanged ("" where it was
    compressed), `fallback` what replaced the configured scorer, or None. `tokenizer` names what counted the tokens.
    """

    text: str
    query: str
    title: str
    scorers: tuple[str, ...]
    units: tuple[ExplainedUnit, ...]
    keep_ratio: float
    original_tokens: int
    kept_tokens: int
    empty_cost: int
    gap_cost: int
    note_cost: int
    marks: MarkStyle
    outcome: Outcome
    reason: str
    fallback: str | None
    tokenizer: str

    @property
    def budget_tokens(self) -> int:
        """Target tokens that may be kept, gap marks included."""
        return int(self.original_tokens * self.keep_ratio)

    @property
    def kept_units(self) -> int:
        """How many units are kept."""
        return sum(unit.kept for unit in self.units)

    def heat(self, scorer: int = 0) -> list[int]:
        """Heat level (U) of each unit by one of the scorers, from 0 to `len(TOP_SHARES)`; see `heat_levels`."""
        return heat_levels([unit.scores[scorer] for unit in self.units], [unit.tokens for unit in self.units])


def explain(compressor: Compresses, segment: Segment, query: str, scorers: Mapping[str, Scorer], title: str = "") -> Explanation:
    """Compress `segment` for `query`, and show what each of the named `scorers` makes of it.

    `title` is what the explanation calls the text, when not by its name. The first scorer must be the one that
    `compressor` decides with; where the text is too long for it and BM25 decided, only BM25 is shown. Raises
    `ScoringError` when a scorer returns something unusable.
    """
    result = compressor.compress([segment], query)
    (decided,) = result.segments
    fallback = result.usage.fallback_reason
    shown = {"bm25": LexicalScorer(Limits(*compressor.config.unit_chars))} if fallback else scorers
    layout = layout_of(segment.text, Limits(*compressor.config.unit_chars))
    columns = [_scores(scorer, segment, query, layout, compressor.config) for scorer in shown.values()]
    chosen_by = _candidate(compressor, segment, decided, layout)
    kept = _covered(layout, decided.spans)
    units = tuple(
        ExplainedUnit(unit.start, unit.end, cost, block, needs, tuple(column[i] for column in columns), kept[i], forced)
        for i, (unit, cost, block, needs, forced) in enumerate(
            zip(layout.units, chosen_by.costs.tolist(), layout.blocks, layout.needs, chosen_by.forced.tolist(), strict=True)
        )
    )
    return Explanation(
        text=segment.text,
        query=query,
        title=title or segment.name or segment.kind.replace("_", " "),
        scorers=tuple(shown),
        units=units,
        keep_ratio=_ratio(compressor.config, decided),
        original_tokens=decided.original_tokens,
        kept_tokens=decided.kept_tokens,
        empty_cost=chosen_by.empty_cost,
        gap_cost=chosen_by.gap_cost,
        note_cost=chosen_by.note_cost,
        marks=decided.marks,
        outcome=decided.outcome,
        reason=decided.reason,
        fallback=fallback,
        tokenizer=compressor.counter.name,
    )


def _ratio(config: CompressionConfig, decided: CompressedSegment) -> float:
    """The share of tokens that was asked for; where that was left to the library, the share that was kept."""
    return config.keep_ratio if config.keep_ratio != "auto" else decided.kept_tokens / max(decided.original_tokens, 1)


def _candidate(compressor: Compresses, segment: Segment, decided: CompressedSegment, layout: Layout) -> Candidate:
    """The numbers besides scores that the compressor's selection worked with."""
    text, config, count = segment.text, compressor.config, compressor.counter.count
    marks = gap_marks(config, segment.kind, decided.marks, decided.original_id)
    forced = forced_units(segment, layout, config.force_keep)
    costs = unit_costs(text, layout, count)
    part = Part(text, decided.original_tokens, layout, costs, forced, decided.marks, marks, decided.original_id)
    return candidate_of(part, np.zeros(len(layout.units)), count)


def _scores(scorer: Scorer, segment: Segment, query: str, layout: Layout, config: CompressionConfig) -> list[float]:
    """One scorer's score (U) of each unit, as selection ranks them."""
    if not segment.text:
        return []
    scores = score_titled(scorer, [segment.text], query, [title_of(segment)])
    check_scores([segment.text], scores)
    values: list[float] = priorities([segment.text], [layout], scores, query, config.neighbour_bonus)[0].tolist()
    return values


def _covered(layout: Layout, spans: Sequence[Span]) -> list[bool]:
    """Which units (U) lie in one of the sorted, disjoint `spans`."""
    starts = [start for start, _ in spans]
    at = np.searchsorted(starts, [unit.start for unit in layout.units], side="right") - 1 if spans else [-1] * len(layout.units)
    return [bool(i >= 0 and unit.end <= spans[i][1]) for unit, i in zip(layout.units, at, strict=True)]


def heat_levels(scores: Sequence[float], tokens: Sequence[int]) -> list[int]:
    """Heat of each unit (U): how small a share of all tokens, the best units first, it is among; see `TOP_SHARES`.

    Read by rank because selection goes by rank, so levels of different scorers compare. Equal scores have equal levels,
    the best unit has the highest one, and a score of zero or less has level 0.
    """
    total = max(sum(tokens), 1)
    levels = [0] * len(scores)
    before = pending = 0  # tokens of better units; tokens of units as good as the one before
    last: float | None = None
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if scores[i] <= 0:
            break
        if scores[i] != last:
            before, pending, last = before + pending, 0, scores[i]
        pending += tokens[i]
        levels[i] = sum(before < share * total for share in TOP_SHARES)
    return levels


_INVISIBLE = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n\r"},  # as its picture: ESC as ␛
    0x7F: 0x2421,
    **dict.fromkeys([*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)], 0xFFFD),
}


def visible(text: str) -> str:
    """`text` for showing: control characters, bidirectional overrides and lone surrogates as visible signs, same length.

    What is left can neither steer a terminal nor reorder the text around it.
    """
    return text.translate(_INVISIBLE)
