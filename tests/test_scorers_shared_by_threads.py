"""One scorer for many threads: the draft reads each text once, and the scores are those of a thread alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.made.draft import write_tiny_preset
from specprefill_agents.scoring.base import Scorer
from specprefill_agents.scoring.key_index import KeyIndexScorer, load_key_index
from specprefill_agents.scoring.single_flight import SingleFlight
from specprefill_agents.scoring.speculative import load_speculative

THREADS = 8
TEXTS = [f"Shelf {number}: {'the books of this shelf are green and old. ' * 20}" for number in range(6)]


@pytest.fixture
def scorer(tiny_draft: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyIndexScorer:
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path))
    write_tiny_preset(Path(tiny_draft), tmp_path)
    return load_key_index(tiny_draft)


def test_a_text_that_many_threads_ask_for_at_once_is_read_once(scorer: KeyIndexScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    read = KeyIndexScorer.read
    barrier = threading.Barrier(THREADS)

    def counted(self: KeyIndexScorer, context: str) -> Any:
        reads.append(context)
        return read(self, context)

    monkeypatch.setattr(KeyIndexScorer, "read", counted)

    def ask(number: int) -> list[bool]:
        barrier.wait()
        return [one.cached for one in scorer.score(TEXTS[:2], f"question {number}")]

    with ThreadPoolExecutor(THREADS) as threads:
        cached = list(threads.map(ask, range(THREADS)))
    assert sorted(reads) == sorted(TEXTS[:2])
    assert sum(not one for flags in cached for one in flags) == 2


def test_threads_do_not_disturb_each_other(scorer: KeyIndexScorer) -> None:
    without_caches = KeyIndexScorer(scorer._draft, scorer._preset)  # so that each call reads
    check_undisturbed(without_caches, [TEXTS[number % 6 :] for number in range(12)])


def test_threads_do_not_disturb_each_other_s_attention_rows(tiny_draft: str) -> None:
    check_undisturbed(load_speculative(tiny_draft, device="cpu"), [[text] for text in TEXTS])


def check_undisturbed(scorer: Scorer, contexts: list[list[str]]) -> None:
    """Many threads at once get what each call gets alone."""
    calls = [(texts, f"which shelf is number {number}?") for number, texts in enumerate(contexts)]
    alone = [scorer.score(*call) for call in calls]
    with ThreadPoolExecutor(THREADS) as threads:
        together = list(threads.map(lambda call: scorer.score(*call), calls))
    for first, second in zip(alone, together, strict=True):
        for one, other in zip(first, second, strict=True):
            assert np.array_equal(one.scores, other.scores)
            assert np.array_equal(one.offsets, other.offsets)


def test_a_name_is_given_up_when_its_holder_fails() -> None:
    flights = SingleFlight()
    with pytest.raises(RuntimeError, match="no luck"), flights.alone("a"):
        raise RuntimeError("no luck")
    with ThreadPoolExecutor(1) as thread:

        def enter() -> bool:
            with flights.alone("a"):
                return True

        assert thread.submit(enter).result(5)
    assert flights._flights == {}
