"""What can be read of tool results when a message is written, and what hides a value that cannot. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from specprefill_agents.config import CompressionConfig
from specprefill_agents.prompt.decided import body
from specprefill_agents.prompt.identifiers import places_of
from specprefill_agents.prompt.render import merge_spans
from specprefill_agents.prompt.rounds import Slot
from specprefill_agents.trial.values import UsedValue
from specprefill_agents.types import CompressedSegment, Span


@dataclass(frozen=True, slots=True)
class Gap:
    """What hides a value that stands at `at` in the original of `slot`: its characters `start` to `end`.

    `original_id` is what `expand` takes for the original, "" where no gap mark names one.
    """

    slot: int
    at: int
    start: int
    end: int
    original_id: str


class Shown:
    """A conversation's tool results as they were sent: `decided`, one for each of `slots`."""

    def __init__(self, config: CompressionConfig, slots: Sequence[Slot], decided: Sequence[CompressedSegment]) -> None:
        self._slots = slots
        self._decided = decided
        self._spans = [merge_spans(one.spans) for one in decided]
        self._recalled = [_recalled(config, slot, one) for slot, one in zip(slots, decided, strict=True)]

    def gap_of(self, used: UsedValue) -> Gap | None:
        """What hides a value when it is used; None where it can be read, in what was kept or in what was brought back by then."""
        length = len(used.value)
        if any(_is_within((start, start + length), self._spans[slot]) for slot, start in used.places):
            return None
        tails = (tail for slot, tail in zip(self._slots, self._recalled, strict=True) if tail and slot.message < used.used_in)
        if any(True for tail in tails for _ in places_of(used.value, tail)):
            return None
        named = [place for place in used.places if self._decided[place[0]].original_id]
        slot, at = (named or used.places)[-1]
        spans = self._spans[slot]
        return Gap(
            slot,
            at,
            max((end for _, end in spans if end <= at), default=0),
            min((start for start, _ in spans if start >= at + length), default=len(self._slots[slot].segment.text)),
            self._decided[slot].original_id,
        )


def _is_within(span: Span, spans: Sequence[Span]) -> bool:
    """Whether one of `spans`, sorted, holds all of `span`."""
    index = bisect_right(spans, (span[0], float("inf"))) - 1
    return index >= 0 and spans[index][0] <= span[0] and span[1] <= spans[index][1]


def _recalled(config: CompressionConfig, slot: Slot, decided: CompressedSegment) -> str:
    """What a result brings back of earlier ones, without the headings, which name lines and calls."""
    if not decided.recalled:
        return ""
    tail = decided.text[len(body(config, slot.segment.kind, slot.segment.text, decided)) :]
    for part in decided.recalled:
        tail = tail.replace(f"\n{part.heading}\n", "\n", 1)
    return tail
