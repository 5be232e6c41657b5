"""SpecPrefillLLM: messages in odd forms, and models that fail, hang or never end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ImageBlock, MessageRole, TextBlock
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.llms.llm import ToolSelection

from specprefill_agents import CompressedSegment, Compressor
from specprefill_llamaindex import SpecPrefillLLM
from specprefill_llamaindex.messages import calls_in, put_back, rounds
from tests.llamaindex.llm.scripted import Scripted
from tests.llamaindex.llm.timetables import called, conversation, result, timetable

PICTURE = ImageBlock(url="https://example.org/a.png", image_mimetype="image/png")
LONG = timetable(3, "Basel")
QUESTION = ChatMessage("When does the train to Basel leave?", role="user")


def sent(compressor: Compressor, messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    inner = Scripted(responses=["Yes."])
    SpecPrefillLLM(inner, compressor).chat(messages)
    return inner.asked[0]


@pytest.mark.parametrize(
    "odd",
    [
        ChatMessage("", role="tool", additional_kwargs={"tool_call_id": "a"}),
        ChatMessage(role="tool", additional_kwargs={"tool_call_id": "a"}),
        ChatMessage(" \n", role="tool"),
        ChatMessage([PICTURE], role="tool"),
        ChatMessage([TextBlock(text=LONG), PICTURE], role="user"),
        ChatMessage(LONG, role="assistant", additional_kwargs={"reasoning_content": LONG}),
        ChatMessage(LONG, role="system"),
        ChatMessage(LONG, role="developer"),
        ChatMessage(LONG, role="tool", additional_kwargs={"tool_call_id": "x", "name": "expand"}),
    ],
)
def test_what_is_no_tool_output_with_text_goes_out_as_the_very_message(compressor: Compressor, odd: ChatMessage) -> None:
    messages = [QUESTION, called("a", page=3, town="Basel"), odd]
    assert all(now is was for now, was in zip(sent(compressor, messages), messages, strict=True))


def test_of_several_blocks_only_texts_are_shortened(compressor: Compressor) -> None:
    given = ChatMessage([TextBlock(text=LONG), PICTURE, TextBlock(text="short"), TextBlock(text=LONG[::-1])], role="tool")
    (_, now) = sent(compressor, [QUESTION, given])
    assert [type(block) for block in now.blocks] == [type(block) for block in given.blocks]
    assert now.blocks[1] is given.blocks[1]
    assert len(now.blocks[0].text) < 0.5 * len(LONG)
    assert "The train to Basel leaves at 3:30." in now.blocks[0].text
    assert given.blocks[0].text == LONG


@pytest.mark.parametrize("role", ["tool", "function"])
@pytest.mark.parametrize("beside", [{}, {"tool_call_id": "nobody's"}, {"tool_call_id": None}, {"tool_call_id": 7, "name": "timetable"}])
def test_an_output_without_a_call_is_read_for_the_question(compressor: Compressor, role: str, beside: dict[str, Any]) -> None:
    _, now = sent(compressor, [QUESTION, ChatMessage(LONG, role=role, additional_kwargs=beside)])
    assert "The train to Basel leaves at 3:30." in (now.content or "")
    assert len(now.content or "") < 0.5 * len(LONG)
    assert now.additional_kwargs == beside


def test_no_messages_are_no_messages(compressor: Compressor) -> None:
    assert sent(compressor, []) == []


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({"tool_calls": [{"id": "a", "function": {"name": "grep", "arguments": '{"text": "x"}'}}]}, {"text": "x"}),
        ({"tool_calls": [{"id": "a", "function": {"name": "grep", "arguments": '{"text": '}}]}, {}),
        ({"tool_calls": [{"id": "a", "function": {"name": "grep"}}]}, {}),
        ({"tool_calls": [ToolSelection(tool_id="a", tool_name="grep", tool_kwargs={"text": "x"})]}, {"text": "x"}),
    ],
)
def test_calls_that_older_integrations_keep_beside_the_blocks_are_known(kwargs: dict[str, Any], expected: dict[str, Any]) -> None:
    (call,) = calls_in(ChatMessage("I look.", role="assistant", additional_kwargs=kwargs)).values()
    assert (call.tool, call.arguments, call.intent) == ("grep", expected, "I look.")


@pytest.mark.parametrize("calls", [None, "grep", [None], [{"id": "a"}], [{"function": {"name": "grep"}}], {"id": "a"}])
def test_calls_in_no_known_form_are_none(calls: object) -> None:
    assert calls_in(ChatMessage("I look.", role="assistant", additional_kwargs={"tool_calls": calls})) == {}


def test_each_round_is_read_with_the_query_of_its_own_time() -> None:
    answer, question = ChatMessage("At 1:30.", role="assistant"), ChatMessage("And to Chur?", role="user")
    messages = [*conversation(2), answer, question, called("c", page=9, town="Chur"), result(LONG, "c")]
    assert [part.query.splitlines() for part in rounds(messages)] == [
        ["When does the train to Basel leave?", "0", "Basel"],
        ["When does the train to Basel leave?", "1", "Basel"],
        ["And to Chur?", "9", "Chur"],
    ]
    assert rounds(messages[:4]) == rounds(messages)[:1]
    assert {part.query for part in rounds(messages, "mine")} == {"mine"}
    slots = [slot for part in rounds(messages) for slot in part.slots]
    whole = [CompressedSegment(one.segment.text, (), "passthrough", 1, 1) for one in slots]
    assert all(now is was for now, was in zip(put_back(messages, slots, whole), messages, strict=True))


class Failing(Scripted):
    """Answers with an error, never, or without end."""

    way: str = "raises"
    _closed: list[str] = PrivateAttr(default_factory=list)
    _waiting: asyncio.Event = PrivateAttr(default_factory=asyncio.Event)

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        raise RuntimeError("out of order")

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        self._asked.append(list(messages))
        self._waiting.set()
        await asyncio.Event().wait()
        raise AssertionError

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Iterator[ChatResponse]:
        try:
            while True:
                yield ChatResponse(message=ChatMessage("more", role="assistant"), delta="more")
        finally:
            self._closed.append("stream")

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> AsyncIterator[ChatResponse]:
        async def parts() -> AsyncIterator[ChatResponse]:
            try:
                while True:
                    yield ChatResponse(message=ChatMessage("more", role="assistant"), delta="more")
            finally:
                self._closed.append("astream")

        return parts()


async def test_what_the_model_raises_passes_through(compressor: Compressor) -> None:
    given = conversation(1)
    with pytest.raises(RuntimeError, match="out of order"):
        SpecPrefillLLM(Failing(responses=[]), compressor).chat(given)
    assert given == conversation(1)


async def test_a_stream_without_end_can_be_left_and_the_models_own_is_closed(compressor: Compressor) -> None:
    inner = Failing(responses=[])
    llm = SpecPrefillLLM(inner, compressor, on_step=lambda step: None)
    stream = llm.stream_chat(conversation(1))
    assert [next(stream).delta for _ in range(3)] == ["more"] * 3
    stream.close()
    astream = await llm.astream_chat(conversation(1))
    assert (await anext(astream)).delta == "more"
    await astream.aclose()
    assert inner._closed == ["stream", "astream"]


async def test_a_call_that_is_cancelled_leaves_the_conversation_to_the_next(compressor: Compressor) -> None:
    inner = Failing(responses=[])
    llm = SpecPrefillLLM(inner, compressor)
    task = asyncio.create_task(llm.achat(conversation(1)))
    await inner._waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sent(compressor, conversation(1)) == inner.asked[0]
    stream = llm.stream_chat(conversation(1))
    assert next(stream).additional_kwargs["specprefill"]["scorer_ms"] == 0
    stream.close()


async def test_a_call_that_is_cancelled_while_the_draft_reads_leaves_the_conversation_to_the_next(
    compressor: Compressor, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    compress = compressor.compress

    def slowly(*arguments: Any) -> Any:
        loop.call_soon_threadsafe(reading.set)
        assert go_on.wait(30)
        return compress(*arguments)

    monkeypatch.setattr(compressor, "compress", slowly)
    inner = Scripted(responses=["Yes."])
    llm = SpecPrefillLLM(inner, compressor)
    task = asyncio.create_task(llm.achat(conversation(1)))
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    response = await llm.achat(conversation(1))
    assert response.additional_kwargs["specprefill"]["scorer_ms"] == 0
    assert inner.asked == [sent(compressor, conversation(1))]


def test_errors_are_raised_where_the_configuration_says_so(lexical: Callable[..., Compressor], monkeypatch: pytest.MonkeyPatch) -> None:
    strict = lexical(keep_ratio=0.2, on_error="raise")
    monkeypatch.setattr(strict, "session", lambda name: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        SpecPrefillLLM(Scripted(responses=["Yes."]), strict).chat(conversation(1))


def test_roles_of_assistants_close_a_round() -> None:
    for role in (MessageRole.ASSISTANT, MessageRole.CHATBOT, MessageRole.MODEL):
        messages = [QUESTION, result(LONG, "a"), ChatMessage("Hm.", role=role), result(LONG, "b")]
        assert [[slot.message for slot in part.slots] for part in rounds(messages)] == [[1], [3]]
