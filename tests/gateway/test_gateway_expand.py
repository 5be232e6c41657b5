"""`expand` behind a gateway: models call it, the gateway answers, and clients see nothing of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from openai import OpenAI

from specprefill_agents import CompressionConfig, Originals
from specprefill_agents.gateway.access import Caller
from specprefill_agents.gateway.compressing import BodyCompressor
from specprefill_agents.gateway.expanding import TOOL
from specprefill_agents.gateway.looping import _events
from specprefill_agents.gateway.settings import GatewaySettings
from tests.gateway.odd_upstreams import misbehaving
from tests.gateway.running import in_memory, lexical, running
from tests.gateway.test_gateway_failures import Records, answering
from tests.gateway.timetables import TOOLS, conversation, timetable
from tests.openai_server import ANSWER, THOUGHTS, Recorded

EXPANDING: dict[str, Any] = {"expand": True, "compression": CompressionConfig()}
QUESTION = {"role": "user", "content": "First `timetable`, then `expand`: when does the train to 'Basel' leave?"}
EXPAND = {"id": "e", "type": "function", "function": {"name": "expand", "arguments": '{"id": "sp-aaaaaaaa"}'}}
OTHER = {"id": "t", "type": "function", "function": {"name": "timetable", "arguments": "{}"}}
BODY = {"model": "m", "messages": conversation(0), "tools": TOOLS}


def history() -> list[Any]:
    """A question, and the first call that it leads to with its output."""
    return [QUESTION, *conversation(1)[2:]]


@pytest.mark.parametrize("streams", [False, True])
def test_a_call_of_expand_is_answered_and_the_client_sees_only_what_comes_of_it(
    upstream: Recorded, client: Callable[..., OpenAI], streams: bool
) -> None:
    steps: list[Any] = []
    settings: dict[str, Any] = {"model": "deepseek-flash", "messages": history(), "tools": TOOLS}
    with running(
        upstream.url, lexical(originals=True, keep_ratio=0.3), lambda conversation, step: steps.append((conversation.id, step)), **EXPANDING
    ) as url:
        if streams:
            chunks = list(client(url).chat.completions.create(**settings, stream=True, stream_options={"include_usage": True}))
            deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
            content = "".join(delta.content or "" for delta in deltas)
            calls = [delta.tool_calls for delta in deltas if delta.tool_calls]
            reason = next(chunk.choices[0].finish_reason for chunk in reversed(chunks) if chunk.choices)
            (usage,) = [chunk.usage for chunk in chunks if chunk.usage]
        else:
            answer = client(url).chat.completions.create(**settings)
            content, calls, reason, usage = (
                answer.choices[0].message.content,
                answer.choices[0].message.tool_calls,
                answer.choices[0].finish_reason,
                answer.usage,
            )
    assert (content, calls or None, reason) == (ANSWER, None, "stop")
    first, second = upstream.requests
    assert first["tools"] == second["tools"] == [*TOOLS, TOOL]
    assert upstream.bodies[1].startswith(upstream.bodies[0][: upstream.bodies[0].index(b"}]")])
    *same, turn, result = second["messages"]
    assert same == first["messages"]
    assert (turn["tool_calls"][0]["function"]["name"], turn["reasoning_content"]) == ("expand", THOUGHTS)
    head, _, text = result["content"].partition("\n")
    assert head.startswith("[expanded sp-")
    assert text == timetable(0, "Basel")
    assert len(first["messages"][-1]["content"]) < 0.5 * len(text)
    assert usage.prompt_tokens == sum(len(body) // 4 for body in upstream.bodies)
    assert [(step.is_extra, step.expand_calls) for _, step in steps] == [(False, 1), (True, 0)]
    assert steps[1][1].plain.requests == 0
    assert len({conversation for conversation, _ in steps}) == 1


def test_what_follows_extends_what_the_client_sent_and_goes_on_with_its_conversation(upstream: Recorded) -> None:
    ids: list[str] = []
    with running(
        upstream.url, lexical(originals=True, keep_ratio=0.3), lambda conversation, _: ids.append(conversation.id), **EXPANDING
    ) as url:
        told = httpx.post(f"{url}/chat/completions", json={"model": "m", "messages": history(), "tools": TOOLS}, timeout=30)
        later = [*history(), told.json()["choices"][0]["message"], {"role": "user", "content": "Thank you."}]
        httpx.post(f"{url}/chat/completions", json={"model": "m", "messages": later, "tools": TOOLS}, timeout=30)
    first, _, third = upstream.requests
    assert third["messages"][: len(first["messages"])] == first["messages"]
    assert third["messages"][len(first["messages"]) :] == later[-2:]
    assert len(set(ids)) == 1


def streamed(message: dict[str, Any]) -> bytes:
    """A stream that brings a message, with its usage in the last event."""
    about = {"id": "s", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    deltas = [{"role": "assistant", "content": message["content"]}]
    deltas += [{"tool_calls": [{"index": index, **call}]} for index, call in enumerate(message["tool_calls"])]
    events = [{**about, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.append({**about, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 5}})
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + b"data: [DONE]\n\n"


def answer(message: dict[str, Any], streams: bool) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    whole = {"id": "w", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": {"prompt_tokens": 5}}
    data, kind = (streamed(message), b"text/event-stream") if streams else (json.dumps(whole).encode(), b"application/json")
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind, len(data)) + data


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(("calls", "left", "requests"), [([EXPAND, OTHER], [OTHER], 1), ([EXPAND], [], 3)])
def test_calls_of_other_tools_go_to_the_client_and_expanding_without_end_ends(
    client: Callable[..., OpenAI], streams: bool, calls: list[Any], left: list[Any], requests: int
) -> None:
    message = {"role": "assistant", "content": "Well. ", "tool_calls": calls}
    with (
        misbehaving(answering(answer(message, streams))) as odd,
        running(odd, lexical(originals=True, keep_ratio=0.3), max_expansions=2, **EXPANDING) as url,
    ):
        if streams:
            chunks = list(client(url).chat.completions.create(**BODY, stream=True))  # type: ignore[call-overload]
            made = [call for chunk in chunks if chunk.choices for call in chunk.choices[0].delta.tool_calls or ()]
            content = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
            assert content == "Well. " * requests
            (reason,) = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
            (usage,) = [chunk.usage for chunk in chunks if chunk.usage]
        else:
            told = client(url).chat.completions.create(**BODY)  # type: ignore[call-overload]
            made, reason, usage = told.choices[0].message.tool_calls or [], told.choices[0].finish_reason, told.usage
            assert told.choices[0].message.content == "Well. "
    assert [(call.id, call.function.name, call.function.arguments) for call in made] == [("t", "timetable", "{}")] * len(left)
    assert reason == ("tool_calls" if left else "stop")
    assert usage.prompt_tokens == 5 * requests


@pytest.mark.parametrize("streams", [False, True])
def test_an_answer_without_calls_of_expand_comes_back_as_the_same_bytes(streams: bool) -> None:
    raw = answer({"role": "assistant", "content": "Zürich", "tool_calls": [OTHER]}, streams)
    with misbehaving(answering(raw)) as odd, running(odd, lexical(originals=True, keep_ratio=0.3), **EXPANDING) as url:
        told = httpx.post(f"{url}/chat/completions", json=BODY)
    assert told.content == raw.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("cut", [1, 7, 64])
async def test_events_are_told_apart_however_they_come(cut: int) -> None:
    events = [b"data: a\r\n\r\n", b": ping\n\n", b"data: b\n\n", b"data: [DONE]"]
    whole = b"".join(events)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(whole), cut):
            yield whole[start : start + cut]

    assert [event async for event in _events(pieces())] == events


def test_an_answer_too_large_to_be_held_is_a_502() -> None:
    raw = answer({"role": "assistant", "content": "x" * 1000, "tool_calls": [OTHER]}, streams=False)
    compressor = lexical(originals=True, keep_ratio=0.3)
    with misbehaving(answering(raw)) as odd, running(odd, compressor, max_answer_bytes=1000, **EXPANDING) as url:
        assert httpx.post(f"{url}/chat/completions", json=BODY).status_code == 502


def test_a_further_turn_that_fails_breaks_the_stream_off() -> None:
    begun = iter([answer({"role": "assistant", "content": "Well. ", "tool_calls": [EXPAND]}, streams=True)])
    refusal = b"HTTP/1.1 429 Too Many\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    records = Records()
    compressor = lexical(records, originals=True, keep_ratio=0.3)
    with misbehaving(lambda connection: connection.sendall(next(begun, refusal))) as odd, running(odd, compressor, **EXPANDING) as url:
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(f"{url}/chat/completions", json={**BODY, "stream": True})
        assert httpx.post(f"{url}/chat/completions", json=BODY).status_code == 429
    assert records.reasons == ["gateway: a further turn failed: Problem"]


@pytest.mark.parametrize("data", [b"{}", b"not JSON", b'{"choices": []}'])
def test_an_answer_that_cannot_be_read_is_a_502(data: bytes) -> None:
    raw = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data)
    with misbehaving(answering(raw)) as odd, running(odd, lexical(originals=True, keep_ratio=0.3), **EXPANDING) as url:
        assert httpx.post(f"{url}/chat/completions", json=BODY).status_code == 502


def test_a_request_without_tools_or_with_an_expand_of_its_own_gets_none() -> None:
    bodies = BodyCompressor(lexical(originals=True, keep_ratio=0.3), GatewaySettings("http://127.0.0.1", **EXPANDING), in_memory)
    for others in ({}, {"tools": []}, {"tools": None}, {"tools": [*TOOLS, TOOL]}, {"tools": TOOLS, "n": 2}):
        data = json.dumps({"messages": conversation(0), **others}).encode()
        made = bodies.prepare(data, Caller("one", None, None))
        assert made.body == data
        assert made.originals is None
    compact = json.dumps({"messages": conversation(0), "tools": TOOLS, "z": 1.0}, separators=(",", ":"))
    sent = bodies.prepare(compact.encode(), Caller("one", None, None)).body.decode()
    assert sent == compact.replace('}],"z":1.0}', "}, " + json.dumps(TOOL) + '],"z":1.0}')


def test_a_tenants_originals_are_its_own() -> None:
    stores: dict[str, Originals] = {}

    def store(tenant: str) -> Originals:
        return stores.setdefault(tenant, in_memory(tenant))

    bodies = BodyCompressor(lexical(originals=True, keep_ratio=0.3), GatewaySettings("http://127.0.0.1", max_tenants=1, **EXPANDING), store)
    data = json.dumps({"messages": conversation(1), "tools": TOOLS}).encode()
    made = [bodies.prepare(data, Caller(tenant, None, None)).body for tenant in ("one", "two", "one")]
    assert made[0] == made[2] != made[1]
    text = timetable(0, "Basel")
    ids = {tenant: held.id_of(text) for tenant, held in stores.items()}
    assert ids["one"].encode() in made[0]
    assert ids["one"] != ids["two"]
    assert [stores["one"].get(ids["one"]), stores["two"].get(ids["one"])] == [text, None]
