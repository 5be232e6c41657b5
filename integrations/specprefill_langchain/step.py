"""One step over a list of messages: every adapter here sends what this module returns.

A part that fails leaves its round of tool outputs as they were, and an audit record.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from langchain_core.messages import BaseMessage, SystemMessage
from langchain_core.tools import BaseTool

from specprefill_agents.accounting.tracking import PrefixReport
from specprefill_agents.compressor import Compressor
from specprefill_agents.errors import SpecPrefillError
from specprefill_agents.session import Turn
from specprefill_agents.types import CompressionResult, Usage
from specprefill_langchain.messages import put_back, rounds

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StepReport:
    """One model call: the messages it was asked with, the messages as `sent`, and what compressing them did and cost.

    `tools` and the `system` message are those that an agent keeps apart from its messages; they go out before them, as they
    are. `model` is the name of the model that is asked, "" where it has none. `conversation_id` is the one that the config
    names (`is_named`), else one that holds for this run of the agent; `arm` is the conversation's in an experiment. `prefix`
    compares the request with the one before it in the conversation; None where nobody looked.
    """

    messages: tuple[BaseMessage, ...]
    sent: tuple[BaseMessage, ...]
    result: CompressionResult
    tools: tuple[BaseTool | dict[str, Any], ...] = ()
    system: SystemMessage | None = None
    model: str = ""
    conversation_id: str = ""
    is_named: bool = False
    arm: str = ""
    prefix: PrefixReport | None = None


class Steps(Protocol):
    """A session, or what stands for one."""

    def steps(self, turns: Sequence[Turn]) -> list[CompressionResult]:
        """As `Session.steps`."""
        ...


def compress_step(
    compressor: Compressor, session: Steps, messages: Sequence[BaseMessage], query: str | None = None, *, with_originals: bool = False
) -> StepReport:
    """Compress the tool outputs among `messages`, each round with the query of its own time or with `query`.

    `with_originals` notes the whole texts on what is sent, for a model that reads them there (`originals.reads_originals`).
    Raises only where `compressor.config.on_error` is "raise".
    """
    results: list[CompressionResult] = []
    sent = list(messages)
    try:
        parts = rounds(messages, query)
        results = session.steps([Turn(tuple(slot.segment for slot in part.slots), part.query) for part in parts])
        slots = [slot for part in parts for slot in part.slots]
        decided = [segment for result in results for segment in result.segments]
        sent = put_back(messages, slots, decided, with_originals=with_originals)
    except Exception as error:
        if compressor.config.on_error == "raise":
            raise
        results = [failed(compressor, "a session step", error)]
    return StepReport(tuple(messages), tuple(sent), _joined(results))


def failed(compressor: Compressor, what: str, error: Exception) -> CompressionResult:
    """The result of a part that failed, after leaving a record in the compressor's audit log.

    Quotes only this library's own errors.
    """
    cause = f": {error}" if isinstance(error, SpecPrefillError) else ""
    reason = f"{what} failed: {type(error).__name__}{cause}"
    compressor.audit.record("langchain", {"fallback_reason": reason})
    logger.debug(reason, exc_info=error)
    return CompressionResult((), Usage(fallback_reason=reason))


def model_name(model: object) -> str | None:
    """What audit records call a chat model, which may have arguments bound to it; None for one that does not say."""
    model = getattr(model, "bound", model)
    names = (getattr(model, attribute, None) for attribute in ("model_name", "model", "model_id"))
    return next((name for name in names if isinstance(name, str) and name), None)


def _joined(results: Sequence[CompressionResult]) -> CompressionResult:
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
