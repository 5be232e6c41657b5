"""ChatSpecPrefill: what comes back, and that nothing of the model inside is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableBinding, RunnableLambda
from langchain_core.tools import tool
from langchain_deepseek import ChatDeepSeek
from pydantic import BaseModel, Field

from specprefill_agents import Compressor
from specprefill_agents.session import Session
from specprefill_langchain import ChatSpecPrefill
from tests.langchain.chat_model.recorders import Recorder
from tests.langchain.chat_model.timetables import FIGURES, added, conversation, timetable
from tests.openai_server import ANSWER, Recorded


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


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
async def test_streamed_events_belong_to_the_conversation_that_their_config_names(
    chat: ChatSpecPrefill, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    session = chat.compressor.session
    monkeypatch.setattr(chat.compressor, "session", lambda name: opened.append(name) or session(name))
    assert chat.stream_events(conversation(), {"configurable": {"session_id": "s"}}, version="v3").output.text == ANSWER
    astream = await chat.astream_events(conversation(), {"configurable": {"session_id": "t"}}, version="v3")
    assert (await astream.output).text == ANSWER
    assert [event async for event in chat.astream_events(conversation(), {"configurable": {"session_id": "u"}}, version="v2")]
    assert opened == ["s", "t", "u"]


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
