"""ChatSpecPrefill: what goes over the wire, what comes back, and that nothing of the model inside is lost."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ChatMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableBinding, RunnableLambda
from langchain_core.tools import tool
from langchain_deepseek import ChatDeepSeek
from langchain_openai.chat_models.base import OpenAIInvalidRequestError
from pydantic import BaseModel, Field, PrivateAttr

from specprefill_agents import Compressor, SpecPrefillError
from specprefill_agents.session import Session
from specprefill_langchain import ChatSpecPrefill, PromptCompressor, SpecPrefillMiddleware
from tests.langchain.openai_server import ANSWER, MISSING_REASONING, THOUGHTS, Recorded, serving

FIGURES = {"original_tokens", "kept_tokens", "scorer_ms", "cache_hits", "fallback_reason", "note"}
NOT_THINKING = {"thinking": {"type": "disabled"}}


@tool
def timetable(page: int, town: str) -> str:
    """Entries of the timetable."""
    lines = [f"entry {page}-{n}: nothing that anybody asked about" for n in range(40)]
    lines[7] = f"The train to {town} leaves at {page}:30."
    return "\n".join(lines)


def conversation(steps: int = 1, town: str = "Basel") -> list[BaseMessage]:
    """A question and `steps` calls, each with a long output of which one line answers it."""
    messages: list[BaseMessage] = [HumanMessage(f"When does the train to {town} leave?")]
    for step in range(steps):
        arguments = {"page": step, "town": town}
        messages.append(AIMessage("", tool_calls=[{"name": "timetable", "args": arguments, "id": f"{town}-{step}"}]))
        messages.append(ToolMessage(timetable.invoke(arguments), tool_call_id=f"{town}-{step}"))
    return messages


@pytest.fixture
def server() -> Iterator[Recorded]:
    with serving() as recorded:
        yield recorded


@pytest.fixture
def compressor(lexical: Callable[..., Compressor]) -> Compressor:
    return lexical(keep_ratio=0.2)


@pytest.fixture
def deepseek(server: Recorded) -> Callable[..., ChatDeepSeek]:
    """Makes models of the server; they do not think unless told to."""

    def make(**settings: Any) -> ChatDeepSeek:
        values = {"model": "deepseek-flash", "api_key": "none", "base_url": server.url, "stream_usage": True, "extra_body": NOT_THINKING}
        return ChatDeepSeek(**{**values, **settings})

    return make


@pytest.fixture
def chat(deepseek: Callable[..., ChatDeepSeek], compressor: Compressor) -> ChatSpecPrefill:
    return ChatSpecPrefill(inner=deepseek(), compressor=compressor)


def added(chunks: Sequence[Any]) -> AIMessageChunk:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert isinstance(whole, AIMessageChunk)
    return whole


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
    wire = b'"messages":%s' % _json(PromptCompressor(chat.compressor).invoke(prompt))

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


def _json(messages: Any) -> bytes:
    """Messages as the client of DeepSeek writes them."""
    payload = ChatDeepSeek(model="x", api_key="x")._get_request_payload(messages)["messages"]
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


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


def test_an_answer_carries_the_figures_beside_all_it_carries_anyway(chat: ChatSpecPrefill, deepseek: Callable[..., ChatDeepSeek]) -> None:
    prompt: list[Any] = conversation()
    plain, answer = deepseek().invoke(prompt), chat.invoke(prompt)
    figures = answer.response_metadata["specprefill"]
    assert set(figures) == FIGURES
    assert 0 < figures["kept_tokens"] < 0.3 * figures["original_tokens"]
    assert figures["fallback_reason"] is None
    json.dumps(figures)
    assert set(answer.response_metadata) == {*plain.response_metadata, "specprefill"}
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] < plain.usage_metadata["input_tokens"]  # type: ignore[index]
    assert "cache_read" in answer.usage_metadata["input_token_details"]


@pytest.mark.parametrize("settings", [{}, {"output_version": "v1"}])
async def test_only_the_last_chunk_of_a_stream_carries_them(
    deepseek: Callable[..., ChatDeepSeek], compressor: Compressor, settings: dict[str, Any]
) -> None:
    chat = ChatSpecPrefill(inner=deepseek(**settings), compressor=compressor)
    prompt: list[Any] = conversation()
    for chunks in (list(chat.stream(prompt)), [chunk async for chunk in chat.astream(prompt)]):
        assert ["specprefill" in chunk.response_metadata for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
        assert chunks[-1].chunk_position == "last"
        whole = added(chunks)
        assert whole.text == ANSWER
        assert set(whole.response_metadata["specprefill"]) == FIGURES
        assert whole.usage_metadata is not None
        assert whole.usage_metadata["total_tokens"] > 0


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
async def test_streamed_events_end_in_an_answer_with_the_figures(chat: ChatSpecPrefill) -> None:
    stream = chat.stream_events(conversation(), version="v3")
    assert stream.output.text == ANSWER
    assert stream.output.response_metadata["specprefill"]["kept_tokens"] > 0
    astream = await chat.astream_events(conversation(), version="v3")
    assert (await astream.output).response_metadata["specprefill"]["kept_tokens"] > 0


def test_structured_output_by_each_method_comes_from_the_compressed_prompt(chat: ChatSpecPrefill, server: Recorded) -> None:
    class Departure(BaseModel):
        """A train's departure."""

        hour: int = Field(description="of the day")
        town: str

    prompt = [*conversation(), HumanMessage("At which 'hour', to which 'town', as JSON?")]
    for method in ("function_calling", "json_schema"):
        assert isinstance(chat.with_structured_output(Departure, method=method).invoke(prompt), Departure)
    raw = chat.with_structured_output(None, method="json_mode", include_raw=True).invoke(prompt)
    assert isinstance(raw, dict)
    assert raw["parsed"] == {"hour": "about hour", "town": "about town"}
    assert set(raw["raw"].response_metadata["specprefill"]) == FIGURES
    whole = conversation()[2].content
    assert all(len(request["messages"][2]["content"]) < 0.5 * len(whole) for request in server.requests)


def test_strict_tools_reach_the_endpoint_that_knows_them(compressor: Compressor) -> None:
    chat = ChatSpecPrefill(inner=ChatDeepSeek(model="deepseek-flash", api_key="none"), compressor=compressor)
    strict: Any = chat.bind_tools([timetable], strict=True)
    assert isinstance(strict.bound, ChatSpecPrefill)
    assert str(strict.bound._model.root_client.base_url) == "https://api.deepseek.com/beta/"
    assert str(chat._model.root_client.base_url) == "https://api.deepseek.com/v1/"
    assert strict.bound._sessions is chat._sessions


def test_what_is_bound_to_the_model_inside_goes_out_with_every_call(
    deepseek: Callable[..., ChatDeepSeek], compressor: Compressor, server: Recorded
) -> None:
    @tool
    def fares(town: str) -> str:
        """Prices of tickets."""
        return "12"

    within = deepseek().bind_tools([timetable], tool_choice="timetable").bind(temperature=0.75, stop=["x"])
    bound = RunnableBinding(bound=within, kwargs={"temperature": 0.5})
    chat = ChatSpecPrefill(inner=bound, compressor=compressor)
    assert chat.invoke("Hello").tool_calls[0]["name"] == "timetable"
    assert list(chat.stream("Hello"))
    asyncio.run(chat.ainvoke("Hello"))
    assert chat.bind_tools([fares], tool_choice="any").invoke("Hello").tool_calls[0]["name"] == "fares"
    chat.invoke("Hello", temperature=0.25, stop=["y"])
    *same, other, own = server.requests
    assert all(r["tools"] == same[0]["tools"] and r["temperature"] == 0.5 and r["stop"] == ["x"] for r in same)
    assert [function["function"]["name"] for function in other["tools"]] == ["fares"]
    assert other["tool_choice"] == "required"
    assert other["temperature"] == 0.5
    assert (own["temperature"], own["stop"]) == (0.25, ["y"])


def test_a_bound_model_without_tools_and_one_with_a_config_are_taken_over(
    deepseek: Callable[..., ChatDeepSeek], compressor: Compressor
) -> None:
    recorder = Recorder()
    inner = deepseek(tags=["own"], metadata={"a": 1}, callbacks=[recorder]).bind(temperature=0.5).with_config(tags=["outer"])
    chat = ChatSpecPrefill(inner=inner, compressor=compressor)
    chat.invoke("Hello")
    assert chat.tags == ["outer", "own"]
    assert chat.metadata is not None
    assert chat.metadata["a"] == 1
    assert {"langchain-core", "langchain-deepseek"} <= set(chat.metadata["lc_versions"])
    assert recorder.seen == ["on_chat_model_start", "on_llm_end"]


@pytest.mark.parametrize(
    ("around", "says"),
    [
        (lambda model: model.with_retry(), "RunnableRetry"),
        (lambda model: model.with_fallbacks([model]), "RunnableWithFallbacks"),
        (lambda model: model | RunnableLambda(str), "RunnableSequence"),
        (lambda model: model.with_listeners(on_start=print), "listeners"),
    ],
)
def test_what_is_no_chat_model_is_refused_with_a_way_out(
    deepseek: Callable[..., ChatDeepSeek], compressor: Compressor, around: Callable[[Any], Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        ChatSpecPrefill(inner=around(deepseek()), compressor=compressor)


def test_a_misspelt_setting_is_an_error(deepseek: Callable[..., ChatDeepSeek], compressor: Compressor) -> None:
    with pytest.raises(ValueError, match="keep_ratio"):
        ChatSpecPrefill(inner=deepseek(), compressor=compressor, keep_ratio=0.3)  # type: ignore[call-arg]


class Recorder(BaseCallbackHandler):
    """The names of the callbacks that fire, without the tokens."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.names: list[str | None] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.seen.append("on_chat_model_start")
        self.names.append(kwargs["invocation_params"].get("model"))

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.seen.append("on_llm_end")

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.seen.append("on_llm_error")


class Tokens(BaseCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[str] = []

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(token)


@pytest.mark.parametrize("streams", [False, True])
def test_callbacks_fire_once_and_tell_of_the_model_inside(
    deepseek: Callable[..., ChatDeepSeek], compressor: Compressor, streams: bool
) -> None:
    recorder, tokens = Recorder(), Tokens()
    chat = ChatSpecPrefill(inner=deepseek(streaming=streams), compressor=compressor)
    chat.invoke(conversation(), {"callbacks": [recorder, tokens]})
    assert recorder.seen == ["on_chat_model_start", "on_llm_end"]
    assert recorder.names == ["deepseek-flash"]
    assert "".join(tokens.tokens) == (ANSWER if streams else "")


class Events(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    async def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        self.events.append((name, data))


async def test_a_run_around_the_call_gets_one_event_for_each(chat: ChatSpecPrefill) -> None:
    chain = RunnableLambda(lambda value: value) | chat
    handler = Events()
    answer = await chain.ainvoke(conversation(), {"callbacks": [handler]})
    assert handler.events == [("specprefill", answer.response_metadata["specprefill"])]
    found = [event async for event in chain.astream_events(conversation(), version="v2") if event["event"] == "on_custom_event"]
    assert [event["name"] for event in found] == ["specprefill"]
    assert [event async for event in chat.astream_events(conversation(), version="v2") if event["event"] == "on_custom_event"] == []


def test_with_a_session_id_each_output_is_scored_once_and_the_last_conversations_are_remembered(
    deepseek: Callable[..., ChatDeepSeek], compressor: Compressor, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(compressor, "session", lambda name: opened.append(name) or Session(name, compressor))
    scored: list[int] = []
    compress = compressor.compress
    monkeypatch.setattr(compressor, "compress", lambda segments, query: scored.append(len(segments)) or compress(segments, query))
    chat = ChatSpecPrefill(inner=deepseek(), compressor=compressor, max_sessions=2)
    for steps in (1, 2, 3):
        chat.bind_tools([timetable]).invoke(conversation(steps), {"configurable": {"thread_id": "a"}})
    assert scored == [1, 1, 1]
    graph = RunnableLambda(lambda messages: list(chat.stream(messages))[-1])
    graph.invoke(conversation(4), {"configurable": {"session_id": "a"}})
    assert scored == [1, 1, 1, 1]
    for name in ("b", "c", "a"):
        chat.invoke(conversation(1, name), {"configurable": {"session_id": name}})
    assert opened == ["a", "b", "c", "a"]
    for steps in (2, 3):
        chat.invoke(conversation(steps))
    assert len(opened) == 5, "what nobody named is known by what it begins with"


def test_answers_are_cached_by_the_settings_of_compression_and_by_nothing_that_is_not_sent(
    deepseek: Callable[..., ChatDeepSeek], lexical: Callable[..., Compressor], server: Recorded
) -> None:
    cache = InMemoryCache()
    inner = deepseek(cache=cache)
    chats = [ChatSpecPrefill(inner=inner, compressor=lexical(keep_ratio=ratio)) for ratio in (0.2, 0.5)]
    prompt = conversation()
    for chat in (*chats, *chats):
        chat.invoke(prompt)
    chats[0].invoke(prompt, {"configurable": {"session_id": "another"}})
    inner.invoke(prompt)
    assert len(server.bodies) == 3
    ChatSpecPrefill(inner=inner, compressor=chats[0].compressor, query="entry 0-31").invoke(prompt)
    assert len(server.bodies) == 4


def test_what_the_model_inside_says_of_itself_is_said_of_the_whole(deepseek: Callable[..., ChatDeepSeek], compressor: Compressor) -> None:
    inner = deepseek(model="deepseek-v4-pro", temperature=0.5)
    chat = ChatSpecPrefill(inner=inner, compressor=compressor)
    assert chat.profile == inner.profile
    assert chat.profile
    assert chat._get_ls_params(stop=["x"]) == inner._get_ls_params(stop=["x"])
    assert chat._llm_type == "chat-deepseek"
    assert chat.model_name == "deepseek-v4-pro"
    assert chat.asdict()["specprefill"] == compressor.fingerprint


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
