"""Requests that are too large, no JSON, or in no known form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from specprefill_agents.gateway.access import Caller
from specprefill_agents.gateway.compressing import BodyCompressor
from specprefill_agents.gateway.settings import GatewaySettings
from tests.gateway.running import lexical, running
from tests.gateway.timetables import conversation, timetable
from tests.openai_server import Recorded


def post(url: str, content: Any, **headers: str) -> httpx.Response:
    return httpx.post(f"{url}/chat/completions", content=content, headers={"content-type": "application/json", **headers}, timeout=60)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b'{"messages": "Z\xfcrich"}', 400, "not UTF-8"),
        (b"", 400, "not JSON"),
        (b"{'messages': []}", 400, "not JSON"),
        (b"\xef\xbb\xbf{}", 400, "not JSON"),
        (b'{"n": ' + b"9" * 5000 + b"}", 400, "not JSON"),
        (b"[]", 400, "not a JSON object"),
        (b"null", 400, "not a JSON object"),
        (b'{"messages": ' + b"[" * 70 + b"]" * 70 + b"}", 400, "nested deeper than 64"),
        (b'{"messages": ' + b'[{"a":' * 200_000, 400, "nested deeper than 64"),
        (b"[" * 5_000_000, 400, "nested deeper than 64"),
        (json.dumps({"messages": [{"role": "user"}] * 10_001}).encode(), 413, "more than 10000 messages"),
    ],
)
def test_what_is_no_request_is_refused_and_not_sent(gateway: str, upstream: Recorded, body: bytes, status: int, says: str) -> None:
    told = post(gateway, body)
    assert told.status_code == status
    assert says in told.json()["error"]["message"]
    assert upstream.bodies == []


def test_a_body_of_a_hundred_megabytes_is_refused_whether_it_says_its_size_or_not(gateway: str, upstream: Recorded) -> None:
    def in_pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 2**20

    for body in (b" " * (100 * 2**20), in_pieces()):
        told = post(gateway, body)
        assert told.status_code == 413
        assert "larger than 33554432 bytes" in told.json()["error"]["message"]
    assert upstream.bodies == []


def test_other_paths_methods_and_types_are_json_errors(gateway: str, upstream: Recorded) -> None:
    root = gateway.removesuffix("/v1")
    assert httpx.post(f"{gateway}/embeddings", json={}).status_code == 404
    assert httpx.get(f"{root}/docs").json()["error"]["type"] == "invalid_request_error"
    assert httpx.get(f"{gateway}/chat/completions").status_code == 405
    assert httpx.post(f"{gateway}/chat/completions", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert upstream.bodies == []


ODD = [
    None,
    7,
    {"role": "user", "content": "Hello"},
    {"role": "oracle", "content": timetable(1, "Basel"), "tool_call_id": "a"},
    {"role": ["tool"], "content": timetable(1, "Basel")},
    {"content": timetable(1, "Basel")},
    {"role": "function", "name": "f", "content": timetable(1, "Basel")},
    {"role": "assistant", "content": timetable(1, "Basel"), "tool_calls": "none", "audio": {"id": "x"}},
    {"role": "assistant", "content": None, "tool_calls": [None, {"id": 3}, {"id": "b", "function": {"name": "f", "arguments": "{"}}]},
    {"role": "user", "content": [{"type": "text", "text": timetable(1, "Basel")}]},
    {"role": "tool", "content": None},
    {"role": "tool", "content": {"type": "text", "text": timetable(1, "Basel")}},
    {
        "role": "tool",
        "content": [timetable(1, "Basel"), None, {"type": "text"}, {"type": "text", "text": 7}, {"type": "refusal", "refusal": "no"}],
    },
]


def test_messages_in_no_known_form_pass_as_they_are() -> None:
    bodies = BodyCompressor(lexical(), GatewaySettings("http://127.0.0.1"))
    for messages in (ODD, "none", {"role": "tool"}, None, [[[]]], []):
        for others in ({}, {"tools": "none", "model": 7, "stream": "yes"}):
            data = json.dumps({"messages": messages, **others}).encode()
            assert bodies.prepare(data, Caller("t", None, None)).body == data
    assert bodies.prepare(b'{"model": "m"}', Caller("t", None, None)).body == b'{"model": "m"}'


def test_a_tool_output_with_half_a_character_is_compressed_all_the_same(gateway: str, upstream: Recorded) -> None:
    text = timetable(1, "Basel").replace("Basel", "Basel \ud83d") + "\nentry \udc00"
    post(
        gateway,
        json.dumps({"model": "m", "messages": [*conversation(1)[:3], {"role": "tool", "content": text, "tool_call_id": "Basel-0"}]}),
    )
    sent = upstream.messages()[-1]["content"]
    assert len(sent) < 0.5 * len(text)
    assert "The train to Basel \ud83d leaves at" in sent


def test_small_limits_hold(upstream: Recorded) -> None:
    with running(upstream.url, max_body_bytes=200, max_messages=2, max_depth=4) as url:
        assert post(url, json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}] * 2})).status_code == 200
        assert post(url, json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}] * 3})).status_code == 413
        assert post(url, json.dumps({"model": "m", "messages": [{"role": "user", "content": [[]]}]})).status_code == 400
        assert post(url, json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi" * 100}]})).status_code == 413
    assert len(upstream.bodies) == 1
