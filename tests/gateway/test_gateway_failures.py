"""Upstreams and clients that fail: what the other side is told, and what ends with them."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from openai import APIStatusError, OpenAI

from specprefill_agents.gateway.bodies import parsed
from specprefill_agents.session import Session
from tests.gateway.odd_upstreams import BEGUN, EVENT, HTML, chunk, misbehaving
from tests.gateway.running import lexical, running
from tests.gateway.timetables import conversation
from tests.openai_server import ANSWER, Recorded

ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


class Records:
    """An audit log in memory."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def record(self, event: str, fields: Any) -> None:
        if fields.get("fallback_reason"):
            self.reasons.append(f"{event}: {fields['fallback_reason']}")


def post(url: str, **body: Any) -> httpx.Response:
    return httpx.post(f"{url}/chat/completions", json={**ASKED, **body}, timeout=30)


def answering(*pieces: bytes) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)

    return behave


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (HTML % b"200 OK", 502),
        (HTML % b"503 Service Unavailable", 503),
        (HTML % b"429 Too Many Requests", 429),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n", 502),
        (b"", 502),
        (b"this is not HTTP\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Type: appl", 502),
    ],
)
def test_what_no_client_could_read_becomes_a_json_error(answer: bytes, status: int) -> None:
    with misbehaving(answering(answer)) as odd, running(odd) as url:
        told = post(url)
    assert told.status_code == status
    assert told.json()["error"]["message"].startswith("specprefill gateway: the upstream ")
    assert told.headers.get("retry-after") == ("7" if status in (503, 429) else None)


def test_an_error_of_the_upstream_is_passed_on_as_it_is(client: Callable[..., OpenAI]) -> None:
    error = b'{"error": {"message": "Insufficient Balance", "code": "b"}, "request": 7}'
    head = b"HTTP/1.1 402 Payment Required\r\nContent-Type: application/json\r\nX-Request-Id: r-1\r\nContent-Length: %d\r\n\r\n" % len(
        error
    )
    with misbehaving(answering(head + error)) as odd, running(odd) as url:
        told = post(url)
        with pytest.raises(APIStatusError, match="Insufficient Balance") as raised:
            client(url).chat.completions.create(**ASKED)
    assert (told.status_code, told.content, told.headers["x-request-id"]) == (402, error, "r-1")
    assert raised.value.status_code == 402


def test_an_upstream_that_says_nothing_is_given_up() -> None:
    gone = threading.Event()

    def hang(connection: socket.socket) -> None:
        connection.recv(1)  # until the gateway closes
        gone.set()

    with misbehaving(hang) as odd, running(odd, upstream_timeout_s=0.05) as url:
        told = post(url)
        assert gone.wait(30)
    assert told.status_code == 504
    assert told.json()["error"]["type"] == "upstream_error"


def test_an_upstream_that_nobody_listens_at_is_a_502() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with running(f"http://127.0.0.1:{port}") as url:
        assert post(url).status_code == 502


@pytest.mark.parametrize(
    "head", [BEGUN + chunk(EVENT), b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"]
)
def test_an_answer_that_breaks_off_breaks_off_for_the_client_too(head: bytes) -> None:
    records = Records()
    with (
        misbehaving(answering(head)) as odd,
        running(odd, lexical(records)) as url,
        httpx.stream("POST", f"{url}/chat/completions", json=ASKED, timeout=30) as told,
    ):
        assert told.status_code == 200
        pieces = told.iter_raw()
        assert next(pieces) in (EVENT, b"{")
        with pytest.raises(httpx.RemoteProtocolError):
            next(pieces)
    assert records.reasons == ["gateway: an answer of the upstream failed: RemoteProtocolError"]


def test_a_client_that_leaves_in_the_middle_of_a_stream_ends_the_request_upstream(client: Callable[..., OpenAI]) -> None:
    left = threading.Event()

    def stream(connection: socket.socket) -> None:
        connection.sendall(BEGUN + chunk(EVENT))
        connection.recv(1)  # says nothing more, until the gateway closes
        left.set()

    with misbehaving(stream) as odd, running(odd) as url:
        with client(url).chat.completions.create(**ASKED, stream=True) as chunks:
            assert next(iter(chunks)).choices[0].delta.content == "more "
            assert not left.is_set()
        assert left.wait(30)


def test_a_client_that_leaves_before_the_answer_ends_the_request_upstream() -> None:
    asked, left = threading.Event(), threading.Event()

    def hang(connection: socket.socket) -> None:
        asked.set()
        connection.recv(1)  # until the gateway closes
        left.set()

    with misbehaving(hang) as odd, running(odd) as url:
        with socket.create_connection(("127.0.0.1", urlsplit(url).port)) as impatient:
            impatient.sendall(request(url, json.dumps(ASKED).encode()))
            assert asked.wait(30)
            assert not left.is_set()
        assert left.wait(30)


def test_a_client_that_does_not_read_what_it_is_sent_is_given_up() -> None:
    left = threading.Event()

    def flood(connection: socket.socket) -> None:
        try:
            connection.sendall(BEGUN)
            while True:
                connection.sendall(chunk(EVENT * 1000))
        except OSError:
            left.set()

    with misbehaving(flood) as odd, running(odd, client_timeout_s=0.05) as url, socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect(("127.0.0.1", urlsplit(url).port))
        lazy.sendall(request(url, json.dumps(ASKED).encode()))
        assert left.wait(30)


def request(url: str, body: bytes, size: int | None = None) -> bytes:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body) if size is None else size}\r\n\r\n".encode() + body


def test_a_request_that_does_not_arrive_is_given_up() -> None:
    with running("http://127.0.0.1:9", body_timeout_s=0.05) as url, socket.socket() as slow:
        slow.connect(("127.0.0.1", urlsplit(url).port))
        slow.sendall(request(url, b'{"model"', 100))
        answer = b""
        while piece := slow.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not arrive in time" in answer


def test_a_compressor_that_fails_lets_the_request_through_and_leaves_a_record(upstream: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records()
    monkeypatch.setattr(Session, "_decide", lambda *_: 1 / 0)
    with running(upstream.url, lexical(records)) as url:
        told = post(url, messages=conversation(2))
    assert told.status_code == 200
    assert upstream.messages() == conversation(2)
    assert told.headers["x-specprefill-fallback"] == "a session step failed: ZeroDivisionError"
    assert told.headers["x-specprefill-kept-tokens"] == told.headers["x-specprefill-original-tokens"] != "0"
    assert any("a session step failed: ZeroDivisionError" in reason for reason in records.reasons)


@pytest.mark.parametrize("broken", ["rounds", "put_back", "respelled"])
def test_no_part_that_fails_stops_a_request(upstream: Recorded, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("a zebra")

    records = Records()
    monkeypatch.setattr(f"specprefill_agents.gateway.compressing.{broken}", fails)
    with running(upstream.url, lexical(records)) as url:
        told = post(url, messages=conversation(1))
    assert told.status_code == 200
    assert upstream.messages() == conversation(1)
    assert "RuntimeError" in told.headers["x-specprefill-fallback"]
    assert "zebra" not in told.headers["x-specprefill-fallback"]
    assert len(records.reasons) == 1
    assert "zebra" not in records.reasons[0]


def test_where_it_is_asked_for_a_failure_is_a_500(upstream: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "_decide", lambda *_: 1 / 0)
    with running(upstream.url, lexical(on_error="raise")) as url:
        told = post(url, messages=conversation(1))
    assert (told.status_code, told.json()["error"]["type"]) == (500, "gateway_error")
    assert upstream.bodies == []


def test_requests_beyond_those_that_may_wait_are_told_to_come_again(upstream: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, go_on = threading.Event(), threading.Event()

    def slowly(*arguments: Any) -> Any:
        reading.set()
        assert go_on.wait(30)
        return parsed(*arguments)

    monkeypatch.setattr("specprefill_agents.gateway.compressing.parsed", slowly)
    told: queue.Queue[httpx.Response] = queue.Queue()
    with running(upstream.url, workers=1, max_waiting=1) as url:
        threads = [threading.Thread(target=lambda: told.put(post(url))) for _ in range(3)]
        threads[0].start()
        assert reading.wait(30)
        for thread in threads[1:]:  # one of these is one too many
            thread.start()
        refused = told.get(timeout=30)
        healthy = httpx.get(url.removesuffix("/v1") + "/healthz")
        go_on.set()
        for thread in threads:
            thread.join()
        assert post(url).json()["choices"][0]["message"]["content"] == ANSWER
    assert healthy.json() == {"status": "ok"}
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert [told.get_nowait().status_code for _ in range(2)] == [200, 200]
