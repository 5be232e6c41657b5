"""Meter: follows an agent's conversations, and says of each model call what it cost and whether the cached prefix held."""

from __future__ import annotations

from typing import TypeAlias

from langchain_core.messages import AIMessage

from specprefill_agents.accounting.ledger_file import LedgerFile
from specprefill_agents.accounting.metering import CallMeter, ModelCall, OnStep
from specprefill_agents.accounting.wire import Part, tool_name
from specprefill_langchain.parts import head_parts, part_of, reported_usage
from specprefill_langchain.step import StepReport


class Meter(CallMeter[StepReport, AIMessage]):
    """Keeps the ledger of an agent's conversations; arguments, `asked`, `answered` and `ledger` are those of `CallMeter`."""

    def answer_of(self, answer: AIMessage) -> tuple[Part, object]:
        """See `CallMeter`."""
        return part_of(answer), reported_usage(answer)

    def call_of(self, report: StepReport) -> ModelCall:
        """See `CallMeter`. Uncompressed, nobody would have described the tool that expands gaps."""
        tools = [tool for tool in report.tools if tool_name(tool) != self.settings.expand_tool]
        return ModelCall(
            head=tuple(head_parts(report.tools, report.system)),
            plain_head=tuple(head_parts(tools, report.system)),
            sent=tuple(map(part_of, report.sent)),
            plain=tuple(map(part_of, report.messages)),
            scorer_ms=report.result.usage.scorer_ms,
            conversation_id=report.conversation_id,
            is_named=report.is_named,
            model=report.model,
            arm=report.arm,
        )


Metered: TypeAlias = "Meter | LedgerFile | OnStep"
"""Where steps go: to a file, to a function, or to a meter with settings of its own."""
