"""A program as a user may write it, which names everything that specprefill_llamaindex makes public.

`make check` reads it with `mypy --strict`, the tests run it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llama_index.core import SummaryIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.llm import LLM
from llama_index.core.memory import Memory
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import BaseTool
from llama_index_instrumentation.event_handlers.base import BaseEventHandler

from specprefill_agents import Compressor
from specprefill_agents.accounting.ledger_file import LedgerFile
from specprefill_llamaindex import (
    NODE_ID_KEY,
    SPANS_KEY,
    TOKENS_KEY,
    CompressionEndEvent,
    CompressionStartEvent,
    LocalLLM,
    Meter,
    SpecPrefillLLM,
    SpecPrefillMemoryBlock,
    SpecPrefillPostprocessor,
    StepReport,
    expand_tool,
)


class Watch(BaseEventHandler):
    """Notes what compression says of itself."""

    shares: list[float] = []  # noqa: RUF012 - pydantic copies it

    @classmethod
    def class_name(cls) -> str:
        """As LlamaIndex asks."""
        return "Watch"

    def handle(self, event: Any, **kwargs: Any) -> None:
        """Notes the share that was kept; 0 before it is known."""
        if isinstance(event, CompressionStartEvent):
            self.shares.append(0.0)
        elif isinstance(event, CompressionEndEvent):
            self.shares.append(event.ratio)


def local_model(directory: str) -> LLM:
    """A model on this machine."""
    return LocalLLM(model=directory, max_tokens=4, device="cpu", dtype="float32")


def answer(model: LLM, compressor: Compressor, ledger: Path, messages: Sequence[ChatMessage]) -> tuple[ChatMessage, list[StepReport]]:
    """What a model answers that reads its tool outputs compressed, and the reports of its calls."""
    reports: list[StepReport] = []
    meter = Meter(compressor.counter, LedgerFile(ledger).append, model="deepseek-flash")
    wrapped = SpecPrefillLLM(model, compressor, on_step=reports.append, ledger=meter)
    return wrapped.chat(messages).message, reports


def agent(model: LLM, tools: list[BaseTool], compressor: Compressor) -> FunctionAgent:
    """An agent whose model reads compressed tool outputs, and can ask for all of one."""
    return FunctionAgent(llm=SpecPrefillLLM(model, compressor), tools=[*tools, expand_tool(compressor)])


def memory(compressor: Compressor) -> Memory:
    """A memory that keeps what earlier tool results say about the question."""
    return Memory.from_defaults(token_limit=2_000, memory_blocks=[SpecPrefillMemoryBlock(compressor)])


def sources(texts: Sequence[str], question: str, compressor: Compressor) -> list[tuple[str, Any, Any]]:
    """Of retrieved texts, what is kept of each: its id, spans and token counts."""
    index = SummaryIndex([TextNode(id_=f"n{number}", text=text) for number, text in enumerate(texts)])
    found: list[NodeWithScore] = index.as_retriever().retrieve(question)
    kept = SpecPrefillPostprocessor(compressor).postprocess_nodes(found, query_str=question)
    return [(str(one.metadata[NODE_ID_KEY]), one.metadata[SPANS_KEY], one.metadata[TOKENS_KEY]) for one in kept]
