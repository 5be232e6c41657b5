"""Append-only recall: what was left out of earlier outputs and is needed now is added to the newest one.

Nothing that was sent changes. The new question is asked of all earlier texts that have gaps, together with the new ones,
so that an earlier passage must stand up to what the question finds elsewhere; what their keys said of other questions is
in the score cache, so this costs no second reading by the draft.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.compressor import Compressor
from specprefill_agents.errors import SpecPrefillError
from specprefill_agents.prompt.decided import recalled_text
from specprefill_agents.prompt.render import merge_spans
from specprefill_agents.prompt.units import Layout
from specprefill_agents.session.masks import mask_of, units_without
from specprefill_agents.session.view import Shown, View
from specprefill_agents.types import CompressedSegment, Recalled, Segment

LEAST_PRIORITY = 0.3
"""Of a unit that is brought back, where the best unit of earlier and new texts together has about 1. Questions put to an
output that was cut for another one (benchmarks.recall) lose evidence above this, and questions that need nothing of it
bring more and more back below."""
CHARS_PER_TOKEN = 4
"""About: what is brought back must be among the best of the whole conversation that fill its budget. Without that, agent loops,
whose questions all name the same task, bring a little more back at every step (`make demo`: 35 % of the tokens, not 30 %)."""
MOST_UNITS = 48
"""Tried at most, the best first: far more than fit."""
_KINDS = frozenset({"tool_result", "document"})


@dataclass(frozen=True, slots=True)
class _Omitted:
    """A unit that was left out: which of the sources it stands in, which unit of its layout it is, and its priority."""

    source: int
    unit: int
    priority: float


class Recall:
    """What one turn brings back: decided once, for the last of its `new` segments (of `new_tokens` together) that can carry it."""

    def __init__(self, compressor: Compressor, new: Sequence[Segment], new_tokens: int, query: str) -> None:
        self.scorer_ms = 0.0
        self._compressor = compressor
        self._new = tuple(new)
        self._new_tokens = new_tokens
        self._query = query
        able = [segment for segment in new if self._can_carry(segment)] if compressor.config.recall_tokens and not compressor.is_off else []
        self._carrier = able[-1] if able else None

    def _can_carry(self, segment: Segment) -> bool:
        config = self._compressor.config
        tool = segment.name if segment.kind == "tool_result" else None
        return segment.kind in _KINDS and tool not in config.exclude_tools and config.keep_ratio_of(tool) != 1

    def is_carried_by(self, segment: Segment, decided: CompressedSegment) -> bool:
        """Whether `segment`, of which `decided` is sent, is the one to add to; not where nothing is sent."""
        return segment is self._carrier and decided.text != ""

    def added_to(self, decided: CompressedSegment, view: View) -> CompressedSegment:
        """`decided` with what the question needs of the segments in `view`; as it is where that is nothing, or cannot be told."""
        sources = self._sources(view)
        if not sources:
            return decided
        started = time.perf_counter()
        try:
            tokens = self._new_tokens + sum(shown.decided.original_tokens for shown in sources)
            ranked = self._compressor.rank([*(shown.segment for shown in sources), *self._new], self._query, tokens)
        except SpecPrefillError as error:
            if self._compressor.config.on_error == "raise":
                raise
            self._compressor.audit.record("recall", {"fallback_reason": str(error)})
            return decided
        finally:
            self.scorer_ms = 1000 * (time.perf_counter() - started)
        recalled = self._chosen(sources, ranked, view)
        if not recalled:
            return decided
        tail = recalled_text(replace(decided, recalled=recalled), view.text_of([part.source for part in recalled]))
        text = decided.text + tail
        return replace(decided, text=text, kept_tokens=self._compressor.counter.count(text), recalled=recalled)

    def _sources(self, view: View) -> list[Shown]:
        """Earlier segments with gaps, the newest first, as many as may be scored in one call."""
        left = self._compressor.config.max_scored_tokens - self._new_tokens
        new = {id(segment) for segment in self._new}
        found: dict[str, Shown] = {}
        for shown in reversed(view.shown):
            has_gaps = shown.decided.outcome == "compressed" and shown.decided.repeat is None
            if has_gaps and id(shown.segment) not in new and shown.name not in found:
                left -= shown.decided.original_tokens
                if left < 0:
                    break
                found[shown.name] = shown
        return list(found.values())

    def _chosen(self, sources: Sequence[Shown], ranked: Sequence[NDArray[np.float64]], view: View) -> tuple[Recalled, ...]:
        """The best units that were left out and fit, by source in the order of the conversation."""
        layouts = [self._compressor.layout(shown.segment.text) for shown in sources]
        hidden = [
            units_without(mask_of(len(shown.segment.text), view.visible(shown)), layout)
            for layout, shown in zip(layouts, sources, strict=True)
        ]
        least = max(LEAST_PRIORITY, self._least_of_best(layouts, ranked))
        wanted = [
            _Omitted(source, int(unit), float(values[unit]))
            for source, (shown, layout, values, mask) in enumerate(zip(sources, layouts, ranked, hidden, strict=False))
            for unit in np.flatnonzero(mask & (values >= least) & _kept_now(layout, values, shown))
        ]
        chosen: list[Recalled] = []
        kept: dict[int, set[int]] = {}
        said: set[str] = set()
        for one in sorted(wanted, key=lambda one: (-one.priority, one.source, one.unit))[:MOST_UNITS]:
            layout, shown = layouts[one.source], sources[one.source]
            words = shown.segment.text[layout.units[one.unit].start : layout.units[one.unit].end].strip()
            if not words or words in said:
                continue
            more = {unit for unit in layout.with_needs(one.unit) if hidden[one.source][unit]}
            trial = {**kept, one.source: kept.get(one.source, set()) | more}
            recalled = tuple(_recalled(self._compressor, sources[s], layouts[s], trial[s], view) for s in sorted(trial, reverse=True))
            if self._tokens(recalled, view) <= self._compressor.config.recall_tokens:
                kept, chosen = trial, list(recalled)
                said.add(words)
        return tuple(chosen)

    def _least_of_best(self, layouts: Sequence[Layout], ranked: Sequence[NDArray[np.float64]]) -> float:
        """The priority of the last unit, of earlier and new texts together, that fits into what may be brought back."""
        every = [*layouts, *(self._compressor.layout(segment.text) for segment in self._new)]
        sizes = np.concatenate([np.array([unit.end - unit.start for unit in layout.units], np.int64) for layout in every])
        values = np.concatenate(ranked)
        order = np.argsort(-values, kind="stable")
        room = CHARS_PER_TOKEN * self._compressor.config.recall_tokens
        fitting = int(np.searchsorted(np.cumsum(sizes[order]), room, side="right"))
        return float(values[order[fitting - 1]]) if fitting else float("inf")

    def _tokens(self, recalled: Sequence[Recalled], view: View) -> int:
        blank = CompressedSegment("", (), "compressed", 0, 0, recalled=tuple(recalled))
        return self._compressor.counter.count(recalled_text(blank, view.text_of([part.source for part in recalled])))


def _kept_now(layout: Layout, values: NDArray[np.float64], shown: Shown) -> NDArray[np.bool_]:
    """Which units (U,) would be kept of a segment if it were cut anew by these `values`, to about the length that was kept of it."""
    sizes = np.array([unit.end - unit.start for unit in layout.units], np.int64)
    room = sum(end - start for start, end in shown.decided.spans)
    order = np.argsort(-values, kind="stable")
    kept = np.zeros(len(values), np.bool_)
    kept[order[np.cumsum(sizes[order]) <= room]] = True
    return kept


def _recalled(compressor: Compressor, shown: Shown, layout: Layout, units: set[int], view: View) -> Recalled:
    """Units of a segment under their heading; what touches is one part."""
    spans = merge_spans([(layout.units[index].start, layout.units[index].end) for index in sorted(units)])
    text = shown.segment.text
    first, last = (1 + text.count("\n", 0, at) for at in (spans[0][0], max(spans[-1][0], spans[-1][1] - 1)))
    original_id = shown.decided.original_id
    note = compressor.config.original_note.format(id=original_id) if original_id else ""
    heading = compressor.config.recall_mark.format(source=view.label(shown), first=first, last=last, original=note)
    return Recalled(shown.name, heading, spans)
