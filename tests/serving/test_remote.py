"""A scorer behind a service: patient with one that is busy, and an original forwarded when it is gone."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmarks.made.draft import write_tiny_preset
from specprefill_agents import CompressionConfig, Compressor, ConfigError, ScoringError, Segment
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.scoring.remote import Patience, RemoteScorer
from specprefill_agents.scoring.score_format import packed, unpacked
from specprefill_agents.serving.settings import ServiceSettings
from tests.invariants import Records
from tests.loopback import running
from tests.serving.running import serving, serving_process

TEXT = "".join(f"Day {day}: the weather was mild, and the log has nothing else to say.\n" for day in range(40))
QUESTION = "Which day had mild weather?"
IDENTITY = {"scorer": "told", "takes_titles": False, "version": "1"}
Answer = tuple[int, Any]
DROPS: Answer = (0, None)
"""The connection is closed without an answer."""
GOOD: Answer = (200, {"scorer": "told", "scores": packed(LexicalScorer().score([TEXT], QUESTION))})


class Scripted:
    """A service that answers as it was told, one after the other, then well."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.bodies: list[dict[str, Any]] = []
        self.pauses: list[float] = []
        self.url = ""
        self.identity = IDENTITY

    def scorer(self, **patience: Any) -> RemoteScorer:
        return RemoteScorer(self.url, token="secret", patience=Patience(**patience), sleep=self.pauses.append)


@contextmanager
def scripted() -> Iterator[Scripted]:
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.headers["Authorization"] == "Bearer secret"
            self.say(200, script.identity)

        def do_POST(self) -> None:
            script.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            status, answer = script.answers.pop(0) if script.answers else GOOD
            if status:
                self.say(status, answer)

        def say(self, status: int, answer: Any) -> None:
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Retry-After", "1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base names it
            """Says nothing."""

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as script.url:
        yield script


@pytest.fixture
def script() -> Iterator[Scripted]:
    with scripted() as made:
        yield made


@pytest.mark.parametrize("failures", [[(503, {})], [(429, {})], [DROPS], [(503, {}), DROPS, (429, {})]])
def test_a_busy_or_broken_connection_is_tried_again(failures: list[Answer], script: Scripted) -> None:
    scorer = script.scorer(tries=4, pause_s=0.1, longest_pause_s=2)
    script.answers = list(failures)
    (found,) = scorer.score([TEXT], QUESTION)
    assert found.scores.tobytes() == LexicalScorer().score([TEXT], QUESTION)[0].scores.tobytes()
    assert script.bodies == [{"contexts": [TEXT], "query": QUESTION}] * (len(failures) + 1)
    assert len(script.pauses) == len(failures)
    assert all(0 <= pause <= 2 for pause in script.pauses)
    scorer.close()


@pytest.mark.parametrize(
    "answer", [(400, {}), (401, {}), (413, {}), (422, {}), (500, {}), (200, b"<html>"), (200, b"[" * 100_000), (200, [])]
)
def test_what_another_try_would_not_change_is_an_error_at_once(answer: Answer, script: Scripted) -> None:
    scorer = script.scorer()
    script.answers = [answer]
    with pytest.raises(ScoringError, match=r"scoring service answered (\d\d\d|something else)"):
        scorer.score([TEXT], QUESTION)
    assert len(script.bodies) == 1
    assert script.pauses == []
    scorer.close()


def test_pauses_are_drawn_from_ranges_that_double(script: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specprefill_agents.scoring.remote.random.uniform", lambda low, high: (low, high))
    scorer = script.scorer(tries=6, pause_s=1, longest_pause_s=5)
    script.answers = [DROPS] * 6
    with pytest.raises(ScoringError, match=r"cannot be reached \(RemoteProtocolError\)"):
        scorer.score([TEXT], QUESTION)
    assert script.pauses == [(0, 1), (0, 2), (0, 4), (0, 5), (0, 5)]
    scorer.close()


def test_after_failures_in_a_row_nothing_is_sent_for_a_while(script: Scripted) -> None:
    scorer = script.scorer(tries=1, failures=2, cooldown_s=3600)
    script.answers = [(500, {}), (500, {})]
    for _ in range(2):
        with pytest.raises(ScoringError, match="answered 500"):
            scorer.score([TEXT], QUESTION)
    with pytest.raises(ScoringError, match="failed 2 times in a row"):
        scorer.score([TEXT], QUESTION)
    assert len(script.bodies) == 2
    scorer.close()


@pytest.mark.parametrize("nonsense", [{}, {"scorer": "told"}, {"scorer": "told", "scores": [None]}, {**GOOD[1], "scorer": "another"}])
def test_nonsense_in_a_row_counts_as_failures(nonsense: dict[str, Any], script: Scripted) -> None:
    scorer = script.scorer(failures=2, cooldown_s=3600)
    script.answers = [(200, nonsense)] * 2
    for _ in range(2):
        with pytest.raises(ScoringError):
            scorer.score([TEXT], QUESTION)
    with pytest.raises(ScoringError, match="failed 2 times in a row"):
        scorer.score([TEXT], QUESTION)
    scorer.close()


def test_another_scorer_at_the_same_address_is_an_error(script: Scripted) -> None:
    scorer = script.scorer()
    script.answers = [(200, {**GOOD[1], "scorer": "another"})]
    with pytest.raises(ScoringError, match="come to be another scorer"):
        scorer.score([TEXT], QUESTION)
    scorer.close()


@pytest.mark.parametrize("rows", [None, 5, [{}], [{"tokens": 2, "offsets": "AAAA", "scores": "", "cached": False}], [{"tokens": 1}]])
def test_what_are_no_scores_is_an_error(rows: Any) -> None:
    with pytest.raises(ScoringError, match="not scores as a service sends them"):
        unpacked(rows)


def test_titles_are_sent_to_a_scorer_that_takes_them(script: Scripted) -> None:
    scorer = script.scorer()
    scorer.score([TEXT], QUESTION, ["a"])
    script.identity = {**IDENTITY, "takes_titles": True}
    other = script.scorer()
    other.score([TEXT], QUESTION, ["a"])
    other.score([TEXT], QUESTION)
    assert ["titles" in body for body in script.bodies] == [False, True, False]
    scorer.close()
    other.close()


@pytest.mark.parametrize("url", ["", "127.0.0.1:8765", "ftp://127.0.0.1"])
def test_an_address_is_one_of_http(url: str) -> None:
    with pytest.raises(ConfigError, match="url="):
        RemoteScorer(url)


def test_an_address_holds_no_password() -> None:
    with pytest.raises(ConfigError, match="without user and password") as raised:
        RemoteScorer("http://agent:xyzzy@127.0.0.1:9")
    assert "xyzzy" not in str(raised.value)


@pytest.mark.parametrize(("name", "value"), [("tries", 0), ("timeout_s", 0), ("pause_s", -1), ("connect_s", float("inf"))])
def test_impatience_is_an_error_at_construction(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"^{name}="):
        Patience(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["failures", "cooldown_s"])
def test_a_breaker_that_cannot_work_is_an_error_before_a_service_is_asked(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^breaker\.{name}="):
        Patience(**{name: 0})  # type: ignore[arg-type]


def test_a_service_that_is_not_there_is_an_error_at_construction() -> None:
    with pytest.raises(ScoringError, match="cannot be reached"):
        RemoteScorer("http://127.0.0.1:9", patience=Patience(tries=1))


def test_an_agent_may_start_before_the_service_that_its_settings_name() -> None:
    audit = Records()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = CompressionConfig(scorer=f"http://127.0.0.1:{port}", min_tokens=0, min_result_tokens=0, target_tokenizer="o200k_base")
    agent = Compressor(config=settings, audit=audit, cache="memory").session("conversation")
    early, late = Segment(TEXT, name="early"), Segment(TEXT[::-1], name="late")
    (passed,) = agent.step([early], QUESTION).segments
    assert (passed.text, passed.outcome) == (TEXT, "passthrough")
    assert any("cannot be reached" in str(fields.get("fallback_reason")) for event, fields in audit.rows if event == "compress")
    with serving(port=port):
        before, after = agent.step([early, late], QUESTION).segments
    assert before.text == TEXT, "what was sent stays sent"
    assert after.outcome == "compressed"


def test_without_httpx_the_pip_command_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "httpx", None)
    with pytest.raises(ImportError, match=r"pip install 'specprefill-agents\[serve\]'"):
        RemoteScorer("http://127.0.0.1:9")


def test_a_forked_child_has_connections_of_its_own() -> None:
    with serving() as service:
        scorer = RemoteScorer(service.url)
        held = scorer._client
        scorer.after_fork()
        assert scorer._client is not held
        assert len(scorer.score([TEXT], QUESTION)) == 1
        held.close()
        scorer.close()


def compressor(scorer: RemoteScorer, audit: Records) -> Compressor:
    config = CompressionConfig(min_tokens=0, min_result_tokens=0, target_tokenizer="o200k_base")
    return Compressor(config=config, scorer=scorer, audit=audit, cache="memory")


def test_when_the_service_is_killed_the_original_is_forwarded_and_recorded() -> None:
    audit = Records()
    with serving_process() as (process, url):
        scorer = RemoteScorer(url, patience=Patience(tries=2), sleep=lambda _: None)
        agent = compressor(scorer, audit)
        assert agent.compress([Segment(TEXT)], QUESTION).segments[0].outcome == "compressed"
        process.kill()
        process.communicate()
        result = agent.compress([Segment(TEXT)], "another question")
    assert [one.text for one in result.segments] == [TEXT]
    assert [one.outcome for one in result.segments] == ["passthrough"]
    assert str(result.usage.fallback_reason).startswith("ScoringError: the scoring service cannot be reached")
    (failure,) = [fields for event, fields in audit.rows if event == "compress" and fields["fallback_reason"]]
    assert failure["fallback_reason"] == result.usage.fallback_reason
    scorer.close()


def test_decisions_are_the_same_bytes_after_the_service_came_back() -> None:
    outputs: list[Sequence[Any]] = []
    for _ in range(2):
        with serving() as service:
            scorer = RemoteScorer(service.url)
            agent = compressor(scorer, Records())
            outputs.append((agent.fingerprint, agent.compress([Segment(TEXT)], QUESTION).segments))
            scorer.close()
    assert outputs[0] == outputs[1]


def test_what_the_service_keeps_of_a_tenants_texts_is_that_tenants(
    tiny_draft: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_preset(Path(tiny_draft), tmp_path)
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path))
    monkeypatch.setenv("SPECPREFILL_CACHE_DIR", str(tmp_path / "cache"))
    with serving(ServiceSettings(config=CompressionConfig(scorer="fused"), draft=tiny_draft, device="cpu")) as service:
        common = RemoteScorer(service.url)
        one, two = common.for_tenant("one"), common.for_tenant("two")
        scored = [scorer.score([TEXT], QUESTION)[0] for scorer in (common, one, one, two, common)]
        problem = service.client.post("/v1/score", json={"contexts": [TEXT], "query": "", "tenant": "x" * 201})
        common.close()
    assert [found.cached for found in scored] == [False, False, True, False, True]
    assert len({found.scores.tobytes() for found in scored}) == 1
    assert problem.status_code == 422
