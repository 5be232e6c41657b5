"""ChatSpecPrefill: what goes over the wire, DeepSeek's reasoning included."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_deepseek import ChatDeepSeek
from langchain_openai.chat_models.base import OpenAIInvalidRequestError

from specprefill_agents import Compressor
from specprefill_langchain import ChatSpecPrefill, PromptCompressor, SpecPrefillMiddleware
from tests.langchain.chat_model.timetables import added, as_json, conversation, timetable
from tests.openai_server import ANSWER, MISSING_REASONING, THOUGHTS, Recorded


def test_only_the_texts_of_tool_outputs_are_shorter_on_the_wire(
    chat: ChatSpecPrefill, deepseek: Callable[..., ChatDeepSeek], server: Recorded
) -> None:
    given = conversation(2)
    chat.bind_tools([timetable]).invoke(given)
    deepseek().bind_tools([timetable]).invoke(given)
    sent, plain = server.requests
    for now, was in zip(sent["messages"], plain["messages"], strict=True):
        if was["role"] == "tool":
            assert len(now["content"]) < 0.5 * len(was["content"])
            assert "The train to Basel leaves at" in now["content"]
        assert {**now, "content": None} == {**was, "content": None}
    assert sent["messages"][0] == plain["messages"][0]
    assert {**sent, "messages": None} == {**plain, "messages": None}
    assert given == conversation(2)


def test_every_way_of_calling_sends_the_same_messages(chat: ChatSpecPrefill, server: Recorded) -> None:
    prompt: list[Any] = conversation(2)
    wire = b'"messages":%s' % as_json(PromptCompressor(chat.compressor).invoke(prompt))

    async def streamed(config: Any) -> None:
        assert [chunk async for chunk in chat.astream(prompt, config)]

    for config in ({}, {"configurable": {"session_id": "s"}}):
        chat.invoke(prompt, config)
        asyncio.run(chat.ainvoke(prompt, config))
        list(chat.stream(prompt, config))
        asyncio.run(streamed(config))
        chat.batch([prompt, prompt], config)
        asyncio.run(chat.abatch([prompt, prompt], config))
    assert len(server.bodies) == 16
    assert all(wire in body for body in server.bodies)


@pytest.mark.parametrize("thinking", ["enabled", "disabled"])
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream"])
def test_each_step_of_an_agent_extends_the_request_before_it(
    deepseek: Callable[..., ChatDeepSeek], compressor: Compressor, server: Recorded, thinking: str, way: str
) -> None:
    model = ChatSpecPrefill(inner=deepseek(extra_body={"thinking": {"type": thinking}}), compressor=compressor)
    agent = create_agent(model, [timetable], system_prompt="You know trains.")
    asked: Any = {"messages": [HumanMessage("When does the train to 'Basel' leave, in 4 steps?")]}
    if way == "invoke":
        agent.invoke(asked)
    elif way == "ainvoke":
        asyncio.run(agent.ainvoke(asked))
    else:
        list(agent.stream(asked, stream_mode="messages"))
    assert len(server.bodies) == 5
    for earlier, later in itertools.pairwise(server.requests):
        assert later["messages"][: len(earlier["messages"])] == earlier["messages"]
        assert later["tools"] == earlier["tools"]
    outputs = [message["content"] for message in server.messages() if message["role"] == "tool"]
    assert len(outputs) == 4
    assert len(outputs[0]) < 0.5 * len(timetable.invoke({"page": 4, "town": "Basel"}))
    calls = [message for message in server.messages() if message.get("tool_calls")]
    assert [message.get("reasoning_content") for message in calls] == [THOUGHTS if thinking == "enabled" else None] * 4


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_the_middleware_sends_deepseeks_reasoning_back_too(
    deepseek: Callable[..., ChatDeepSeek], compressor: Compressor, server: Recorded, way: str
) -> None:
    model = deepseek(extra_body={"thinking": {"type": "enabled"}})
    agent = create_agent(model, [timetable], middleware=[SpecPrefillMiddleware(compressor)])
    asked: Any = {"messages": [HumanMessage("When does the train to 'Basel' leave, in 4 steps?")]}
    _ = agent.invoke(asked) if way == "invoke" else asyncio.run(agent.ainvoke(asked))
    assert len(server.bodies) == 5
    calls = [message for message in server.messages() if message.get("tool_calls")]
    assert [message.get("reasoning_content") for message in calls] == [THOUGHTS] * 4
    for earlier, later in itertools.pairwise(server.requests):
        assert later["messages"][: len(earlier["messages"])] == earlier["messages"]
    outputs = [message["content"] for message in server.messages() if message["role"] == "tool"]
    assert len(outputs[0]) < 0.5 * len(timetable.invoke({"page": 4, "town": "Basel"}))


def test_deepseek_alone_drops_the_reasoning_and_is_refused(deepseek: Callable[..., ChatDeepSeek], chat: ChatSpecPrefill) -> None:
    """When this fails, langchain-deepseek sends reasoning back by itself, and `reasoning.py` can go."""
    thinking = deepseek(extra_body=None)
    question = HumanMessage("When does the train to 'Basel' leave?")
    called = thinking.bind_tools([timetable]).invoke([question])
    assert isinstance(called, AIMessage)
    assert called.additional_kwargs["reasoning_content"] == THOUGHTS
    history = [question, called, ToolMessage("At 7:30.", tool_call_id=called.tool_calls[0]["id"])]
    with pytest.raises(OpenAIInvalidRequestError, match=MISSING_REASONING):
        thinking.bind_tools([timetable]).invoke(history)
    wrapped = (
        ChatSpecPrefill(inner=thinking, compressor=chat.compressor).bind_tools([timetable]),
        ChatSpecPrefill(inner=thinking.bind_tools([timetable]), compressor=chat.compressor),
    )
    assert [model.invoke(history).content for model in wrapped] == [ANSWER, ANSWER]


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_reasoning_survives_the_standard_form_of_content(
    deepseek: Callable[..., ChatDeepSeek], compressor: Compressor, server: Recorded, version: str
) -> None:
    model = ChatSpecPrefill(inner=deepseek(extra_body=None, output_version=version), compressor=compressor).bind_tools([timetable])
    question = HumanMessage("When does the train to 'Basel' leave?")
    for called in (model.invoke([question]), added(list(model.stream([question])))):
        model.invoke([question, called, ToolMessage("At 7:30.", tool_call_id=called.tool_calls[0]["id"])])
        assert server.messages()[1]["reasoning_content"] == THOUGHTS


def test_reasoning_of_turns_without_calls_stays_home(
    deepseek: Callable[..., ChatDeepSeek], compressor: Compressor, server: Recorded
) -> None:
    model = ChatSpecPrefill(inner=deepseek(extra_body=None), compressor=compressor)
    answer = model.invoke("Hello")
    assert answer.additional_kwargs["reasoning_content"] == THOUGHTS
    model.invoke([HumanMessage("Hello"), answer, HumanMessage("And?")])
    assert all("reasoning_content" not in message for message in server.messages())


def test_a_subclass_of_the_model_keeps_its_ways_and_the_users_own_object_stays_as_it_was(
    deepseek: Callable[..., ChatDeepSeek], compressor: Compressor
) -> None:
    class Own(ChatDeepSeek):
        def greeting(self) -> str:
            return f"I am {self.model_name}"

    mine = Own(**deepseek().model_dump(include={"model_name"}), api_key="none")
    inside = ChatSpecPrefill(inner=mine, compressor=compressor)._model
    assert type(mine) is Own
    assert isinstance(inside, Own)
    assert inside.greeting() == "I am deepseek-flash"
    assert inside.root_client is mine.root_client
