"""ChatSpecPrefill around models that stream for ever, not at all or oddly, that fail, or that hide."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ChatMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableLambda
from langchain_deepseek import ChatDeepSeek
from pydantic import PrivateAttr

from specprefill_agents import Compressor, SpecPrefillError
from specprefill_agents.session import Session
from specprefill_langchain import ChatSpecPrefill
from tests.langchain.chat_model.recorders import Recorder
from tests.langchain.chat_model.timetables import conversation, timetable
from tests.openai_server import ANSWER, Recorded


class Endless(BaseChatModel):
    """Streams without end, or fails: `fails` after so many chunks. Keeps what it was asked."""

    fails: int | None = None
    _asked: list[list[BaseMessage]] = PrivateAttr(default_factory=list)
    _closed: list[str] = PrivateAttr(default_factory=list)

    @property
    def asked(self) -> list[list[BaseMessage]]:
        return self._asked

    @property
    def closed(self) -> list[str]:
        return self._closed

    @property
    def _llm_type(self) -> str:
        return "endless"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        raise ConnectionError("no line")

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        self._asked.append(messages)
        try:
            for n in itertools.count():
                if n == self.fails:
                    raise ConnectionError("cut off")
                yield ChatGenerationChunk(message=AIMessageChunk(content=f"{n} "))
        finally:
            self._closed.append("sync")

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        try:
            for chunk in self._stream(messages, stop, run_manager, **kwargs):
                await asyncio.sleep(0)
                yield chunk
        finally:
            self._closed.append("async")


def test_messages_of_any_kind_reach_the_model_as_they_are(compressor: Compressor) -> None:
    inner = Endless()
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    odd: list[BaseMessage] = [
        ChatMessage("hm", role="narrator"),
        HumanMessage([{"type": "text", "text": "Which?"}, picture]),
        AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": None}]),
        ToolMessage("", tool_call_id=""),
        ToolMessage([picture], tool_call_id="nobody asked", artifact={"rows": 3}),
        ToolMessage("no such file " * 200, tool_call_id="x", status="error"),
    ]
    next(iter(ChatSpecPrefill(inner=inner, compressor=compressor).stream(odd)))
    assert inner.asked == [odd]


async def test_a_stream_without_end_flows_at_once_and_ends_when_it_is_let_go(compressor: Compressor) -> None:
    inner = Endless()
    chat = ChatSpecPrefill(inner=inner, compressor=compressor)
    chunks = chat.stream("Count")
    assert [next(chunks).content for _ in range(3)] == ["0 ", "1 ", "2 "]
    chunks.close()  # type: ignore[attr-defined]
    assert inner.closed == ["sync"]

    seen: list[str] = []

    async def read() -> None:
        async for chunk in chat.astream("Count"):
            seen.append(str(chunk.content))
            if len(seen) == 3:
                reading.cancel()

    reading = asyncio.create_task(read())
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert seen == ["0 ", "1 ", "2 "]
    await asyncio.sleep(0)
    assert inner.closed == ["sync", "sync", "async"]


async def test_what_the_model_inside_raises_comes_through_once(compressor: Compressor) -> None:
    chat = ChatSpecPrefill(inner=Endless(fails=2), compressor=compressor)
    recorder = Recorder()
    chunks = chat.stream("Count", {"callbacks": [recorder]})
    assert [next(chunks).content, next(chunks).content] == ["0 ", "1 "]
    with pytest.raises(ConnectionError, match="cut off"):
        next(chunks)
    assert recorder.seen == ["on_chat_model_start", "on_llm_error"]
    with pytest.raises(ConnectionError, match="cut off"):
        assert [chunk async for chunk in chat.astream("Count")]
    with pytest.raises(ConnectionError, match="no line"):
        chat.invoke("Count", stream=False)
    with pytest.raises(ConnectionError, match="no line"):
        await chat.ainvoke("Count", stream=False)


class NoStream(BaseChatModel):
    """Answers in one piece, and binds tools in a way of its own."""

    @property
    def _llm_type(self) -> str:
        return "no-stream"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        from langchain_core.outputs import ChatGeneration

        return ChatResult(generations=[ChatGeneration(message=AIMessage(str(messages[-1].content)))])

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any) -> Any:
        return RunnableLambda(lambda prompt: self.invoke(prompt))


class Marking(NoStream):
    """Streams chunks with the positions given."""

    positions: list[Any]

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        for n, position in enumerate(self.positions):
            yield ChatGenerationChunk(message=AIMessageChunk(content=f"{n} ", chunk_position=position, response_metadata={"n": position}))


@pytest.mark.parametrize(
    ("positions", "texts"),
    [
        ([None, "last"], ["0 ", "1 "]),
        ([None, None], ["0 ", "1 ", ""]),
        ([None, "last", None], ["0 ", "1 ", "2 ", ""]),
        (["last", "last"], ["0 ", "1 "]),
    ],
)
async def test_the_figures_come_once_and_last_wherever_a_model_says_that_its_stream_ends(
    compressor: Compressor, positions: list[Any], texts: list[str]
) -> None:
    chat = ChatSpecPrefill(inner=Marking(positions=positions), compressor=compressor)
    for chunks in (list(chat.stream("Count")), [chunk async for chunk in chat.astream("Count")]):
        assert [chunk.content for chunk in chunks] == texts
        assert ["specprefill" in chunk.response_metadata for chunk in chunks] == [False] * (len(texts) - 1) + [True]
        assert [chunk.response_metadata["n"] for chunk in chunks if "n" in chunk.response_metadata] == positions
        assert chunks[-1].chunk_position == "last"


def test_a_stream_of_nothing_is_the_error_that_it_is_without_compression(compressor: Compressor) -> None:
    for model in (Marking(positions=[]), ChatSpecPrefill(inner=Marking(positions=[]), compressor=compressor)):
        with pytest.raises(ValueError, match="No generation chunks were returned"):
            list(model.stream("Count"))


class Telling(NoStream):
    """Tells its run manager of a token."""

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        run_manager.on_llm_new_token("token")
        return super()._generate(messages, stop, run_manager, **kwargs)

    async def _agenerate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        await run_manager.on_llm_new_token("token")
        return super()._generate(messages, stop, None, **kwargs)


async def test_the_model_inside_has_the_run_manager_of_the_call(compressor: Compressor) -> None:
    chat, runs = ChatSpecPrefill(inner=Telling(), compressor=compressor), Runs()
    chat.invoke("Hello", {"callbacks": [runs]})
    await chat.ainvoke("Hello", {"callbacks": [runs]})
    (first, started), (second, _), (third, restarted), (fourth, _) = runs.seen
    assert [first, second, third, fourth] == ["start", "token", "start", "token"]
    assert [run for _, run in runs.seen] == [started, started, restarted, restarted]


class Runs(BaseCallbackHandler):
    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.seen.append(("start", kwargs["run_id"]))

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.seen.append((token, kwargs["run_id"]))


class Counting(NoStream):
    """Counts bytes for tokens, and a message for ten more."""

    def get_token_ids(self, text: str) -> list[int]:
        return list(text.encode())

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None, *, extra: int = 0) -> int:
        return sum(10 + len(str(message.content)) for message in messages) + len(tools or []) + extra


def test_tokens_are_counted_as_the_model_inside_counts_them(compressor: Compressor) -> None:
    chat = ChatSpecPrefill(inner=Counting(), compressor=compressor)
    assert chat.get_token_ids("Zürich") == list("Zürich".encode())
    assert chat.get_num_tokens("Zürich") == 7
    assert chat.get_num_tokens_from_messages([HumanMessage("abc"), AIMessage("d")], [timetable], extra=5) == 30


def test_a_model_that_does_not_stream_answers_in_one_piece(compressor: Compressor) -> None:
    chat = ChatSpecPrefill(inner=NoStream(), compressor=compressor)
    (only,) = chat.stream(conversation())
    assert only.response_metadata["specprefill"]["kept_tokens"] > 0
    assert len(only.content) < 0.5 * len(conversation()[2].content)


def test_a_model_that_hides_itself_behind_its_tools_is_still_sent_compressed_prompts(compressor: Compressor) -> None:
    chat = ChatSpecPrefill(inner=NoStream(), compressor=compressor)
    assert chat.bind_tools([timetable]).invoke(conversation()).content == chat.invoke(conversation()).content


def test_a_compressor_that_fails_forwards_the_originals_and_says_so(
    chat: ChatSpecPrefill, monkeypatch: pytest.MonkeyPatch, server: Recorded
) -> None:
    monkeypatch.setattr(Session, "_decide", lambda *_: 1 / 0)
    answer = chat.invoke(conversation())
    assert "ZeroDivisionError" in answer.response_metadata["specprefill"]["fallback_reason"]
    assert server.messages()[2]["content"] == conversation()[2].content
    assert answer.content == ANSWER


def test_where_it_is_asked_for_a_failure_is_raised(
    deepseek: Callable[..., ChatDeepSeek], lexical: Callable[..., Compressor], monkeypatch: pytest.MonkeyPatch, server: Recorded
) -> None:
    monkeypatch.setattr(Session, "_decide", lambda *_: 1 / 0)
    with pytest.raises((ZeroDivisionError, SpecPrefillError)):
        ChatSpecPrefill(inner=deepseek(), compressor=lexical(on_error="raise")).invoke(conversation())
    assert server.bodies == []


async def test_many_conversations_at_once_are_scored_in_one_thread_off_the_event_loop(compressor: Compressor) -> None:
    threads: set[threading.Thread] = set()
    compress = compressor.compress

    def watched(segments: Any, query: str) -> Any:
        threads.add(threading.current_thread())
        return compress(segments, query)

    compressor.compress = watched  # type: ignore[method-assign]
    chat = ChatSpecPrefill(inner=NoStream(), compressor=compressor)
    answers = await asyncio.gather(
        *(chat.ainvoke(conversation(1, f"town {n}"), {"configurable": {"session_id": str(n)}}) for n in range(200))
    )
    assert all(f"The train to town {n} leaves" in str(answer.content) for n, answer in enumerate(answers))
    assert len(threads) == 1
    assert threading.main_thread() not in threads
