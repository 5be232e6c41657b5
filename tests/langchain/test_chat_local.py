"""ChatLocal behaves as LangChain expects of a chat model: messages, streams, usage, stop strings, async, batches."""

from __future__ import annotations

import asyncio
import threading

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from specprefill_agents import UnknownDraftError
from specprefill_agents.targets.chat_template import ChatTurn
from specprefill_agents.targets.loading import load_target
from specprefill_agents.targets.local import LocalTarget
from specprefill_agents.targets.reading import Reading
from specprefill_agents.targets.tools import ToolCall
from specprefill_langchain import ChatLocal, chat_local


@pytest.fixture(scope="module")
def chat(tiny_draft: str) -> ChatLocal:
    return ChatLocal(model=tiny_draft, max_tokens=12, device="cpu", dtype="float32")


def test_weights_are_loaded_at_the_first_call_and_once(tiny_draft: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    monkeypatch.setattr(chat_local, "load_target", lambda name, settings: loads.append(name) or load_target(name, settings))
    model = ChatLocal(model=tiny_draft, max_tokens=2)
    assert loads == []
    model.batch(["a", "b", "c"])
    assert loads == [tiny_draft]


def test_an_answer_carries_usage_and_how_it_ended(chat: ChatLocal) -> None:
    answer = chat.invoke("Hello")
    read = chat.target.encode([ChatTurn("user", "Hello")]).end
    assert answer.usage_metadata == {
        "input_tokens": read,
        "output_tokens": 12,
        "total_tokens": read + 12,
        "input_token_details": {"cache_read": 0},
    }
    assert answer.response_metadata["finish_reason"] == "length"
    assert answer.response_metadata["model_name"] == chat.model
    assert answer.response_metadata["time_to_first_token_ms"] > 0


def test_a_stream_adds_up_to_the_answer_and_says_which_chunk_is_last(chat: ChatLocal) -> None:
    chunks = list(chat.stream("Hello"))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    answer = chat.invoke("Hello")
    assert whole.content == answer.content
    assert whole.usage_metadata
    assert answer.usage_metadata
    assert whole.usage_metadata["total_tokens"] == answer.usage_metadata["total_tokens"]
    # It was read for the answer before.
    assert answer.usage_metadata["input_token_details"] == {"cache_read": answer.usage_metadata["input_tokens"] - 1}
    assert whole.response_metadata["finish_reason"] == "length"
    positions = [chunk.chunk_position for chunk in chunks if isinstance(chunk, AIMessageChunk)]
    assert positions[-1] == "last"
    assert set(positions[:-1]) == {None}


def test_a_stop_string_ends_the_answer_and_is_left_out(chat: ChatLocal) -> None:
    whole = str(chat.invoke("Hello").content)
    stop = whole[len(whole) // 2 :][:1]
    answer = chat.invoke("Hello", stop=[stop])
    assert answer.content == whole.partition(stop)[0]
    assert answer.response_metadata["finish_reason"] == "stop"


def test_settings_can_be_given_per_call(chat: ChatLocal) -> None:
    usage = chat.bind(max_tokens=3).invoke("Hello").usage_metadata
    assert usage["output_tokens"] == 3
    first, second = (chat.bind(temperature=1.5, seed=seed, max_tokens=8).invoke("Hello").content for seed in (1, 2))
    assert first != second


async def test_async_answers_equal_sync_ones_and_are_made_off_the_event_loop(chat: ChatLocal, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[int] = set()
    read = Reading.read
    monkeypatch.setattr(Reading, "read", lambda self, *a, **k: threads.add(threading.get_ident()) or read(self, *a, **k))
    answers = await asyncio.gather(chat.ainvoke("one"), chat.ainvoke("two"))
    streamed = "".join([str(chunk.content) async for chunk in chat.astream("one")])
    assert threading.get_ident() not in threads
    assert [answer.content for answer in answers] == [chat.invoke("one").content, chat.invoke("two").content]
    assert streamed == answers[0].content


def test_every_kind_of_message_is_read(chat: ChatLocal, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[ChatTurn] = []
    encode = LocalTarget.encode
    monkeypatch.setattr(LocalTarget, "encode", lambda self, turns, tools: read.extend(turns) or encode(self, turns, tools))
    call = {"name": "grep", "args": {"pattern": "x"}, "id": "c1", "type": "tool_call"}
    chat.invoke(
        [
            SystemMessage("Be brief."),
            HumanMessage([{"type": "text", "text": "Find "}, "x"]),
            AIMessage("", tool_calls=[call]),
            ToolMessage("3: x", tool_call_id="c1", name="grep"),
            ChatMessage(role="critic", content="Hm."),
            AIMessageChunk(content="Yes."),
        ]
    )
    assert read == [
        ChatTurn("system", "Be brief."),
        ChatTurn("user", "Find x"),
        ChatTurn("assistant", "", (ToolCall("grep", {"pattern": "x"}, "c1"),)),
        ChatTurn("tool", "3: x", (), "grep", "c1"),
        ChatTurn("critic", "Hm."),
        ChatTurn("assistant", "Yes."),
    ]


def test_content_that_is_no_text_is_an_error_that_names_it(chat: ChatLocal) -> None:
    with pytest.raises(ValueError, match=r"text only.*image"):
        chat.invoke([HumanMessage([{"type": "image", "url": "https://example.org/a.png"}])])


def test_a_name_that_leads_nowhere_is_an_error_at_the_first_call() -> None:
    with pytest.raises(UnknownDraftError, match="Known drafts"):
        ChatLocal(model="no-such-model").invoke("Hello")
