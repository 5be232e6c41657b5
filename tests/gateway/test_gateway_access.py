"""Who may ask a gateway, with which key the upstream is asked, and that callers have nothing of each other's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AuthenticationError, OpenAI

from specprefill_agents import ConfigError
from specprefill_agents.gateway.access import Access
from specprefill_agents.gateway.app import create_app
from specprefill_agents.gateway.settings import GatewaySettings
from specprefill_agents.observe.audit import JsonlAudit
from tests.gateway.odd_upstreams import misbehaving
from tests.gateway.running import lexical, running
from tests.gateway.test_gateway_failures import ASKED, answering
from tests.gateway.timetables import conversation
from tests.openai_server import Recorded

TOKEN = "a-token-of-many-characters"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: a=1\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What an upstream that `misbehaving` runs was sent."""
    from tests.gateway import odd_upstreams

    requests: list[bytes] = []
    read = odd_upstreams.read_request
    monkeypatch.setattr(odd_upstreams, "read_request", lambda connection: requests.append(read(connection)))
    return requests


def headers_of(request: bytes) -> dict[str, str]:
    lines = request.decode("latin-1").partition("\r\n\r\n")[0].split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


def tokens(tmp_path: Path) -> str:
    path = tmp_path / "tokens"
    path.write_text(f"{TOKEN}\nanother-token-of-many\n")
    return str(path)


def test_a_clients_own_key_and_headers_go_upstream_less_those_between_it_and_the_gateway(seen: list[bytes]) -> None:
    own = {
        "authorization": "Bearer key-7",
        "openai-organization": "o-1",
        "user-agent": "agent/1",
        "cookie": "c=1",
        "x-specprefill-session": "s",
        "x-forwarded-for": "10.0.0.1",
    }
    with misbehaving(answering(OK)) as odd, running(odd) as url:
        answers = [httpx.post(f"{url}/chat/completions?v=2", json=ASKED, headers=own) for _ in range(2)]
    assert "set-cookie" not in answers[0].headers
    assert all(request.startswith(b"POST /v1/chat/completions?v=2 HTTP/1.1\r\n") for request in seen)
    for request in seen:
        headers = headers_of(request)
        assert {name: headers.get(name) for name in own} == {
            **dict.fromkeys(own),
            "authorization": "Bearer key-7",
            "openai-organization": "o-1",
            "user-agent": "agent/1",
        }
        assert headers["host"] == odd.removeprefix("http://").removesuffix("/v1")


def test_a_gateway_with_a_key_of_its_own_shows_that_one_and_takes_tokens_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: list[bytes], client: Callable[..., OpenAI]
) -> None:
    monkeypatch.setenv("THE_KEY", "secret-of-the-gateway")
    with misbehaving(answering(OK)) as odd, running(odd, api_key_env="THE_KEY", token_file=tokens(tmp_path)) as url:
        client(url, TOKEN).chat.completions.create(**ASKED)
        client(url, "none", default_headers={"x-specprefill-token": "another-token-of-many"}).chat.completions.create(**ASKED)
        for wrong in ("wrong", TOKEN[:-1], TOKEN + "s"):
            with pytest.raises(AuthenticationError, match="token is missing or wrong"):
                client(url, wrong).models.list()
        assert httpx.get(f"{url}/models").status_code == 401
        assert httpx.get(url.removesuffix("/v1") + "/healthz").status_code == 200
    assert [headers_of(request)["authorization"] for request in seen] == ["Bearer secret-of-the-gateway"] * 2
    assert not any(TOKEN.encode() in request for request in seen)


def test_where_clients_have_keys_of_their_own_the_token_stands_beside_them(tmp_path: Path, seen: list[bytes]) -> None:
    with misbehaving(answering(OK)) as odd, running(odd, token_file=tokens(tmp_path)) as url:
        for headers, status in (
            ({"authorization": f"Bearer {TOKEN}"}, 401),
            ({"authorization": "Bearer key-7", "x-specprefill-token": TOKEN}, 200),
        ):
            assert httpx.post(f"{url}/chat/completions", json=ASKED, headers=headers).status_code == status
    assert [headers_of(request)["authorization"] for request in seen] == ["Bearer key-7"]


def test_without_a_token_a_request_under_another_name_of_this_machine_is_refused(gateway: str, upstream: Recorded) -> None:
    port = httpx.URL(gateway).port
    for host, status in (("rebound.example", 403), (f"localhost:{port}", 200), ("127.0.0.1", 200), ("127.0.0.1.example", 403)):
        assert httpx.post(f"{gateway}/chat/completions", json=ASKED, headers={"host": host}).status_code == status
    assert len(upstream.bodies) == 2


@pytest.mark.parametrize("name", ["", "two words", "z" * 201, "Zürich"])
def test_a_session_without_a_possible_name_is_refused(gateway: str, upstream: Recorded, name: str) -> None:
    headers = {"x-specprefill-session": name.encode("latin-1")}
    told = httpx.post(f"{gateway}/chat/completions", json=ASKED, headers=headers)  # type: ignore[arg-type]
    assert told.status_code == 400
    assert "x-specprefill-session" in told.json()["error"]["message"]
    assert upstream.bodies == []


@pytest.mark.parametrize("session", [None, "mine"])
def test_two_keys_share_no_decisions(tmp_path: Path, upstream: Recorded, session: str | None) -> None:
    headers = {"x-specprefill-session": session} if session else {}
    compressor = lexical(JsonlAudit(tmp_path / "audit.jsonl"))
    with running(upstream.url, compressor) as url:
        for key in ("one", "two", "one"):
            body = {"model": "m", "messages": conversation(2)}
            httpx.post(f"{url}/chat/completions", json=body, headers={"authorization": f"Bearer {key}", **headers})
    rows = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    decided = [(row["conversation"], row["decision"]) for row in rows if row["event"] == "decision"]
    # Each decision was made twice, once for each key, and found again for the third request.
    assert len(decided) == 4
    assert len({conversation for conversation, _ in decided}) == 2
    assert len(upstream.bodies) == 3
    assert len(set(upstream.bodies)) == 1


def test_neither_texts_nor_keys_get_into_audit_logs_ledgers_or_errors(
    tmp_path: Path, upstream: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    steps: list[Any] = []
    with running(upstream.url, lexical(JsonlAudit(tmp_path / "audit.jsonl")), lambda *step: steps.append(step)) as url:
        headers = {"authorization": "Bearer key-of-a-client"}
        httpx.post(f"{url}/chat/completions", json={"model": "m", "messages": conversation(2)}, headers=headers)
        httpx.post(f"{url}/chat/completions", content=b'{"messages": ["Basel"', headers={**headers, "content-type": "application/json"})
    said = (tmp_path / "audit.jsonl").read_text() + repr(steps) + caplog.text
    assert len(steps) == 1
    for secret in ("key-of-a-client", "Basel leave", "entry 0-1"):
        assert secret not in said


@pytest.mark.parametrize("content", [None, "", "short\n", "Zürich is a token that is long\n"])
def test_tokens_that_are_none_are_errors_at_once(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "tokens"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match="token_file"):
        Access(GatewaySettings("http://127.0.0.1", token_file=str(path)))


def test_a_key_that_is_missing_and_a_compressor_that_keeps_originals_are_errors_at_once() -> None:
    with pytest.raises(ConfigError, match="api_key_env='NO_SUCH_KEY'"):
        Access(GatewaySettings("http://127.0.0.1", api_key_env="NO_SUCH_KEY"), {"NO_SUCH_KEY": " "})
    with pytest.raises(ConfigError, match="keeps originals"):
        create_app(GatewaySettings("http://127.0.0.1"), lexical(originals=True))
