"""Conversations that one process begins and another ends, as `python -m tests.langchain.two_processes begin|end DATABASE`.

Prints what the models were asked, by conversation. All are kept in one SQLite database.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import HumanMessage, convert_to_openai_messages
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command

from specprefill_agents import CompressionConfig, CompressionResult, Compressor, Segment
from specprefill_langchain import ChatSpecPrefill, PromptCompressor, SpecPrefillMiddleware
from tests.langchain.conftest import QUESTION, ScriptedModel, grep, plate, read_file, scripted_answers

TOOLS = [grep, read_file, plate]
QUESTIONS = {"agent": QUESTION, "other": "Where is a default value overwritten by the parser?"}
BEGUN = 3
"""Requests that the first process makes in each conversation."""


class Watched(Compressor):
    """A compressor, the same in both processes, that lists the calls whose outputs were decided on."""

    def __init__(self) -> None:
        config = CompressionConfig(scorer="bm25", keep_ratio=0.3, min_tokens=0, min_result_tokens=0, target_tokenizer="o200k_base")
        super().__init__(config=config, cache="memory")
        self.decided: list[str | None] = []

    def compress(self, segments: Sequence[Segment], query: str) -> CompressionResult:
        self.decided += [segment.id for segment in segments]
        return super().compress(segments, query)


def agent(model: ScriptedModel, compressor: Compressor, saver: Any) -> Any:
    """An agent that stops before each round of tools."""
    return create_agent(model, TOOLS, middleware=[SpecPrefillMiddleware(compressor)], checkpointer=saver, interrupt_before=["tools"])


def reviewed_agent(model: ScriptedModel, compressor: Compressor, saver: Any) -> Any:
    """An agent whose calls a person approves."""
    review: HumanInTheLoopMiddleware[Any, Any, Any] = HumanInTheLoopMiddleware({"grep": True, "read_file": True})
    return create_agent(model, TOOLS, middleware=[review, SpecPrefillMiddleware(compressor)], checkpointer=saver)


def graph_of_chat_model(model: ScriptedModel, compressor: Compressor, saver: Any) -> Any:
    """A graph made by hand around a `ChatSpecPrefill`, which stops before each round of tools."""
    return _graph(ChatSpecPrefill(inner=model, compressor=compressor), saver)


def graph_of_compressor(model: ScriptedModel, compressor: Compressor, saver: Any) -> Any:
    """A graph made by hand around a `PromptCompressor` before the model."""
    return _graph(PromptCompressor(compressor) | model, saver)


def _graph(chat: Any, saver: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [chat.invoke(state["messages"])]})
    graph.add_node("tools", ToolNode(TOOLS))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    return graph.compile(checkpointer=saver, interrupt_before=["tools"])


CONVERSATIONS: dict[str, Callable[[ScriptedModel, Compressor, Any], Any]] = {
    "agent": agent,
    "other": agent,
    "reviewed": reviewed_agent,
    "chat model": graph_of_chat_model,
    "compressor": graph_of_compressor,
}
ASYNCHRONOUS = {"agent async": agent, "reviewed async": reviewed_agent}


def config_of(name: str) -> dict[str, Any]:
    """Where a conversation is kept."""
    return {"configurable": {"thread_id": name}}


def asked(name: str) -> dict[str, Any]:
    """What it begins with."""
    return {"messages": [HumanMessage(QUESTIONS.get(name, QUESTION))]}


def resumed(snapshot: Any) -> Any:
    """What an interrupted conversation goes on with: the approval of every call where a person was asked, else nothing."""
    calls = [call for pending in snapshot.interrupts for call in pending.value["action_requests"]]
    return Command(resume={"decisions": [{"type": "approve"} for _ in calls]}) if calls else None


@contextmanager
def recording(found: dict[str, Any], name: str) -> Iterator[tuple[ScriptedModel, Compressor]]:
    """A model and a compressor; what they were asked is kept under the conversation's name."""
    model, compressor = ScriptedModel(answers=scripted_answers()), Watched()
    yield model, compressor
    found[name] = {"requests": [convert_to_openai_messages(request) for request in model.requests], "decided": compressor.decided}


def run(name: str, model: ScriptedModel, made: Any, *, is_beginning: bool) -> None:
    """Its first requests, or all others."""
    if is_beginning:
        made.invoke(asked(name), config_of(name))
    while (snapshot := made.get_state(config_of(name))).next and not (is_beginning and len(model.requests) == BEGUN):
        made.invoke(resumed(snapshot), config_of(name))


async def arun(name: str, model: ScriptedModel, made: Any, *, is_beginning: bool) -> None:
    """As `run`."""
    if is_beginning:
        await made.ainvoke(asked(name), config_of(name))
    while (snapshot := await made.aget_state(config_of(name))).next and not (is_beginning and len(model.requests) == BEGUN):
        await made.ainvoke(resumed(snapshot), config_of(name))


async def asynchronous(database: str, found: dict[str, Any], *, is_beginning: bool) -> None:
    """The conversations of the asynchronous checkpointer."""
    async with AsyncSqliteSaver.from_conn_string(database) as saver:
        for name, make in ASYNCHRONOUS.items():
            with recording(found, name) as (model, compressor):
                await arun(name, model, make(model, compressor, saver), is_beginning=is_beginning)


def main(part: str, database: str) -> None:
    """One part of every conversation; the later part in the opposite order."""
    found: dict[str, Any] = {}
    is_beginning = part == "begin"
    with SqliteSaver.from_conn_string(database) as saver:
        for name, make in list(CONVERSATIONS.items())[:: 1 if is_beginning else -1]:
            with recording(found, name) as (model, compressor):
                run(name, model, make(model, compressor, saver), is_beginning=is_beginning)
    asyncio.run(asynchronous(database, found, is_beginning=is_beginning))
    json.dump({"conversations": found, "has_torch": "torch" in sys.modules}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
