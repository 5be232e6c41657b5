"""SpecPrefillLLM: what goes over the wire, DeepSeek's reasoning included."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.llms.deepseek import DeepSeek
from llama_index.llms.openai_like import OpenAILike
from openai import BadRequestError

from specprefill_agents import Compressor
from specprefill_llamaindex import SpecPrefillLLM
from tests.llamaindex.llm.timetables import QUESTION, TOOL, called, conversation, result, timetable
from tests.openai_server import ANSWER, MISSING_REASONING, THOUGHTS, Recorded


def test_only_the_texts_of_tool_outputs_are_shorter_on_the_wire(
    llm: SpecPrefillLLM, deepseek: Callable[..., DeepSeek], server: Recorded
) -> None:
    given = conversation(2)
    llm.chat_with_tools([TOOL], chat_history=given)
    deepseek().chat_with_tools([TOOL], chat_history=given)
    sent, plain = server.requests
    for now, was in zip(sent["messages"], plain["messages"], strict=True):
        if was["role"] == "tool":
            assert len(now["content"]) < 0.5 * len(was["content"])
            assert "The train to Basel leaves at" in now["content"]
        assert {**now, "content": None} == {**was, "content": None}
    assert sent["messages"][:3] == plain["messages"][:3]
    assert {**sent, "messages": None} == {**plain, "messages": None}
    assert given == conversation(2)


def test_every_way_of_calling_sends_the_same_messages(llm: SpecPrefillLLM, server: Recorded) -> None:
    async def asynchronously() -> None:
        await llm.achat(given)
        assert [part async for part in await llm.astream_chat(given)]
        await llm.achat_with_tools([TOOL], chat_history=given)
        assert [part async for part in await llm.astream_chat_with_tools([TOOL], chat_history=given)]

    given = conversation(2)
    llm.chat(given)
    assert list(llm.stream_chat(given))
    llm.chat_with_tools([TOOL], chat_history=given)
    assert list(llm.stream_chat_with_tools([TOOL], chat_history=given))
    asyncio.run(asynchronously())
    wires = {body[: body.index(b'"model"')] for body in server.bodies}
    assert len(server.bodies) == 8
    assert len(wires) == 1
    assert all(len(message["content"]) < 0.5 * len(timetable(0, "Basel")) for message in server.messages() if message["role"] == "tool")


def test_the_users_message_of_a_call_with_tools_is_asked_and_stays_out_of_the_history(llm: SpecPrefillLLM, server: Recorded) -> None:
    history = conversation(1)
    response = llm.chat_with_tools([TOOL], user_msg="And to 'Chur'?", chat_history=history, tool_required=True)
    assert [(call.tool_name, call.tool_kwargs["town"]) for call in llm.get_tool_calls_from_response(response)] == [("timetable", "Chur")]
    assert server.requests[-1]["tool_choice"] == "required"
    assert server.messages()[-1] == {"role": "user", "content": "And to 'Chur'?"}
    assert history == conversation(1)


def test_any_chat_completions_provider_can_be_inside(compressor: Compressor, server: Recorded) -> None:
    settings: dict[str, Any] = {"model": "some-model", "api_base": server.url, "api_key": "none", "is_chat_model": True}
    llm = SpecPrefillLLM(OpenAILike(**settings, is_function_calling_model=True), compressor)
    assert not llm.send_reasoning
    llm.chat([*conversation(1), ChatMessage("So?", role="user")], extra_body={"thinking": {"type": "disabled"}})
    assert len(server.messages()[3]["content"]) < 0.5 * len(timetable(0, "Basel"))
    assert SpecPrefillLLM(OpenAILike(**{**settings, "model": "deepseek-ai/DeepSeek-V4"}), compressor).send_reasoning
    assert SpecPrefillLLM(OpenAILike(**{**settings, "api_base": "https://api.deepseek.com"}), compressor).send_reasoning


def test_deepseek_alone_drops_the_reasoning_and_is_refused(deepseek: Callable[..., DeepSeek], compressor: Compressor) -> None:
    """When this fails, llama-index-llms-openai sends reasoning back by itself, and `reasoning.py` can go."""
    thinking = deepseek(additional_kwargs={})
    question = ChatMessage(QUESTION, role="user")
    first = thinking.chat_with_tools([TOOL], chat_history=[question])
    history = [question, first.message, result("At 7:30.", "call-1")]
    with pytest.raises(BadRequestError, match=MISSING_REASONING):
        thinking.chat_with_tools([TOOL], chat_history=history)
    assert SpecPrefillLLM(thinking, compressor).chat_with_tools([TOOL], chat_history=history).message.content == ANSWER
    with pytest.raises(BadRequestError, match=MISSING_REASONING):
        SpecPrefillLLM(thinking, compressor, send_reasoning=False).chat_with_tools([TOOL], chat_history=history)


@pytest.mark.parametrize("streaming", [False, True])
def test_reasoning_goes_back_as_it_came_and_the_calls_with_it(
    deepseek: Callable[..., DeepSeek], compressor: Compressor, server: Recorded, streaming: bool
) -> None:
    llm = SpecPrefillLLM(deepseek(additional_kwargs={}), compressor)
    question = ChatMessage(QUESTION, role="user")
    first = (
        list(llm.stream_chat_with_tools([TOOL], chat_history=[question]))[-1]
        if streaming
        else llm.chat_with_tools([TOOL], chat_history=[question])
    )
    before = first.message.model_dump()
    llm.chat_with_tools([TOOL], chat_history=[question, first.message, result(timetable(7, "Basel"), "call-1")])
    assert server.messages()[1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"type": "function", "function": {"name": "timetable", "arguments": '{"page": 0, "town": "Basel"}'}, "id": "call-1"}
        ],
        "reasoning_content": THOUGHTS,
    }
    assert len(server.messages()[2]["content"]) < 0.5 * len(timetable(7, "Basel"))
    assert first.message.model_dump() == before


def test_reasoning_of_turns_without_calls_stays_home(deepseek: Callable[..., DeepSeek], compressor: Compressor, server: Recorded) -> None:
    llm = SpecPrefillLLM(deepseek(additional_kwargs={}), compressor)
    answer = llm.chat([ChatMessage("Hello", role="user")])
    llm.chat([ChatMessage("Hello", role="user"), answer.message, ChatMessage("And?", role="user")])
    assert answer.message.blocks[0].content == THOUGHTS
    assert all("reasoning_content" not in message for message in server.messages())


def test_what_failed_to_compress_goes_out_whole(
    llm: SpecPrefillLLM, compressor: Compressor, server: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressor, "session", lambda name: 1 / 0)
    response = llm.chat([*conversation(1), called("again", page=1, town="Basel"), result("At 1:30.", "again")])
    assert server.messages()[3]["content"] == timetable(0, "Basel")
    assert response.additional_kwargs["specprefill"]["fallback_reason"] == "a session step failed: ZeroDivisionError"
