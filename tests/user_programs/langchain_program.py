"""A program as a user may write it, which names everything that specprefill_langchain makes public.

`make check` reads it with `mypy --strict`, the tests run it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from typing_extensions import assert_type

from specprefill_agents import Compressor
from specprefill_agents.accounting.ledger_file import LedgerFile
from specprefill_langchain import (
    ChatLocal,
    ChatSpecPrefill,
    Meter,
    PromptCompressor,
    SpecPrefillDocumentCompressor,
    SpecPrefillMiddleware,
    StepReport,
    expand_tool,
    pre_model_hook,
)


def local_model(directory: str) -> BaseChatModel:
    """A model on this machine."""
    return ChatLocal(model=directory, max_tokens=4, device="cpu", dtype="float32")


def agent(model: BaseChatModel, tools: list[BaseTool], compressor: Compressor, ledger: Path) -> tuple[Any, list[StepReport]]:
    """An agent whose tool outputs reach the model compressed, and the reports of its steps as they come."""
    reports: list[StepReport] = []
    meter = Meter(compressor.counter, LedgerFile(ledger).append, model="deepseek-flash")
    middleware = SpecPrefillMiddleware(compressor, on_step=reports.append, ledger=meter)
    return create_agent(model, tools, middleware=[middleware]), reports


def chain(model: BaseChatModel, compressor: Compressor) -> Runnable[Any, str]:
    """From messages to the text of an answer."""
    return PromptCompressor(compressor) | model | StrOutputParser()


def shown_to_the_model(messages: list[BaseMessage], compressor: Compressor) -> list[BaseMessage]:
    """What an agent of langgraph.prebuilt with this hook sends of its messages."""
    sent: list[BaseMessage] = pre_model_hook(compressor).invoke({"messages": messages})["llm_input_messages"]
    return sent


def answer(model: BaseChatModel, tools: list[BaseTool], compressor: Compressor, messages: list[BaseMessage]) -> dict[str, Any]:
    """What compression did for one answer of a model with tools."""
    wrapped = ChatSpecPrefill(inner=model, compressor=compressor)
    message = wrapped.bind_tools([*tools, expand_tool(compressor)]).invoke(messages)
    assert_type(message, AIMessage)
    figures: dict[str, Any] = message.response_metadata["specprefill"]
    return figures


def best(documents: list[Document], question: str, compressor: Compressor) -> list[Document]:
    """What of retrieved documents a model should read."""
    chosen = SpecPrefillDocumentCompressor(compressor=compressor, top_n=2)
    return list(chosen.compress_documents(documents, question))
