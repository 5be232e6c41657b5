"""What the service refuses: what is no request, too much, too slow, or from a stranger. Never with a trace or with what was sent."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from specprefill_agents import ConfigError
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.serving.settings import ServiceSettings, check_host
from specprefill_agents.serving.work import Work
from tests.serving.running import BM25, Running, problem, raw, serving

TOKEN = "a token that nobody guesses"
SECRET = "the password is xyzzy-4711"
SMALL = ServiceSettings(config=BM25, max_body_bytes=100_000, max_contexts=4, max_chars=5_000)


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with serving(SMALL) as running:
        yield running


def post(service: Running, content: bytes | str, path: str = "/v1/score", **headers: str) -> httpx.Response:
    return service.client.post(path, content=content, headers={"Content-Type": "application/json", **headers})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", (400, "not_json")),
        (b"{", (400, "not_json")),
        (b'{"contexts": [NaN]}', (400, "not_json")),
        (b'{"n": ' + b"9" * 5_000 + b"}", (400, "not_json")),
        (b'{"query": "\xff"}', (400, "not_utf8")),
        (b'{"query": "\xed\xa0\x80"}', (400, "not_utf8")),
        (b"[" * 50_000, (400, "too_deep")),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, (400, "too_deep")),
        (b"[]", (422, "invalid")),
        (b"{}", (422, "invalid")),
        (b'{"contexts": "abc", "query": "q"}', (422, "invalid")),
        (b'{"contexts": [1], "query": "q"}', (422, "invalid")),
        (b'{"contexts": ["a"], "query": null}', (422, "invalid")),
        (b'{"contexts": ["a"], "query": "q", "titles": []}', (422, "invalid")),
        (b'{"contexts": ["a"], "query": "q", "titles": [1]}', (422, "invalid")),
        (b'{"contexts": ["a", "b", "c", "d", "e"], "query": "q"}', (422, "invalid")),
        (b'{"contexts": ["' + b"a" * 5_000 + b'"], "query": "q"}', (422, "invalid")),
    ],
)
def test_what_is_no_request_is_refused_with_its_status(content: bytes, expected: tuple[int, str], service: Running) -> None:
    assert problem(post(service, content)) == expected


@pytest.mark.parametrize(
    "more",
    [
        {"segments": [{}]},
        {"segments": [{"text": "a", "kind": "novel"}]},
        {"segments": [{"text": "a", "keep": [[0, 9]]}]},
        {"segments": [{"text": "a"}] * 5},
        {"keep_ratio": 7},
        {"id": True},
        {"config": {"scorer": "random"}},
        {"config": {"force_keep": ["(a+)+$"]}},
        {"config": {"min_tokens": -1}},
        {"config": []},
    ],
)
def test_what_may_not_be_set_is_refused(more: dict[str, Any], service: Running) -> None:
    request = {"segments": [], "query": "", **more}
    assert problem(service.client.post("/v1/compress", json=request)) == (422, "invalid")


def test_a_body_must_be_sent_as_json(service: Running) -> None:
    content = b'{"contexts": [], "query": ""}'
    assert problem(service.client.post("/v1/score", content=content, headers={"Content-Type": "text/plain"})) == (415, "not_json")
    assert service.client.post("/v1/score", content=content, headers={"Content-Type": "application/json; charset=utf-8"}).status_code == 200


@pytest.mark.parametrize(("path", "method", "status"), [("/v1/nothing", "GET", 404), ("/v1/score", "GET", 405), ("/docs", "GET", 404)])
def test_what_is_not_there_is_said_as_json_too(path: str, method: str, status: int, service: Running) -> None:
    assert problem(service.client.request(method, path)) == (status, "no_route")


def test_a_body_of_100_mb_is_refused_without_being_read(service: Running) -> None:
    head = b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    said = raw(service.port, head + b"Content-Length: 100000000\r\n\r\n" + b"[" * 1_000)  # the rest never comes
    assert said.startswith(b"HTTP/1.1 413")
    assert b"too_long" in said


def test_a_body_of_unknown_length_is_read_to_the_limit_and_no_further(service: Running) -> None:
    head = b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    said = raw(service.port, head + b"%x\r\n" % 100_001 + b" " * 100_001 + b"\r\n")  # no last chunk
    assert said.startswith(b"HTTP/1.1 413")


def test_a_client_that_does_not_send_its_body_is_given_up() -> None:
    with serving(ServiceSettings(config=BM25, body_limit_s=0.05)) as service:
        head = b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n"
        said = raw(service.port, head + b'{"contexts"')
        assert said.startswith(b"HTTP/1.1 408")
        assert service.client.get("/readyz").status_code == 200


def test_a_client_that_leaves_amid_its_body_is_counted_as_gone() -> None:
    with serving() as service:
        head = b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n"
        assert raw(service.port, head + b'{"contexts"', closes=True) == b""
        while not (found := counted(service, "specprefill_service_requests_total")):
            pass
        assert found == {("/v1/score", "499"): 1}
        assert service.service._work.taken == 0


def test_only_who_has_the_token_is_served() -> None:
    with serving(ServiceSettings(config=BM25, token=TOKEN)) as service:
        request = b'{"contexts": ["a"], "query": "q"}'
        for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": f"Basic {TOKEN}"}):
            assert problem(post(service, request, **given)) == (401, "unauthorized")
        for path in ("/v1/scorer", "/metrics"):
            assert problem(service.client.get(path)) == (401, "unauthorized")
        assert post(service, request, Authorization=f"Bearer {TOKEN}").status_code == 200
        assert service.client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert service.client.get("/healthz").status_code == service.client.get("/readyz").status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org", ""])
def test_an_address_that_others_reach_needs_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match="host="):
        check_host(host, None)
    check_host(host, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    check_host(host, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [("threads", 0), ("max_waiting", -1), ("max_body_bytes", 1.5), ("time_limit_s", 0), ("body_limit_s", float("inf")), ("token", "short")],
)
def test_a_wrong_setting_is_named_and_a_token_is_never_shown(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^{name}=") as raised:
        ServiceSettings(**{name: value})  # type: ignore[arg-type]
    assert "short" not in str(raised.value)
    assert TOKEN not in repr(ServiceSettings(token=TOKEN))


class Held:
    """BM25 that waits in its first call until it is let go."""

    def __init__(self) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()
        self.calls = 0

    def score(self, scorer: LexicalScorer, contexts: Any, query: str) -> Any:
        self.calls += 1
        self.begun.set()
        assert self.let_go.wait(30)
        return []


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    held = Held()
    score = LexicalScorer.score

    def scores(self: LexicalScorer, contexts: Any, query: str) -> Any:
        if query == "hold":
            held.score(self, contexts, query)
        return score(self, contexts, query)

    monkeypatch.setattr(LexicalScorer, "score", scores)
    yield held
    held.let_go.set()


HOLD = {"contexts": ["a"], "query": "hold"}


def test_what_does_not_fit_the_queue_is_refused_at_once(held: Held) -> None:
    with serving(ServiceSettings(config=BM25, threads=1, max_waiting=0)) as service, ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(service.client.post, "/v1/score", json=HOLD)
        assert held.begun.wait(30)
        refused = service.client.post("/v1/score", json=HOLD)
        assert problem(refused) == (503, "busy")
        assert refused.headers["Retry-After"] == "1"
        assert service.client.get("/healthz").status_code == 200
        held.let_go.set()
        assert waiting.result().status_code == 200
        assert service.client.post("/v1/score", json=HOLD).status_code == 200


def test_what_takes_too_long_is_given_up_and_what_waits_is_not_begun(held: Held) -> None:
    with serving(ServiceSettings(config=BM25, threads=1, time_limit_s=0.05)) as service:
        for _ in range(3):
            assert problem(service.client.post("/v1/score", json=HOLD)) == (503, "time_limit")
        held.let_go.set()
    assert held.calls == 1


def test_nobody_works_for_a_client_that_has_gone(held: Held) -> None:
    async def leave_both(url: str) -> None:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            first = asyncio.create_task(client.post("/v1/score", json=HOLD))
            await asyncio.to_thread(held.begun.wait, 30)
            second = asyncio.create_task(client.post("/v1/score", json=HOLD))
            while service.service._work.taken < 2:
                await client.get("/healthz")
            first.cancel()
            second.cancel()
            await asyncio.gather(first, second, return_exceptions=True)
            while service.service._work.taken:
                await client.get("/healthz")

    with serving(ServiceSettings(config=BM25, threads=1)) as service:
        asyncio.run(leave_both(service.url))
        assert counted(service, "specprefill_service_requests_total") == {("/v1/score", "499"): 2}
        held.let_go.set()
    assert held.calls == 1


def counted(service: Running, name: str) -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families(service.client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return {(sample.labels["route"], sample.labels["status"]): sample.value for sample in samples}


def test_requests_are_counted_by_route_and_status_alone() -> None:
    with serving() as service:
        post(service, b'{"contexts": ["%s"], "query": "q"}' % SECRET.encode())
        post(service, b"{")
        text = service.client.get("/metrics").text
        assert counted(service, "specprefill_service_requests_total") == {("/v1/score", "200"): 1, ("/v1/score", "400"): 1}
    assert "specprefill_service_ready 1.0" in text
    assert "specprefill_service_pending_requests 0.0" in text
    assert "xyzzy" not in text


def test_a_failure_says_nothing_of_what_was_sent(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: LexicalScorer, contexts: Any, query: str) -> Any:
        raise ValueError(f"cannot read {contexts[0]!r}")

    with serving() as service, caplog.at_level(logging.DEBUG, "specprefill_agents"):
        monkeypatch.setattr(LexicalScorer, "score", fails)
        response = service.client.post("/v1/score", json={"contexts": [SECRET], "query": SECRET})
        assert problem(response) == (500, "internal")
        assert post(service, f'{{"{SECRET}": ["{SECRET}"}}').status_code == 400
    assert "/v1/score failed: ValueError" in caplog.text
    assert "xyzzy" not in caplog.text + response.text


def test_work_counts_its_places_down_when_a_request_fails() -> None:
    work = Work(1, 0, 1)
    with pytest.raises(RuntimeError), work.place():
        raise RuntimeError
    assert work.taken == 0
    work.close()
