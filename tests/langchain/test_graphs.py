"""Agents inside other graphs, and graphs without `create_agent`: the same bytes, and no conversation taken for another."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, create_react_agent, tools_condition
from langgraph.warnings import LangGraphDeprecatedSinceV10

from specprefill_agents import Compressor
from specprefill_agents.session import Session
from specprefill_langchain import PromptCompressor, SpecPrefillMiddleware, StepReport, expand_tool, pre_model_hook
from tests.langchain.conftest import ScriptedModel, scripted_answers

Wire = Callable[[Sequence[BaseMessage]], bytes]

THREAD: Any = {"configurable": {"thread_id": "a"}}
TURNS = ("Which functions raise an error?", "And which of them twice?")


def ask(question: str) -> dict[str, Any]:
    return {"messages": [HumanMessage(question)]}


def one_node(name: str, node: Any, **compiled: Any) -> Any:
    """A graph of one node."""
    graph = StateGraph(MessagesState)
    graph.add_node(name, node)
    graph.add_edge(START, name)
    return graph.compile(**compiled)


@pytest.fixture
def alone(tools: Any, lexical: Callable[..., Compressor], wire: Wire) -> list[bytes]:
    """The requests of an agent of its own over both turns."""
    model = ScriptedModel(answers=scripted_answers())
    agent: Any = create_agent(model, tools, middleware=[SpecPrefillMiddleware(lexical())], checkpointer=InMemorySaver())
    for turn in TURNS:
        agent.invoke(ask(turn), THREAD)
    return [wire(request) for request in model.requests]


@pytest.mark.parametrize("own", [None, True], ids=["without a checkpointer of its own", "with one"])
def test_an_agent_that_is_a_node_of_a_graph_sends_what_it_sends_alone(
    model: Any, tools: Any, compressor: Compressor, wire: Wire, alone: list[bytes], own: Any
) -> None:
    reports: list[StepReport] = []
    middleware: Any = SpecPrefillMiddleware(compressor, on_step=reports.append)
    inner: Any = create_agent(model, tools, middleware=[middleware], checkpointer=own)
    graph = one_node("agent", inner, checkpointer=InMemorySaver())
    for turn in TURNS:
        state = graph.invoke(ask(turn), THREAD)
    assert [wire(request) for request in model.requests] == alone
    assert "specprefill" not in state
    assert {report.result.usage.fallback_reason for report in reports} == {None}


@pytest.fixture
def supervised(model: Any, tools: Any, lexical: Callable[..., Compressor]) -> tuple[Any, Any, list[StepReport]]:
    """An agent whose tool asks another agent, the model of the first, and what both of one middleware report."""
    reports: list[StepReport] = []
    shared: Any = SpecPrefillMiddleware(lexical(), on_step=reports.append)
    inner: Any = create_agent(model, tools, middleware=[shared])

    @tool
    def delegate(task: str) -> str:
        """Let another agent do something; gives all that it has seen."""
        return "\n".join(str(message.content) for message in inner.invoke(ask(task))["messages"])

    calls = [AIMessage("", tool_calls=[{"name": "delegate", "args": {"task": turn}, "id": f"task-{n}"}]) for n, turn in enumerate(TURNS)]
    supervisor = ScriptedModel(answers=[*calls, AIMessage("Both are done.")])
    return create_agent(supervisor, [delegate], middleware=[shared], checkpointer=InMemorySaver()), supervisor, reports


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_a_supervisor_and_the_agents_that_its_tools_run_keep_a_prefix_each(
    supervised: tuple[Any, Any, list[StepReport]], model: Any, wire: Wire, way: str
) -> None:
    agent, supervisor, reports = supervised
    state = agent.invoke(ask("Do both."), THREAD) if way == "invoke" else asyncio.run(agent.ainvoke(ask("Do both."), THREAD))
    assert (len(supervisor.requests), len(model.requests)) == (3, 10)
    for requests in (supervisor.requests, model.requests[:5], model.requests[5:]):
        for before, after in itertools.pairwise(requests):
            assert wire(after).startswith(wire(before))
    whole, sent = (
        [str(message.content) for message in messages if message.type == "tool"]
        for messages in (state["messages"], supervisor.requests[-1])
    )
    assert all(len(short) < 0.5 * len(text) for short, text in zip(sent, whole, strict=True))
    places = [report.conversation_id for report in reports]
    assert places.count("a") == 3
    assert sorted(places.count(place) for place in set(places)) == [3, 5, 5]


def made_by_hand(chat: Any, tools: Any) -> Any:
    """A graph of a model and its tools."""
    graph = StateGraph(MessagesState)
    graph.add_node("model", chat)
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    return graph.compile(checkpointer=InMemorySaver())


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_a_node_that_calls_compressor_and_model_sends_what_an_agent_sends(
    model: Any, tools: Any, compressor: Compressor, wire: Wire, alone: list[bytes], way: str
) -> None:
    chain = PromptCompressor(compressor) | model

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [chain.invoke(state["messages"])]}

    async def anode(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await chain.ainvoke(state["messages"])]}

    graph = made_by_hand(node if way == "invoke" else anode, tools)
    for turn in TURNS:
        state = graph.invoke(ask(turn), THREAD) if way == "invoke" else asyncio.run(graph.ainvoke(ask(turn), THREAD))
    assert [wire(request) for request in model.requests] == alone
    assert not any("[…" in str(message.content) for message in state["messages"])


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
@pytest.mark.parametrize("given", [Compressor, PromptCompressor])
def test_a_hook_before_the_model_sends_what_an_agent_sends(
    model: Any, tools: Any, compressor: Compressor, wire: Wire, alone: list[bytes], way: str, given: type
) -> None:
    hook = pre_model_hook(compressor if given is Compressor else PromptCompressor(compressor))
    every = [*tools, expand_tool(compressor)]
    with pytest.warns(LangGraphDeprecatedSinceV10):
        agent: Any = create_react_agent(model, every, pre_model_hook=hook, checkpointer=InMemorySaver())
    for turn in TURNS:
        state = agent.invoke(ask(turn), THREAD) if way == "invoke" else asyncio.run(agent.ainvoke(ask(turn), THREAD))
    assert [wire(request) for request in model.requests] == alone
    assert not any("[…" in str(message.content) for message in state["messages"])


def test_a_hook_reads_a_state_of_any_kind(compressor: Compressor) -> None:
    class Held:
        messages = (HumanMessage("?"),)

    hook = pre_model_hook(compressor)
    assert hook.invoke(Held()) == hook.invoke({"messages": [HumanMessage("?")]}) == {"llm_input_messages": [HumanMessage("?")]}


def test_a_graph_in_another_one_does_not_go_by_the_name_of_that_ones_conversation(
    model: Any, tools: Any, compressor: Compressor, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(compressor, "session", lambda name: opened.append(name) or Session(name, compressor))
    chain = PromptCompressor(compressor) | model

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [chain.invoke(state["messages"])]}

    made_by_hand(node, tools).invoke(ask(TURNS[0]), THREAD)
    assert opened == ["a"]
    one_node("inner", made_by_hand(node, tools), checkpointer=InMemorySaver()).invoke(ask(TURNS[0]), THREAD)
    assert opened[1:]
    assert "a" not in opened[1:]
