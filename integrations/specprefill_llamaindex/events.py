"""What LlamaIndex's instrumentation is told of compression: events with counts and times, and never a text.

They are dispatched inside the span of the call that compressed, like the framework's own `ReRankStartEvent` and
`ReRankEndEvent`, so any event handler of the root dispatcher sees them with that span's id.
"""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.instrumentation.events import BaseEvent

from specprefill_agents.compressor import Compressor
from specprefill_agents.observe.audit import without_quotes
from specprefill_agents.types import CompressionResult, KeepRatio


class CompressionStartEvent(BaseEvent):
    """A compressor is about to be given retrieved nodes, or what a memory block holds.

    `texts` were offered, whether they may be cut or not. `scorer` ranks their parts, `draft` is the model that reads them
    for it, None where none does; `keep_ratio` is the share of target tokens to keep, or "auto".
    """

    texts: int
    scorer: str
    draft: str | None
    keep_ratio: KeepRatio

    @classmethod
    def class_name(cls) -> str:
        """Name under which LlamaIndex knows this event."""
        return "CompressionStartEvent"

    @classmethod
    def of(cls, compressor: Compressor, texts: int) -> CompressionStartEvent:
        """The event before `compressor` is given so many texts."""
        decider = compressor.decider
        return cls(texts=texts, scorer=decider.scorer, draft=decider.draft, keep_ratio=compressor.config.keep_ratio)


class CompressionEndEvent(BaseEvent):
    """What came of it; before each call of a model inside `SpecPrefillLLM`, what the tool outputs in it came to.

    Of `texts` that may be cut, `compressed` were; `dropped` of those offered do not go on at all. `original_tokens` and
    `kept_tokens` are target tokens of the texts that may be cut, gap marks included; `ratio` is the share kept, 1 where
    there was nothing. `cache_hits` counts texts that the scorer knew, `cache_misses` those it read. `scorer_ms` and
    `elapsed_ms` are wall time.
    `fallback_reason` says what failed and what was done instead, without quoting any text; None when all went as
    configured. `conversation_id` names a model's conversation; "" where there is none.
    """

    texts: int
    compressed: int
    dropped: int
    original_tokens: int
    kept_tokens: int
    ratio: float
    cache_hits: int
    cache_misses: int
    scorer_ms: float
    elapsed_ms: float
    fallback_reason: str | None = None
    conversation_id: str = ""

    @classmethod
    def class_name(cls) -> str:
        """Name under which LlamaIndex knows this event."""
        return "CompressionEndEvent"

    @classmethod
    def of(
        cls,
        results: Sequence[CompressionResult],
        elapsed_ms: float,
        *,
        dropped: int = 0,
        fallback_reason: str | None = None,
        conversation_id: str = "",
    ) -> CompressionEndEvent:
        """The event after a compressor's calls gave `results`; the first reason among them counts where none is given."""
        usages = [result.usage for result in results]
        segments = [segment for result in results for segment in result.segments]
        original, kept = sum(usage.original_tokens for usage in usages), sum(usage.kept_tokens for usage in usages)
        reasons = [fallback_reason, *(usage.fallback_reason for usage in usages)]
        return cls(
            texts=len(segments),
            compressed=sum(segment.outcome == "compressed" for segment in segments),
            dropped=dropped,
            original_tokens=original,
            kept_tokens=kept,
            ratio=kept / original if original else 1.0,
            cache_hits=sum(usage.cache_hits for usage in usages),
            cache_misses=sum(usage.cache_misses for usage in usages),
            scorer_ms=sum(usage.scorer_ms for usage in usages),
            elapsed_ms=elapsed_ms,
            fallback_reason=without_quotes(next(filter(None, reasons), None)),
            conversation_id=conversation_id,
        )
