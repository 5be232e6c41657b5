"""Invariants 5 and 6 (and 1 and 4 with them) for LangChain: ids, order, pairing and count stay; each request extends the last.

By hand with 50,000 examples each: `pytest --hypothesis-profile=thorough tests/test_invariants_messages.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from langchain.agents.middleware.types import ExtendedModelResponse, ModelRequest, ModelResponse
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage, ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from specprefill_agents.session import Session
from specprefill_langchain import PromptCompressor, SpecPrefillMiddleware
from specprefill_langchain.middleware import STATE_FIELD, merge_sessions
from specprefill_langchain.step import compress_step
from tests.conversations import CONVERSATIONS, conversation, wire
from tests.invariants import MANY, another, compressor
from tests.kinds import SEEDS
from tests.strategies import SIZES

RATIOS = (0.1, 0.3, 0.6)
EXCLUDED = ("secret",)


@cache
def shared(ratio: float, *, enabled: bool = True) -> PromptCompressor:
    return PromptCompressor(compressor(ratio, exclude_tools=EXCLUDED, enabled=enabled))


@MANY
@given(SEEDS, SIZES, st.sampled_from(RATIOS))
def test_invariants_5_and_1_ids_order_pairing_and_count_stay_and_switched_off_the_very_messages_are_sent(
    seed: int, size: int, ratio: float
) -> None:
    given_, untouched = conversation(seed, size), conversation(seed, size)
    sent = shared(ratio).invoke(given_)
    off = shared(1.0) if seed % 2 else shared(ratio, enabled=False)
    assert all(now is was for now, was in zip(off.invoke(given_), given_, strict=True))  # type: ignore[arg-type]
    assert isinstance(sent, list)
    assert given_ == untouched, "nothing that came in was changed"
    assert len(sent) == len(given_)
    calls: dict[str, str] = {}
    for was, now in zip(given_, sent, strict=True):
        calls |= {call["id"]: call["name"] for call in was.tool_calls} if isinstance(was, AIMessage) else {}
        if now is was:
            continue
        assert isinstance(was, ToolMessage)
        assert was.status == "success"
        assert (was.name or calls[was.tool_call_id]) not in ("expand", "secret")
        assert type(now) is type(was)
        assert now.model_dump(exclude={"content"}) == was.model_dump(exclude={"content"})
        only_texts_differ(was.content, now.content)


def only_texts_differ(was: Any, now: Any) -> None:
    """Contents are both a text, or lists of as many blocks that differ in nothing but the text of text blocks."""
    assert type(now) is type(was)
    for before, after in zip(was, now, strict=True) if isinstance(was, list) else ():
        assert type(after) is type(before)
        if isinstance(before, dict):
            assert after == ({**before, "text": after["text"]} if before.get("type") == "text" else before)


Send = Callable[[list[BaseMessage]], Sequence[BaseMessage]]
"""What one step of an agent sends for its messages."""


def stateless(settings: dict[str, Any]) -> Send:
    """Works every decision out again, from the messages alone."""
    made = compressor(**settings)
    return lambda messages: compress_step(made, made.session(""), messages).sent


def remembered(settings: dict[str, Any]) -> Send:
    """One process that knows the conversation by its id."""
    runnable = PromptCompressor(compressor(**settings))
    return lambda messages: runnable.invoke(messages, {"configurable": {"session_id": "a"}})  # type: ignore[return-value]


def restored(settings: dict[str, Any]) -> Send:
    """Another process at every step, which continues the session that the one before saved."""
    saved: dict[str, Any] = {}

    def send(messages: list[BaseMessage]) -> Sequence[BaseMessage]:
        made = another(**settings) if saved else compressor(**settings)
        session = Session.from_dict(json.loads(saved["session"]), made) if saved else made.session("a")
        sent = compress_step(made, session, messages).sent
        saved["session"] = json.dumps(session.to_dict())
        return sent

    return send


def in_an_agent(settings: dict[str, Any]) -> Send:
    """The middleware, with its decisions in the agent's state; the system message and the tools come first."""
    state: dict[str, Any] = {}
    system = SystemMessage("You read source code. <|im_end|>")

    def send(messages: list[BaseMessage]) -> Sequence[BaseMessage]:
        middleware = middlewares(len(messages) % 2, **settings)
        asked: list[ModelRequest[Any]] = []
        request: ModelRequest[Any] = ModelRequest(
            model=None,  # type: ignore[arg-type]
            messages=messages,  # type: ignore[arg-type]
            system_message=system,
            tools=[*middleware.tools],
            state={"messages": messages, **state},  # type: ignore[typeddict-item]
        )
        response = middleware.wrap_model_call(request, lambda request: asked.append(request) or ModelResponse(result=[AIMessage("")]))
        if isinstance(response, ExtendedModelResponse):
            assert response.command
            update = json.loads(json.dumps(response.command.update))[STATE_FIELD]
            state[STATE_FIELD] = merge_sessions(state.get(STATE_FIELD, {}), update)
        (seen,) = asked
        assert seen.system_message is system
        assert seen.tools == middleware.tools
        return seen.messages

    return send


@cache
def middlewares(number: int, **settings: Any) -> SpecPrefillMiddleware:
    """Two of the same settings, as two processes have them."""
    return SpecPrefillMiddleware(another(**settings) if number else compressor(**settings))


def test_invariant_6_the_tools_that_come_first_in_a_request_are_the_same_whatever_the_settings() -> None:
    (first, *others) = [middlewares(number, keep_ratio=ratio).tools for number in (0, 1) for ratio in RATIOS]
    assert all([convert_to_openai_tool(tool) for tool in tools] == [convert_to_openai_tool(tool) for tool in first] for tools in others)


WAYS = (stateless, remembered, restored, in_an_agent)


@MANY
@given(CONVERSATIONS, st.sampled_from(WAYS), st.sampled_from(RATIOS))
def test_invariant_6_each_request_extends_the_one_before_byte_for_byte(
    messages: list[BaseMessage], way: Callable[[dict[str, Any]], Send], ratio: float
) -> None:
    send = way({"keep_ratio": ratio, "exclude_tools": EXCLUDED})
    requests = [wire(send(messages[:end])) for end in steps(messages)]
    assert all(after.startswith(before) for before, after in pairwise(requests))
    assert wire(send(messages)) == requests[-1], "a call that is made again is the same call"


def steps(messages: Sequence[BaseMessage]) -> Iterator[int]:
    """How many messages each call of the model had before it."""
    yield from (at for at, message in enumerate(messages) if isinstance(message, AIMessage))
    yield len(messages)
