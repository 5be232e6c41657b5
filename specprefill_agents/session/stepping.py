"""All turns of a conversation in one step, for those who send a whole conversation with each request.

Knows no message format: who has one says how its messages are read, and how texts are put back into them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from specprefill_agents.accounting.wire import Part
from specprefill_agents.compressor import Compressor
from specprefill_agents.errors import SpecPrefillError
from specprefill_agents.prompt.rounds import Round, Slot
from specprefill_agents.session.conversation import Turn
from specprefill_agents.session.sessions import Steps
from specprefill_agents.types import CompressedSegment, CompressionResult, Usage

logger = logging.getLogger(__name__)

Message = TypeVar("Message")

MESSAGE_TOKENS = 8
"""About: what a chat template puts around a message."""


def compress_rounds(
    compressor: Compressor,
    session: Steps,
    messages: Sequence[Message],
    rounds: Callable[[Sequence[Message]], Sequence[Round]],
    put_back: Callable[[Sequence[Message], Sequence[Slot], Sequence[CompressedSegment]], list[Message]],
    part_of: Callable[[Message], Part],
    where: str,
    head: Sequence[str] = (),
) -> tuple[list[Message], CompressionResult]:
    """`messages` with their tool outputs compressed, each round with its query; and the result for all their segments.

    `head` are texts that go out before the messages, such as the tools; they count towards `max_target_tokens`, and so does
    what `part_of` makes of the messages that pass whole.

    A part that fails leaves the messages as they were, and an audit record as an event of `where`. Raises only where
    `compressor.config.on_error` is "raise".
    """
    try:
        found = rounds(messages)
        limits = limits_of(compressor, found, head, part_of)
        turns = [Turn(tuple(slot.segment for slot in part.slots), part.query, most) for part, most in zip(found, limits, strict=True)]
        made = session.steps(turns)
        slots = [slot for part in found for slot in part.slots]
        sent = put_back(messages, slots, [segment for result in made for segment in result.segments])
    except Exception as error:
        if compressor.config.on_error == "raise":
            raise
        return list(messages), failed(compressor, where, "a session step", error)
    return sent, in_all(made)


def limits_of(compressor: Compressor, rounds: Sequence[Round], head: Sequence[str], part_of: Callable[[Message], Part]) -> list[int | None]:
    """What the tool outputs up to each round may have together, in target tokens, so that its request stays within
    `max_target_tokens`; None: as many as they are worth."""
    most = compressor.config.max_target_tokens
    if most is None:
        return [None] * len(rounds)
    most -= sum(compressor.counter.count(text) + MESSAGE_TOKENS for text in head)
    limits: list[int | None] = []
    for part in rounds:
        others = sum(compressor.counter.count(part_of(message).wire) for message in part.others)
        most -= others + MESSAGE_TOKENS * (len(part.others) + len(part.slots))
        limits.append(most)
    return limits


def described(compressor: Compressor, tools: object) -> list[str]:
    """The tools of a request in the form of its provider, as a text for `head`; nothing where nobody counts it."""
    is_counted = compressor.config.max_target_tokens is not None and isinstance(tools, Sequence) and tools
    return [json.dumps(tools, ensure_ascii=False, default=str)] if is_counted else []


def in_all(results: Sequence[CompressionResult]) -> CompressionResult:
    """The segments of all results one after the other, and what they cost together."""
    usages = [result.usage for result in results]
    usage = Usage(
        original_tokens=sum(u.original_tokens for u in usages),
        kept_tokens=sum(u.kept_tokens for u in usages),
        scorer_ms=sum(u.scorer_ms for u in usages),
        cache_hits=sum(u.cache_hits for u in usages),
        cache_misses=sum(u.cache_misses for u in usages),
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
