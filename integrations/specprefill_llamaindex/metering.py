"""Meter: follows an agent's conversations, and says of each model call what it cost and whether the cached prefix held."""

from __future__ import annotations

from typing import TypeAlias

from llama_index.core.base.llms.types import ChatResponse

from specprefill_agents.accounting.ledger_file import LedgerFile
from specprefill_agents.accounting.metering import CallMeter, ModelCall, OnStep
from specprefill_agents.accounting.wire import Part, tool_name, tools_head
from specprefill_llamaindex.parts import part_of, reported_usage
from specprefill_llamaindex.step import StepReport


class Meter(CallMeter[StepReport, ChatResponse]):
    """Keeps the ledger of an agent's conversations; arguments, `asked`, `answered` and `ledger` are those of `CallMeter`."""

    def answer_of(self, answer: ChatResponse) -> tuple[Part, object]:
        """See `CallMeter`."""
        return part_of(answer.message), reported_usage(answer)

    def call_of(self, report: StepReport) -> ModelCall:
        """See `CallMeter`. Uncompressed, nobody would have described the tool that expands gaps."""
        return ModelCall(
            head=tools_head(report.tools),
            plain_head=tools_head([tool for tool in report.tools if tool_name(tool) != self.settings.expand_tool]),
            sent=tuple(map(part_of, report.sent)),
            plain=tuple(map(part_of, report.messages)),
            scorer_ms=report.result.usage.scorer_ms,
            conversation_id=f"{report.conversation_id}/{report.call_id}",  # of the first call; the others continue it
            is_named=False,
            model=report.model,
            arm=report.arm,
        )


Metered: TypeAlias = "Meter | LedgerFile | OnStep"
"""Where steps go: to a file, to a function, or to a meter with settings of its own."""
