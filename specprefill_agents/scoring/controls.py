"""Controls that every comparison shows: a random choice, and the head and tail of each context. Neither reads the query."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from specprefill_agents.prompt.units import DEFAULT_LIMITS, Limits, layout_of
from specprefill_agents.scoring.words import words
from specprefill_agents.types import TokenScores


class RandomScorer:
    """A uniform random score per unit, which depends on the seed and the context alone."""

    def __init__(self, seed: int = 0, limits: Limits = DEFAULT_LIMITS) -> None:
        self._seed = seed
        self._limits = limits
        self.fingerprint = f"random:{seed}:{limits}"

    def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
        """One random number per unit: one per word would favour long units, whose best word counts."""
        return [self._score(context) for context in contexts]

    def _score(self, context: str) -> TokenScores:
        units = layout_of(context, self._limits).units
        offsets = np.array([(unit.start, unit.end) for unit in units], dtype=np.int64).reshape(-1, 2)
        digest = hashlib.sha256(f"{self._seed}:{context}".encode("utf-8", "surrogatepass")).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        return TokenScores(offsets, generator.random(len(offsets)))


class HeadTailScorer:
    """Scores fall with the distance from the nearer end of a context: 1 at both ends, 0 in the middle."""

    fingerprint = "head_tail"

    def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
        """Distance from the middle, as a share of half the length."""
        return [self._score(context) for context in contexts]

    def _score(self, context: str) -> TokenScores:
        offsets = _word_offsets(context)
        middle = max(1, len(context)) / 2
        return TokenScores(offsets, np.abs(offsets.mean(axis=1) - middle) / middle)


def _word_offsets(context: str) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.array([span for _, span in words(context)], dtype=np.int64).reshape(-1, 2)
