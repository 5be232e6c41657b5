"""Small values of every kind that the score cache stores, and a second process that stores and reads them.

Run as a program with a directory, a size limit in bytes and a seed, it fails when any value it reads is not the one
that was stored under that name, or when anything went wrong.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np

from specprefill_agents.scoring.context_keys import ContextKeys
from specprefill_agents.storage.rows import CONTEXT_KEYS, QUERY_VECTORS
from specprefill_agents.storage.score_cache import Scope, ScoreCache
from specprefill_agents.types import TokenScores

SCOPE = Scope("revision-a", "fingerprint-a")
NAMES = range(12)


def context_keys(seed: int, tokens: int = 5, dtype: str = "int8", heads: int = 2, size: int = 4) -> ContextKeys:
    """Keys that differ from seed to seed."""
    draw = np.random.default_rng(seed)
    starts = np.cumsum(draw.integers(1, 7, tokens))
    return ContextKeys(
        np.stack([starts, starts + 1], axis=1).astype(np.int32).reshape(-1, 2),
        draw.integers(-127, 128, (heads, tokens, size)).astype(dtype),
        draw.random((heads, tokens), dtype=np.float32),
    )


def token_scores(seed: int, *lengths: int, dtype: str = "float64") -> tuple[TokenScores, ...]:
    """Scores of one call whose contexts have these lengths."""
    draw = np.random.default_rng(seed)
    return tuple(
        TokenScores(np.stack([np.arange(n), np.arange(n) + 1], axis=1).astype(np.int64).reshape(-1, 2), draw.random(n).astype(dtype))
        for n in lengths
    )


def same(left: object, right: object) -> bool:
    """Whether two values hold the same arrays, type by type and bit by bit."""
    arrays = [_arrays(value) for value in (left, right)]
    return len(arrays[0]) == len(arrays[1]) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in zip(*arrays, strict=True)
    )


def _arrays(value: object) -> list[np.ndarray]:
    if isinstance(value, ContextKeys):
        return [value.offsets, value.keys, value.scales]
    if isinstance(value, tuple):
        return [array for one in value for array in (one.offsets, one.scores)]
    assert isinstance(value, np.ndarray)
    return [value]


def main(directory: str, size_limit: str, seed: str) -> None:
    """Store and read the same names as every other process, in an order of our own."""
    order = random.Random(int(seed))
    with ScoreCache(Path(directory), size_limit=int(size_limit), timeout_s=60) as cache:
        for _ in range(2):
            for name in order.sample(NAMES, len(NAMES)):
                large, small = context_keys(name, tokens=3000, size=16), np.full((2, 3, 4), name, np.float32)
                for kind, expected in ((CONTEXT_KEYS, large), (QUERY_VECTORS, small)):
                    found = cache.get(kind, SCOPE, str(name))
                    if found is None:
                        cache.put(kind, SCOPE, str(name), expected)
                    elif not same(found, expected):
                        raise SystemExit(f"wrong value under {name}")
        if cache.stats.errors or cache.stats.damaged:
            raise SystemExit(str(cache.stats))


if __name__ == "__main__":
    main(*sys.argv[1:])
