"""ChatSpecPrefill before a real OpenAI-compatible server over a real model: what the server is sent, and that it answers.

So small a model does not call tools by itself, so the calls of the conversation are given; the answers in it are its own.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_deepseek import ChatDeepSeek
from langchain_openai import ChatOpenAI

from specprefill_agents import Compressor
from specprefill_agents.draft.registry import pulled_directory
from specprefill_langchain import ChatSpecPrefill
from tests.langchain.chat_model.timetables import added, conversation, timetable
from tests.local_server import serving_model
from tests.openai_server import Recorded

THOUGHT = "The head of the table first.\n– Then “Basel”. "


@pytest.fixture(scope="module")
def local_server(embedded_draft: str) -> Iterator[Recorded]:
    with serving_model(str(pulled_directory(embedded_draft))) as recorded:
        yield recorded


@pytest.fixture
def settings(local_server: Recorded, embedded_draft: str) -> dict[str, Any]:
    """Of a chat model that asks the server for a short answer."""
    local_server.bodies.clear()
    model = str(pulled_directory(embedded_draft))
    return {"model": model, "api_key": "none", "base_url": local_server.url, "max_tokens": 4, "temperature": 0, "max_retries": 0}


def thoughtful(turns: list[BaseMessage]) -> list[BaseMessage]:
    """The turns, with the reasoning of those that called tools."""
    return [t.model_copy(update={"additional_kwargs": {"reasoning_content": THOUGHT}}) if isinstance(t, AIMessage) else t for t in turns]


def test_an_agents_requests_extend_each_other_and_are_answered(
    settings: dict[str, Any], local_server: Recorded, compressor: Compressor
) -> None:
    model = ChatSpecPrefill(inner=ChatDeepSeek(**settings), compressor=compressor).bind_tools([timetable])
    first, second = thoughtful(conversation(1)), thoughtful(conversation(1, town="Chur"))
    messages: list[BaseMessage] = []
    for turns in (first[:1], first[1:], [HumanMessage("And to Chur?")], second[1:]):
        messages += turns
        answer = model.invoke(messages)
        assert answer.text
        assert answer.usage_metadata
        assert answer.usage_metadata["output_tokens"] == 4
        if not isinstance(messages[-1], HumanMessage):
            messages.append(answer)
    requests = local_server.requests
    assert len(requests) == 4
    for earlier, later in itertools.pairwise(requests):
        assert later["messages"][: len(earlier["messages"])] == earlier["messages"]
        assert later["tools"] == earlier["tools"]
    assert requests[0]["tools"][0]["function"]["name"] == "timetable"
    sent = local_server.messages()
    assert [(m["role"], m.get("reasoning_content")) for m in sent if m.get("tool_calls")] == [("assistant", THOUGHT)] * 2
    assert [m["tool_call_id"] for m in sent if m["role"] == "tool"] == ["Basel-0", "Chur-0"]
    given = [m.text for m in messages if isinstance(m, ToolMessage)]
    for output, text in zip([m["content"] for m in sent if m["role"] == "tool"], given, strict=True):
        assert "leaves at 0:30" in output
        assert len(output) < 0.5 * len(text)


def test_the_server_reads_fewer_tokens_than_the_conversation_has(
    settings: dict[str, Any], local_server: Recorded, compressor: Compressor
) -> None:
    plain = ChatOpenAI(**settings)
    read, had = (model.invoke(conversation(1)).usage_metadata for model in (ChatSpecPrefill(inner=plain, compressor=compressor), plain))
    assert read
    assert had
    assert read["input_tokens"] < 0.6 * had["input_tokens"]


@pytest.mark.parametrize("kind", [ChatDeepSeek, ChatOpenAI])
def test_every_way_of_calling_sends_the_same_and_is_answered_alike(
    settings: dict[str, Any], local_server: Recorded, compressor: Compressor, kind: Callable[..., Any]
) -> None:
    model = ChatSpecPrefill(inner=kind(**settings), compressor=compressor)
    prompt = conversation(1)

    async def streamed() -> list[Any]:
        return [chunk async for chunk in model.astream(prompt)]

    answers = [model.invoke(prompt), asyncio.run(model.ainvoke(prompt)), *model.batch([prompt])]
    answers += [added(list(model.stream(prompt))), added(asyncio.run(streamed()))]
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].text
    sent = {json.dumps({**request, "stream": None, "stream_options": None}) for request in local_server.requests}
    assert len(local_server.bodies) == 5
    assert len({body.partition(b'"messages":')[2].partition(b'}],"')[0] for body in local_server.bodies}) == 1
    assert len(sent) == 1
