"""What each model call of an agent costs: tokens, prefix-cache hits, dollars and scorer time, with and without compression."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage, ToolCall, ToolMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from specprefill_agents.accounting.prefix import PrefixCache, PrefixUse, wire_text
from specprefill_agents.accounting.pricing import Price, price_for
from specprefill_agents.accounting.tokens import TokenCounter
from specprefill_langchain.step import StepReport

_ROLES = {"human": "user", "ai": "assistant"}


@dataclass(frozen=True, slots=True)
class Call:
    """One finished model call. Tokens are the target's; `sent` is what went out, `plain` what would have without compression.

    `new_tokens` and `kept_tokens` are of the tool outputs that came with this call; dollars are None without a price.
    """

    label: str
    new_tokens: int
    kept_tokens: int
    scorer_ms: float
    target_ms: float
    sent: PrefixUse
    plain: PrefixUse
    output_tokens: int
    sent_usd: float | None
    plain_usd: float | None
    fallback_reason: str | None


class Meter:
    """Follows one conversation: `asked` before each model call (the middleware's hook), `answered` after it.

    `head` is what stands before the messages of every request (`request_head`); `now` is the clock that prices go by.
    """

    def __init__(self, counter: TokenCounter, model: str, head: Sequence[str], now: Callable[[], datetime]) -> None:
        self.calls: list[Call] = []
        self.last: StepReport | None = None
        self._sent, self._plain = PrefixCache(counter), PrefixCache(counter)
        self._model = model
        self._head = list(head)
        self._now = now
        self._seen = 0
        self._asked_at = 0.0

    def asked(self, report: StepReport) -> None:
        """A model call is about to be made."""
        self.last = report
        self._asked_at = time.perf_counter()

    def answered(self, answer: AIMessage) -> Call:
        """The model call is over: what it cost. Must follow `asked`."""
        report = self.last
        assert report is not None
        target_ms = 1000 * (time.perf_counter() - self._asked_at)
        price = price_for(self._model, self._now())
        sent, plain = (cache.request(self._request(m)) for cache, m in ((self._sent, report.sent), (self._plain, report.messages)))
        output = self._sent.answer(_wire(answer))
        self._plain.answer(_wire(answer))
        segments = report.result.segments[self._seen :]
        self._seen = len(report.result.segments)
        call = Call(
            label=_label(report.messages),
            new_tokens=sum(segment.original_tokens for segment in segments),
            kept_tokens=sum(segment.kept_tokens for segment in segments),
            scorer_ms=report.result.usage.scorer_ms,
            target_ms=target_ms,
            sent=sent,
            plain=plain,
            output_tokens=output,
            sent_usd=_usd(price, sent, output),
            plain_usd=_usd(price, plain, output),
            fallback_reason=report.result.usage.fallback_reason,
        )
        self.calls.append(call)
        return call

    def _request(self, messages: Sequence[BaseMessage]) -> list[str]:
        return [*self._head, *map(_wire, messages)]


def request_head(tools: Sequence[BaseTool], system: str) -> list[str]:
    """The wire texts that come before an agent's messages: its tools, then its system prompt."""
    return [json.dumps([convert_to_openai_tool(tool) for tool in tools]), _wire(SystemMessage(content=system))]


def _wire(message: BaseMessage) -> str:
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    call_id = message.tool_call_id if isinstance(message, ToolMessage) else ""
    return wire_text(_ROLES.get(message.type, message.type), str(message.text), [dict(call) for call in calls], call_id)


def _usd(price: Price | None, use: PrefixUse, output_tokens: int) -> float | None:
    return None if price is None else price.cost_usd(use.hit_tokens, use.miss_tokens, output_tokens)


def _label(messages: Sequence[BaseMessage]) -> str:
    """The tool calls whose outputs are new in this request, or that there are none yet."""
    last = next((message for message in reversed(messages) if isinstance(message, AIMessage)), None)
    if last is None:
        return "the question"
    return ", ".join(map(call_text, last.tool_calls))


def call_text(call: ToolCall) -> str:
    """A tool call as it reads in a program, without the arguments' names."""
    return f"{call['name']}({', '.join(str(value) for value in call['args'].values())})"
