"""The demo's model calls as they are shown: what came in with each, how long the model took, and its step in the ledger."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, BaseMessage, ToolCall

from specprefill_agents.accounting.ledger import Conversation, Step
from specprefill_langchain.step import StepReport


@dataclass(frozen=True, slots=True)
class Call:
    """One finished model call. `new_tokens` and `kept_tokens` are of the tool outputs that came with it."""

    label: str
    new_tokens: int
    kept_tokens: int
    target_ms: float
    step: Step
    fallback_reason: str | None


class Calls:
    """Puts the calls of one conversation together: `asked` is the middleware's `on_step`, `answered` feeds its ledger."""

    def __init__(self) -> None:
        self.all: list[Call] = []
        self.last: StepReport | None = None
        self._seen = 0
        self._asked_at = 0.0

    def asked(self, report: StepReport) -> None:
        """A model call is about to be made."""
        self.last = report
        self._asked_at = time.perf_counter()

    def answered(self, conversation: Conversation, step: Step) -> None:
        """The model call is over. Must follow `asked`."""
        report = self.last
        assert report is not None
        segments = report.result.segments[self._seen :]
        self._seen = len(report.result.segments)
        call = Call(
            label=_label(report.messages),
            new_tokens=sum(segment.original_tokens for segment in segments),
            kept_tokens=sum(segment.kept_tokens for segment in segments),
            target_ms=1000 * (time.perf_counter() - self._asked_at),
            step=step,
            fallback_reason=report.result.usage.fallback_reason,
        )
        self.all.append(call)


def _label(messages: Sequence[BaseMessage]) -> str:
    """The tool calls whose outputs are new in this request, or that there are none yet."""
    last = next((message for message in reversed(messages) if isinstance(message, AIMessage)), None)
    if last is None:
        return "the question"
    return ", ".join(map(call_text, last.tool_calls))


def call_text(call: ToolCall) -> str:
    """A tool call as it reads in a program, without the arguments' names."""
    return f"{call['name']}({', '.join(str(value) for value in call['args'].values())})"
