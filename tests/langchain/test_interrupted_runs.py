"""Runs that end before their time, and models that are not as others: nothing is left behind, and the next run sends the same bytes."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk
from langgraph.checkpoint.memory import InMemorySaver

from specprefill_agents import Compressor
from specprefill_langchain import SpecPrefillMiddleware, StepReport
from tests.langchain.conftest import ScriptedModel, scripted_answers


class Refusing(ScriptedModel):
    """Answers twice, then refuses."""

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        if len(self._requests) == 2:
            self._requests.append(list(messages))
            raise ConnectionError("refused")
        return super()._generate(messages, *args, **kwargs)


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_after_a_model_that_raised_the_conversation_goes_on_with_the_same_bytes(
    tools: Any, compressor: Compressor, question: str, wire: Callable[[Any], bytes], way: str
) -> None:
    model = Refusing(answers=scripted_answers())
    reports: list[StepReport] = []
    agent: Any = create_agent(
        model, tools, middleware=[SpecPrefillMiddleware(compressor, on_step=reports.append)], checkpointer=InMemorySaver()
    )
    config = {"configurable": {"thread_id": "a"}}

    def run(given: Any) -> Any:
        return agent.invoke(given, config) if way == "invoke" else asyncio.run(agent.ainvoke(given, config))

    with pytest.raises(ConnectionError, match="refused"):
        run({"messages": [HumanMessage(question)]})
    run(None)
    assert len(model.requests) == 6
    assert wire(model.requests[3]) == wire(model.requests[2])
    for before, after in itertools.pairwise(model.requests):
        assert wire(after).startswith(wire(before))
    assert {report.result.usage.fallback_reason for report in reports} == {None}


class Endless(ScriptedModel):
    """Its last answer never ends."""

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        raise AssertionError("only asynchronously")
        yield

    async def _astream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        answer = self._generate(messages).generations[0].message
        assert isinstance(answer, AIMessage)
        while not answer.tool_calls:
            yield ChatGenerationChunk(message=AIMessageChunk("and "))
            await asyncio.sleep(0)
        pieces = [
            {"name": c["name"], "args": str(c["args"]).replace("'", '"'), "id": c["id"], "index": i}
            for i, c in enumerate(answer.tool_calls)
        ]
        yield ChatGenerationChunk(message=AIMessageChunk(answer.content, tool_call_chunks=pieces, chunk_position="last"))


async def test_a_stream_that_is_let_go_leaves_nothing_behind_and_the_conversation_goes_on(
    tools: Any, compressor: Compressor, question: str, wire: Callable[[Any], bytes]
) -> None:
    model = Endless(answers=scripted_answers())
    middleware: Any = SpecPrefillMiddleware(compressor)
    agent: Any = create_agent(model, tools, middleware=[middleware], checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "a"}}
    before = asyncio.all_tasks()
    for given in ({"messages": [HumanMessage(question)]}, None):
        stream = agent.astream(given, config, stream_mode="messages")
        async for piece, _ in stream:
            if piece.content == "and ":
                break
        await stream.aclose()
        assert asyncio.all_tasks() == before
    assert wire(model.requests[-1]) == wire(model.requests[-2])
    assert len(model.requests) == 6, "five calls, and the last of them again"
    assert await asyncio.wait_for(asyncio.to_thread(middleware._worker.submit(len, "abc").result), 10) == 3, "its thread is free"


async def test_a_call_that_is_cancelled_while_it_is_scored_leaves_the_conversation_as_it_was(
    tools: Any, lexical: Callable[..., Compressor], model: ScriptedModel, question: str, wire: Callable[[Any], bytes]
) -> None:
    compressor, begun, may_end = lexical(), asyncio.Event(), threading.Event()
    loop, compress = asyncio.get_running_loop(), compressor.compress

    def slow(segments: Any, query: str) -> Any:
        loop.call_soon_threadsafe(begun.set)
        may_end.wait(10)
        return compress(segments, query)

    compressor.compress = slow  # type: ignore[method-assign]
    agent: Any = create_agent(model, tools, middleware=[SpecPrefillMiddleware(compressor)], checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "a"}}
    running = asyncio.create_task(agent.ainvoke({"messages": [HumanMessage(question)]}, config))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    may_end.set()
    assert len(model.requests) == 1
    state = await agent.ainvoke(None, config)
    assert len(model.requests) == 5
    undisturbed = ScriptedModel(answers=scripted_answers())
    other: Any = create_agent(undisturbed, tools, middleware=[SpecPrefillMiddleware(lexical())])
    await other.ainvoke({"messages": [HumanMessage(question)]})
    assert [wire(request) for request in model.requests] == [wire(request) for request in undisturbed.requests]
    assert state["messages"][-1].content


def test_an_agent_without_tools_of_its_own_gets_the_one_that_expands(model: ScriptedModel, compressor: Compressor, question: str) -> None:
    reports: list[StepReport] = []
    model.answers = [AIMessage("I know that.")]
    agent: Any = create_agent(model, middleware=[SpecPrefillMiddleware(compressor, on_step=reports.append)])
    assert agent.invoke({"messages": [HumanMessage(question)]})["messages"][-1].content == "I know that."
    assert [tool.name for tool in reports[0].tools] == ["expand"]  # type: ignore[union-attr]


def test_a_model_that_cannot_be_given_tools_says_so_itself(compressor: Compressor, question: str) -> None:
    agent: Any = create_agent(FakeListChatModel(responses=["Hello"]), middleware=[SpecPrefillMiddleware(compressor)])
    with pytest.raises(NotImplementedError):
        agent.invoke({"messages": [HumanMessage(question)]})
