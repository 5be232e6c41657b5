"""What the property tests of the invariants share: compressors and counters, made once, and how many examples they run.

Each invariant has a test that runs `MANY` examples in `make test`, the same ones every time. By hand, every test that needs
no model runs 50,000, new ones each time, with `pytest --hypothesis-profile=thorough tests/test_invariants_*.py`; that
takes one core an hour or two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from hypothesis import settings

from specprefill_agents import CompressionConfig, CompressionResult, Compressor, Segment, TokenScores
from specprefill_agents.accounting.tokens import counter_for
from specprefill_agents.scoring.words import words
from specprefill_agents.types import KeepRatio

MANY = settings(max_examples=max(2_000, 5 * settings().max_examples))
"""For the first test of an invariant: 2,000 examples, or 50,000 by hand."""
SOME = settings(max_examples=max(500, 5 * settings().max_examples))
"""For another side of it: 500, or 50,000 by hand."""
FEW = settings(max_examples=max(200, settings().max_examples // 2))
"""For what runs a model or starts threads: 200, or 5,000 by hand."""
COUNTERS = ("o200k_base", "deepseek", "estimate")
CANDIDATE_KINDS = ("tool_result", "document")


class LongWords:
    """A scorer whose importance is the length of a word: cheap, deterministic, different for every token."""

    def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
        found = [words(context) for context in contexts]
        return [
            TokenScores(
                np.array([span for _, span in part], dtype=np.int64).reshape(-1, 2),
                np.array([len(word) for word, _ in part], dtype=np.float64),
            )
            for part in found
        ]


class QuickCounter:
    """A counter that remembers what it counted."""

    def __init__(self, name: str) -> None:
        counter = counter_for(name)
        self.name = counter.name
        self.count: Callable[[str], int] = lru_cache(maxsize=2**15)(counter.count)


class Records:
    """An audit log that keeps its latest records."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, Mapping[str, Any]]] = []

    def record(self, event: str, fields: Mapping[str, Any]) -> None:
        self.rows = [*self.rows[-9:], (event, fields)]


@cache
def counter(name: str = "o200k_base") -> QuickCounter:
    """The counter of a name, made once."""
    return QuickCounter(name)


def fresh(keep_ratio: KeepRatio = 0.3, counted_by: str = "o200k_base", *, scorer: str = "", **own: Any) -> Compressor:
    """A new compressor without floors that lets every error out, but for its `own` settings; scores by `LongWords` unless named."""
    values = {"keep_ratio": keep_ratio, "min_tokens": 0, "min_result_tokens": 0, "on_error": "raise", "timeout_s": None, **own}
    config = CompressionConfig.from_dict(values | ({"scorer": scorer} if scorer else {}))
    return Compressor(config=config, scorer=None if scorer else LongWords(), counter=counter(counted_by), cache="memory")


compressor = cache(fresh)
"""As `fresh`, but one for each combination of settings, since a thread of its own is what costs most: what it has done before must
not matter."""
another = cache(lambda **settings: fresh(**settings))
"""As `compressor`, a second one of the same settings, such as another process has."""


def candidates(segments: Sequence[Segment], result: CompressionResult) -> tuple[int, int]:
    """(original, kept) tokens of what may be compressed at all."""
    pairs = [
        (done.original_tokens, done.kept_tokens)
        for segment, done in zip(segments, result.segments, strict=True)
        if segment.kind in CANDIDATE_KINDS and segment.text and not segment.text.isspace()
    ]
    return sum(original for original, _ in pairs), sum(kept for _, kept in pairs)
