"""A scorer's caches: memory in front of the disk, or memory alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from specprefill_agents.storage.layered import LayeredKeyCache, LayeredQueryCache, LayeredScoreCache, ScorerCaches
from specprefill_agents.storage.memory import MemoryCache
from specprefill_agents.storage.score_cache import ScoreCache
from tests.cached_values import SCOPE, context_keys, same, token_scores

VECTORS = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[ScoreCache]:
    with ScoreCache(tmp_path / "cache", timeout_s=10) as cache:
        yield cache


@pytest.mark.parametrize(
    ("make", "value"),
    [(LayeredKeyCache, context_keys(1)), (LayeredQueryCache, VECTORS), (LayeredScoreCache, token_scores(1, 3, 4))],
)
def test_memory_stands_in_front_of_the_disk(disk: ScoreCache, make: Callable, value: object) -> None:
    make(disk, SCOPE).put("x", value)
    later = make(disk, SCOPE)
    assert [same(later.get("x"), value) for _ in range(5)] == [True] * 5
    assert disk.stats.hits == 1, "four of five were in memory"
    assert later.get("y") is None


def test_caches_work_without_a_disk() -> None:
    caches = ScorerCaches.of(None, "revision", "fingerprint")
    caches.keys.put("x", context_keys(1))
    caches.queries.put("x", VECTORS)
    caches.scores.put("x", token_scores(1, 3))
    assert same(caches.keys.get("x"), context_keys(1))
    assert same(caches.queries.get("x"), VECTORS)
    (found,) = caches.scores.get("x") or ()
    assert found.cached
    assert caches.keys.get("y") is None


def test_memory_keeps_its_limit_and_never_drops_the_rest_for_one_too_large() -> None:
    memory = MemoryCache[bytes](10, len)
    for name, value in (("a", b"1234"), ("b", b"1234"), ("a", b"12345"), ("huge", b"0" * 11)):
        memory.put(name, value)
    assert [memory.get(name) for name in ("a", "b", "huge")] == [b"12345", b"1234", None]
    memory.put("c", b"12")
    assert [memory.get(name) for name in ("a", "b", "c")] == [None, b"1234", b"12"]
