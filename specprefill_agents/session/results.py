"""What came of the turns of a conversation, in one: for those who send all of them with one request."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from specprefill_agents.compressor import Compressor
from specprefill_agents.errors import SpecPrefillError
from specprefill_agents.types import CompressionResult, Usage

logger = logging.getLogger(__name__)


def in_all(results: Sequence[CompressionResult]) -> CompressionResult:
    """The segments of all results one after the other, and what they cost together."""
    usages = [result.usage for result in results]
    usage = Usage(
        original_tokens=sum(u.original_tokens for u in usages),
        kept_tokens=sum(u.kept_tokens for u in usages),
        scorer_ms=sum(u.scorer_ms for u in usages),
        cache_hits=sum(u.cache_hits for u in usages),
        fallback_reason=next((u.fallback_reason for u in usages if u.fallback_reason), None),
        note=next((u.note for u in usages if u.note), None),
    )
    return CompressionResult(tuple(segment for result in results for segment in result.segments), usage)


def failed(compressor: Compressor, where: str, what: str, error: Exception) -> CompressionResult:
    """The result of a part that failed, after leaving a record in the compressor's audit log, as an event of `where`.

    Quotes only this library's own errors.
    """
    cause = f": {error}" if isinstance(error, SpecPrefillError) else ""
    reason = f"{what} failed: {type(error).__name__}{cause}"
    compressor.audit.record(where, {"fallback_reason": reason})
    logger.debug(reason, exc_info=error)
    return CompressionResult((), Usage(fallback_reason=reason))
