"""What a gateway sends on, byte for byte, and what comes back of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tests.gateway.running import running
from tests.gateway.timetables import TOOLS, called, conversation, timetable, tool_texts
from tests.openai_server import ANSWER, Recorded

BODY = {
    "model": "deepseek-flash",
    "messages": conversation(2),
    "tools": TOOLS,
    "temperature": 1.0,
    "user": "u-1",
    "unheard_of": {"b": 1, "a": []},
}


def post(url: str, body: bytes | str, **headers: str) -> httpx.Response:
    sent = {"content-type": "application/json", "authorization": "Bearer key-1", **headers}
    return httpx.post(f"{url}/chat/completions", content=body, headers=sent, timeout=30)


def test_only_the_texts_of_tool_outputs_are_others_on_the_wire(gateway: str, upstream: Recorded) -> None:
    for written in (json.dumps(BODY), json.dumps(BODY, indent=1, ensure_ascii=False), json.dumps(BODY, separators=(",", ":"))):
        whole = post(upstream.url, written)
        shortened = post(gateway, written)
        assert shortened.status_code == whole.status_code == 200
        sent = upstream.bodies[-1].decode()
        expected = written
        for was, now in zip(tool_texts(conversation(2)), tool_texts(upstream.messages()), strict=True):
            assert len(now) < 0.5 * len(was)
            assert "The train to Basel leaves at" in now
            expected = expected.replace(json.dumps(was), json.dumps(now, ensure_ascii=False))
        assert sent == expected


def test_a_request_without_tool_outputs_passes_as_the_same_bytes(gateway: str, upstream: Recorded) -> None:
    odd = '{ "messages" : [{"role":"user","content":"Z\\u00fcrich \\ud83d\\ude00"}], "model":"m", "seed": 1.50, "n": 1e0,\n"model":"m2" }'
    assert post(gateway, odd).status_code == 200
    assert upstream.bodies == [odd.encode()]


@pytest.mark.parametrize("streams", [False, True])
def test_the_answer_comes_back_as_the_same_bytes(gateway: str, upstream: Recorded, streams: bool) -> None:
    body = json.dumps({**BODY, "messages": conversation(0), "stream": streams, "stream_options": {"include_usage": True}})
    direct, passed = post(upstream.url, body), post(gateway, body)
    assert passed.headers["content-type"] == direct.headers["content-type"]

    def without_cache_figures(answer: httpx.Response) -> Any:
        # The second of two equal requests is found in the cache.
        text = answer.text.replace("data: [DONE]", "").replace("data: ", "")
        return [json.loads(line) | {"usage": None} for line in text.splitlines() if line.strip()]

    assert without_cache_figures(passed) == without_cache_figures(direct)
    assert passed.content[:300] == direct.content[:300]


def test_what_was_done_stands_in_the_headers_of_the_answer(gateway: str) -> None:
    for streams in (False, True):
        answer = post(gateway, json.dumps({**BODY, "stream": streams}))
        original, kept = (int(answer.headers[f"x-specprefill-{name}-tokens"]) for name in ("original", "kept"))
        assert 0 < kept < 0.3 * original
        assert "x-specprefill-fallback" not in answer.headers


def test_each_request_of_a_growing_conversation_extends_the_one_before_byte_for_byte(gateway: str, upstream: Recorded) -> None:
    whole = conversation(5)
    for end in range(2, len(whole) + 1, 2):
        assert post(gateway, json.dumps({"messages": whole[:end]} | {"model": "m", "tools": TOOLS})).status_code == 200
    assert len(upstream.bodies) == 6
    for earlier, later in itertools.pairwise(upstream.bodies):
        assert later.startswith(earlier[: earlier.index(b'], "model"')])


def test_another_gateway_sends_the_same_bytes_wherever_it_comes_in(gateway: str, upstream: Recorded) -> None:
    for end in (4, 6, 8):
        post(gateway, json.dumps({"model": "m", "messages": conversation(3)[:end]}))
    with running(upstream.url) as other:
        post(other, json.dumps({"model": "m", "messages": conversation(3)}))
        post(other, json.dumps({"model": "m", "messages": conversation(3)}), **{"x-specprefill-session": "mine"})
    assert upstream.bodies[-1] == upstream.bodies[-2] == upstream.bodies[-3]


def test_parts_are_compressed_one_by_one_and_what_is_no_text_stays(gateway: str, upstream: Recorded) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    parts = [{"type": "text", "text": timetable(1, "Basel"), "extra": 1}, picture, {"type": "text", "text": timetable(2, "Basel")}]
    messages = [*conversation(0), called("a", page=1, town="Basel"), {"role": "tool", "tool_call_id": "a", "content": parts}]
    assert post(gateway, json.dumps({"model": "m", "messages": messages})).status_code == 200
    sent = upstream.messages()[-1]["content"]
    assert [part["type"] for part in sent] == ["text", "image_url", "text"]
    assert sent[1] == picture
    assert sent[0]["extra"] == 1
    assert all(len(now["text"]) < 0.5 * len(was["text"]) for now, was in ((sent[0], parts[0]), (sent[2], parts[2])))


def test_the_models_are_the_upstreams(gateway: str, upstream: Recorded, client: Callable[..., OpenAI]) -> None:
    assert [model.id for model in client(gateway).models.list()] == ["deepseek-flash"]
    assert httpx.get(f"{gateway}/models?limit=3").json() == httpx.get(f"{upstream.url}/models").json()


def test_it_says_that_it_is_well_without_asking_anybody(gateway: str, upstream: Recorded) -> None:
    assert httpx.get(gateway.removesuffix("/v1") + "/healthz").json() == {"status": "ok"}
    assert upstream.bodies == []


def test_the_official_client_goes_through_a_streaming_loop_of_tool_calls(
    gateway: str, upstream: Recorded, client: Callable[..., OpenAI]
) -> None:
    openai = client(gateway)
    messages: list[Any] = [{"role": "user", "content": "When does the train to 'Basel' leave, in 3 steps?"}]
    while messages[-1]["role"] != "assistant":
        message: dict[str, Any] = {"role": "assistant", "content": "", "reasoning_content": ""}
        calls: list[dict[str, Any]] = []
        with openai.chat.completions.create(model="deepseek-flash", messages=messages, tools=TOOLS, stream=True) as stream:  # type: ignore[call-overload]
            for chunk in stream:
                delta = chunk.choices[0].delta
                message["content"] += delta.content or ""
                message["reasoning_content"] += getattr(delta, "reasoning_content", None) or ""
                for call in delta.tool_calls or ():
                    if call.id:
                        calls.append({"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": ""}})
                    calls[-1]["function"]["arguments"] += call.function.arguments
        messages.append({**message, "tool_calls": calls} if calls else message)
        for call in calls:
            output = timetable(**json.loads(call["function"]["arguments"]))
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": output})
    assert messages[-1]["content"] == ANSWER
    assert len(upstream.bodies) == 4
    for earlier, later in itertools.pairwise(upstream.requests):
        assert later["messages"][: len(earlier["messages"])] == earlier["messages"]
        assert later["tools"] == earlier["tools"] == TOOLS
    for now, was in zip(upstream.messages(), messages, strict=False):
        assert {**now, "content": None} == {**was, "content": None}
        assert len(now["content"]) < 0.5 * len(was["content"]) if was["role"] == "tool" else now == was
