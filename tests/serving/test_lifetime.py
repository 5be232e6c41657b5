"""The service from its first to its last moment: not ready before its draft has read, and gone only when its work is done."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from specprefill_agents import DraftError
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.serving.engine import Engine
from specprefill_agents.serving.settings import Address, ServiceSettings
from specprefill_agents.serving.single_host import server
from tests.conftest import Outcome
from tests.serving.running import BM25, problem, serving, serving_process

REQUEST = {"contexts": ["a text"], "query": "q"}


def test_it_is_alive_at_once_and_ready_once_it_has_read_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    may_load = threading.Event()
    load = Engine.load

    def late(self: Engine) -> None:
        assert may_load.wait(30)
        load(self)

    monkeypatch.setattr(Engine, "load", late)
    with serving(waits=False) as service:
        assert service.client.get("/healthz").status_code == 200
        before = service.client.get("/readyz")
        assert (before.status_code, before.json()) == (503, {"status": "loading"})
        refused = service.client.post("/v1/score", json=REQUEST)
        assert problem(refused) == (503, "loading")
        assert refused.headers["Retry-After"] == "1"
        may_load.set()
        assert service.service.loaded.wait(30)
        assert service.client.get("/readyz").json() == {"status": "ready"}
        assert service.client.post("/v1/score", json=REQUEST).status_code == 200


@pytest.mark.parametrize(("error", "said"), [(DraftError("no head"), "DraftError: no head"), (ValueError("a text"), "ValueError")])
def test_a_draft_that_cannot_be_loaded_makes_it_unhealthy(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(self: Engine) -> None:
        raise error

    monkeypatch.setattr(Engine, "load", fails)
    with serving(waits=False) as service:
        assert service.service.loaded.wait(30)
        assert service.client.get("/healthz").status_code == service.client.get("/readyz").status_code == 503
        assert problem(service.client.post("/v1/score", json=REQUEST)) == (503, "failed")
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == [f"the scorer could not be loaded: {said}"]


def test_when_told_to_end_it_answers_what_it_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, let_go = threading.Event(), threading.Event()
    score = LexicalScorer.score

    def scores(self: LexicalScorer, contexts: Any, query: str) -> Any:
        if query == "hold":
            begun.set()
            assert let_go.wait(30)
        return score(self, contexts, query)

    monkeypatch.setattr(LexicalScorer, "score", scores)
    made = server(ServiceSettings(config=BM25), Address())
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as client:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=made.run, args=([listening],))
        thread.start()
        assert made.config.app.state.service.loaded.wait(30)  # type: ignore[union-attr]
        answer = client.submit(httpx.post, f"{url}/v1/score", json={**REQUEST, "query": "hold"}, trust_env=False)
        assert begun.wait(30)
        made.handle_exit(signal.SIGTERM, None)
        let_go.set()
        assert answer.result().status_code == 200
        thread.join(30)
        assert not thread.is_alive()
    made._captured_signals.clear()


def test_the_command_serves_until_sigterm(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a token that nobody guesses\n", encoding="utf-8")
    with serving_process("--token-file", str(tmp_path / "token")) as (process, url):
        assert httpx.get(f"{url}/v1/scorer", trust_env=False).status_code == 401
        headers = {"Authorization": "Bearer a token that nobody guesses"}
        assert httpx.get(f"{url}/v1/scorer", headers=headers, trust_env=False).json()["scorer"].startswith("bm25:")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert process.returncode in (0, -signal.SIGTERM)
    assert said == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "0.0.0.0"), "host='0.0.0.0' is not valid; allowed: a loopback address"),
        (("--draft", "no-such-draft"), "no-such-draft"),
        (("--scorer", "bm26"), "scorer='bm26' is not valid"),
        (("--max-waiting", "-1"), "max_waiting=-1 is not valid"),
        (("--token-file", "absent"), "absent: No such file"),
    ],
)
def test_it_does_not_start_with_what_cannot_work(arguments: tuple[str, ...], said: str, command: Callable[..., Outcome]) -> None:
    outcome = command("serve", *arguments)
    assert outcome.status == 2
    assert said in outcome.err.splitlines()[-1]
    assert "serving" not in outcome.err


def test_a_port_that_is_taken_is_an_error(command: Callable[..., Outcome]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        outcome = command("serve", "--scorer", "bm25", "--port", str(taken.getsockname()[1]))
    assert outcome.status == 2
    assert "Address already in use" in outcome.err
    assert "serving" not in outcome.err


def test_it_ends_when_its_draft_was_not_pulled(command: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path))
    outcome = command("serve", "--port", "0")
    assert outcome.status == 2
    assert "specprefill models pull smollm2-135m" in outcome.err.splitlines()[-1]
