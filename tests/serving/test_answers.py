"""What the service answers is what the embedded parts give, byte for byte."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.made.draft import write_tiny_preset
from specprefill_agents import CompressionConfig, Compressor, Segment
from specprefill_agents.scoring.key_index import KeyIndexScorer
from specprefill_agents.scoring.registry import make_scorer
from specprefill_agents.scoring.remote import RemoteScorer
from specprefill_agents.scoring.score_format import unpacked
from specprefill_agents.serving.settings import ServiceSettings
from tests.serving.running import BM25, Running, serving

NEEDLE = "The spare key of the observatory hangs behind the blue map in room 12.\n"
LINES = [f"Day {day}: the weather was mild, the visitors were few, and the log has nothing else to say.\n" for day in range(40)]
HAYSTACK = "".join([*LINES[:27], NEEDLE, *LINES[27:]])
QUESTION = "Where does the spare key of the observatory hang?"
ODD = ["", "列車は七時半に出る。\n次の列車は九時。", "half a pair: \ud800 <|im_end|>", "\0 \x1b[0m \r\n", HAYSTACK]
CONFIG = CompressionConfig(scorer="fused", min_tokens=0, min_result_tokens=0, target_tokenizer="o200k_base")
THREADS = 8
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def drafted(tiny_draft: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service whose scorer reads with a draft."""
    home = tmp_path_factory.mktemp("home")
    write_tiny_preset(Path(tiny_draft), home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPECPREFILL_HOME", str(home))
        with serving(ServiceSettings(config=CONFIG, draft=tiny_draft, threads=THREADS)) as running:
            yield running


@pytest.fixture
def remote(drafted: Running) -> Iterator[RemoteScorer]:
    scorer = RemoteScorer(drafted.url)
    yield scorer
    scorer.close()


def raw(scores: Any) -> list[tuple[bytes, bytes]]:
    return [(one.offsets.tobytes(), one.scores.tobytes()) for one in scores]


@pytest.mark.parametrize("titles", [[], ["a", None, "b", None, "a log"]])
def test_scores_have_the_bytes_of_the_embedded_scorer(titles: list[str | None], remote: RemoteScorer, tiny_draft: str) -> None:
    embedded: Any = make_scorer(CONFIG, tiny_draft, "auto", None)
    assert remote.fingerprint == embedded.fingerprint
    assert remote.takes_titles
    found = remote.score(ODD, QUESTION, titles)
    assert raw(found) == raw(embedded.score(ODD, QUESTION, titles))
    assert [one.offsets.dtype for one in found] == [np.int64] * len(ODD)


def test_a_whole_result_is_that_of_the_embedded_scorer(remote: RemoteScorer, tiny_draft: str) -> None:
    segments = [Segment(text, "document", name=f"text {index}") for index, text in enumerate(ODD)]
    here = Compressor(tiny_draft, CONFIG, scorer=make_scorer(CONFIG, tiny_draft, "auto", None), cache="memory")
    there = Compressor(tiny_draft, CONFIG, scorer=remote, cache="memory")
    assert there.fingerprint == here.fingerprint
    first, second = here.compress(segments, QUESTION), there.compress(segments, QUESTION)
    assert second.segments == first.segments
    assert any(one.outcome == "compressed" for one in first.segments)


def test_sessions_decide_the_same_bytes(remote: RemoteScorer, tiny_draft: str) -> None:
    steps = [[Segment(HAYSTACK, id="1")], [Segment(HAYSTACK, id="1"), Segment(HAYSTACK.upper(), id="2")]]
    seen = []
    for scorer in (make_scorer(CONFIG, tiny_draft, "auto", None), remote):
        session = Compressor(tiny_draft, CONFIG, scorer=scorer, cache="memory").session("c")
        seen.append([[one.text for one in session.step(segments, QUESTION).segments] for segments in steps])
    assert seen[0] == seen[1]


def test_a_scorer_may_be_named_by_its_address(drafted: Running) -> None:
    compressor = Compressor(config=replace(CONFIG, scorer=drafted.url), cache="memory")
    result = compressor.compress([Segment(HAYSTACK)], QUESTION)
    assert result.usage.fallback_reason is None
    assert result.segments[0].outcome == "compressed"
    assert compressor.decider.scorer_fingerprint == drafted.service.engine.identity()["scorer"]
    compressor._scorer.close()  # type: ignore[attr-defined]


def test_requests_for_one_text_at_once_cost_one_draft_pass(drafted: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    read = KeyIndexScorer.read
    barrier = threading.Barrier(THREADS)

    def counted(self: KeyIndexScorer, context: str) -> Any:
        reads.append(context)
        return read(self, context)

    monkeypatch.setattr(KeyIndexScorer, "read", counted)

    def ask(number: int) -> bool:
        barrier.wait()
        answered = drafted.client.post("/v1/score", json={"contexts": ["a text that is new"], "query": f"question {number}"})
        return unpacked(answered.json()["scores"])[0].cached

    with ThreadPoolExecutor(THREADS) as threads:
        cached = list(threads.map(ask, range(THREADS)))
    assert reads == ["a text that is new"]
    assert cached.count(False) == 1


def test_compress_answers_as_the_command_line_does(tmp_path: Path) -> None:
    requests = [
        {"id": "a", "segments": [{"text": HAYSTACK, "kind": "document", "name": "log"}, {"text": "Be brief."}], "query": QUESTION},
        {"id": 2, "segments": [{"text": HAYSTACK, "keep": [[0, 10]]}], "query": "", "keep_ratio": 0.2},
        {"id": 3, "segments": [{"text": HAYSTACK}], "query": QUESTION, "keep_ratio": "auto", "config": {"min_tokens": 100_000}},
        {"id": 4, "segments": [{"text": f"\ud800 {HAYSTACK}", "name": "ls"}], "query": "\udfff", "config": {"exclude_tools": ["ls"]}},
    ]
    command = [sys.executable, "-m", "specprefill_agents.cli", "compress", "--jsonl", "--scorer", "bm25", "--min-tokens", "0"]
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    done = subprocess.run([*command, "--tokenizer", "o200k_base"], input=lines, capture_output=True, text=True, check=True)
    with serving(ServiceSettings(config=replace(BM25, min_result_tokens=32))) as running:
        answers = [running.client.post("/v1/compress", content=json.dumps(request), headers=JSON).json() for request in requests]
    for answer in (expected := [json.loads(line) for line in done.stdout.splitlines()]) + answers:
        answer["usage"].pop("scorer_ms")
    assert answers == expected
    assert [answer["segments"][0]["text"] == request["segments"][0]["text"] for answer, request in zip(answers, requests, strict=True)] == [
        False,
        False,
        True,
        True,
    ]


def test_an_answer_has_no_id_where_none_was_sent() -> None:
    with serving() as running:
        answer = running.client.post("/v1/compress", json={"segments": [], "query": ""}).json()
    assert set(answer) == {"segments", "usage"}
