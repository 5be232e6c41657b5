"""The service on Ray Serve: the same bytes from every replica, a bounded queue, warm before it is ready. `make test-ray`."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import ray
from ray import serve

from specprefill_agents import CompressionConfig, Compressor, Segment
from specprefill_agents.cli import main
from specprefill_agents.scoring.registry import make_scorer
from specprefill_agents.scoring.remote import RemoteScorer
from specprefill_agents.serving.ray_serve import BATCH_TOKENS, _Job, batch_tokens, deployment
from specprefill_agents.serving.settings import ServiceSettings

DRAFT = "smollm2-135m"
CONFIG = CompressionConfig(min_tokens=0, min_result_tokens=0, target_tokenizer="o200k_base")
REPLICAS = 2
TEXTS = [
    f"Shelf {number}.\n" + "The books of this shelf are green and old.\n" * 12 + f"Book {number * 7} is lent.\n" for number in range(24)
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    cache = str(tmp_path_factory.mktemp("cache") / "scores")
    os.environ["SPECPREFILL_CACHE_DIR"] = cache
    ray.init(include_dashboard=False, num_cpus=REPLICAS, runtime_env={"env_vars": {"SPECPREFILL_CACHE_DIR": cache}}, logging_level="error")
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(
        deployment(ServiceSettings(config=CONFIG, draft=DRAFT), REPLICAS, min_replicas=REPLICAS), name="specprefill", route_prefix="/"
    )
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()
    ray.shutdown()


def test_every_replica_is_warm_when_the_application_is_there(url: str) -> None:
    (found,) = serve.status().applications["specprefill"].deployments.values()
    assert dict(found.replica_states) == {"RUNNING": REPLICAS}
    for _ in range(10):
        assert httpx.get(f"{url}/readyz").json() == {"status": "ready"}


def test_replicas_answer_with_the_bytes_of_the_embedded_scorer(url: str) -> None:
    scorer = RemoteScorer(url)
    embedded = make_scorer(CONFIG, DRAFT, "auto", None)
    assert scorer.fingerprint == embedded.fingerprint  # type: ignore[attr-defined]

    def digest(scorer: object, number: int) -> str:
        scores = scorer.score(TEXTS[number : number + 3], f"Which book of shelf {number} is lent?")  # type: ignore[attr-defined]
        return hashlib.sha256(b"".join(one.offsets.tobytes() + one.scores.tobytes() for one in scores)).hexdigest()

    with ThreadPoolExecutor(8) as threads:
        there = list(threads.map(lambda number: digest(scorer, number), range(len(TEXTS))))
    assert there == [digest(embedded, number) for number in range(len(TEXTS))]
    here, far = (Compressor(DRAFT, CONFIG, scorer=one, cache="memory") for one in (embedded, scorer))
    segments = [Segment(text, "document") for text in TEXTS]
    assert far.compress(segments, "Which book is lent?").segments == here.compress(segments, "Which book is lent?").segments


def test_both_replicas_are_used(url: str) -> None:
    def metrics(number: int) -> str:
        body = json.dumps({"contexts": [TEXTS[number % 24] * 3], "query": str(number)})
        httpx.post(f"{url}/v1/score", content=body, headers={"Content-Type": "application/json"}, timeout=60).raise_for_status()
        return httpx.get(f"{url}/metrics").text

    with ThreadPoolExecutor(8) as threads:
        texts = list(threads.map(metrics, range(48)))
    counters = 'specprefill_service_requests_created{route="/v1/score",status="200"}'  # of each replica since another moment
    since = {line for text in texts for line in text.splitlines() if line.startswith(counters)}
    assert len(since) == REPLICAS


def test_problems_keep_their_status(url: str) -> None:
    headers = {"Content-Type": "application/json"}
    assert httpx.post(f"{url}/v1/score", content=b"{", headers=headers).status_code == 400
    assert httpx.post(f"{url}/v1/score", content=b"{}", headers=headers).json()["error"]["code"] == "invalid"
    assert httpx.post(f"{url}/v1/score", content=b"[" * 20 * 2**20, headers=headers).status_code == 413


def test_a_batch_is_bounded_by_its_tokens() -> None:
    jobs = [_Job(bytes, b"x" * 4_000), _Job(bytes, b"")]
    assert batch_tokens(jobs) == 1_002
    assert batch_tokens([_Job(bytes, b"x" * 10**6)]) == BATCH_TOKENS


def test_the_command_does_not_start_ray_for_what_cannot_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--engine", "ray", "--scorer", "bm26"]) == 2
    said = capsys.readouterr().err
    assert "scorer='bm26' is not valid" in said
    assert "serving" not in said


def test_the_command_says_where_it_serves_once_a_replica_answers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "specprefill_agents.cli", "serve", "--engine", "ray", "--replicas", "1"]
    command += ["--port", str(port), "--scorer", "bm25"]
    log = (tmp_path / "log").open("wb")
    with log, subprocess.Popen(command, stderr=subprocess.PIPE, stdout=log, text=True) as process:
        assert process.stderr is not None
        said = next((line for line in process.stderr if line.startswith("specprefill: ")), "")
        assert said == f"specprefill: serving bm25 on http://127.0.0.1:{port}\n"
        assert httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).json() == {"status": "ready"}
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode == 0
