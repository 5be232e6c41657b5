"""Several scorers as one: their scores on a common scale, added, and every token lifted by the best of its block.

The lift is what lets a function, a record, a paragraph or a turn win as a whole: where one token of a block answers the
question, the rest of the block is likelier to matter than a lone resemblance elsewhere.

Axes: T tokens of the first member, M those of another, K blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.prompt.units import BLOCK_CHARS, split_blocks, split_lines
from specprefill_agents.scoring.base import Scorer, scorer_fingerprint
from specprefill_agents.types import TokenScores, Unit

BLOCK_WEIGHT = 0.6
LEXICAL_WEIGHT = 0.5
IDENTIFIER_WEIGHT = 0.3


@dataclass(frozen=True, slots=True)
class Member:
    """One scorer of a fusion, and what its scores count for once its best token of the call is scaled to 1."""

    scorer: Scorer
    weight: float = 1.0


class FusionScorer:
    """Weighted sum of its members' scores per token of the first member, plus `block_weight` times the block's best.

    Blocks end where units of `unit_chars` end and hold at most `block_chars` characters.
    """

    def __init__(
        self,
        members: Sequence[Member],
        unit_chars: tuple[int, int] = (48, 192),
        block_weight: float = BLOCK_WEIGHT,
        block_chars: int = BLOCK_CHARS,
    ) -> None:
        self._members = tuple(members)
        self._unit_chars = unit_chars
        self._block_weight = block_weight
        self._block_chars = block_chars

    @property
    def fingerprint(self) -> str:
        """The members' fingerprints with their weights, and the block settings."""
        parts = "+".join(f"{member.weight:g}*{scorer_fingerprint(member.scorer)}" for member in self._members)
        return f"fusion({parts};{self._block_weight:g}:{self._block_chars}:{self._unit_chars})"

    def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
        """Fused importance at the first member's offsets, in [0, sum of weights * (1 + block_weight)]."""
        results = [member.scorer.score(contexts, query) for member in self._members]
        scales = [_scale(part, member.weight) for part, member in zip(results, self._members, strict=True)]
        return [self._fused(context, [part[index] for part in results], scales) for index, context in enumerate(contexts)]

    def _fused(self, context: str, parts: Sequence[TokenScores], scales: Sequence[float]) -> TokenScores:
        first = parts[0]
        total = np.zeros(len(first.scores))
        for part, scale in zip(parts, scales, strict=True):
            total += scale * scores_at(part, first.offsets)
        if len(total):
            blocks = split_blocks(context, split_lines(context, *self._unit_chars), self._block_chars)
            total += self._block_weight * block_best(total, first.offsets, blocks)
        return TokenScores(first.offsets, total, first.cached)


def _scale(results: Sequence[TokenScores], weight: float) -> float:
    """What brings the best token of a call to `weight`; 0 where no token scores at all."""
    best = max((float(result.scores.max()) for result in results if len(result.scores)), default=0.0)
    return weight / best if best > 0 else 0.0


def scores_at(scores: TokenScores, offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Scores (M) of one tokenization read at the tokens `offsets` (T, 2) of another: where each of those starts, (T,)."""
    if not len(scores.scores):
        return np.zeros(len(offsets))
    if scores.offsets.shape == offsets.shape and (scores.offsets == offsets).all():
        return scores.scores
    index = np.maximum(np.searchsorted(scores.offsets[:, 0], offsets[:, 0], side="right") - 1, 0)
    return scores.scores[index]


def block_best(scores: NDArray[np.float64], offsets: NDArray[np.int64], blocks: Sequence[Unit]) -> NDArray[np.float64]:
    """For each token (T,) the best score of the block (K) that it starts in."""
    starts = np.array([block.start for block in blocks])
    which = np.maximum(np.searchsorted(starts, offsets[:, 0], side="right") - 1, 0)
    best = np.zeros(len(blocks))
    np.maximum.at(best, which, scores)
    lifted: NDArray[np.float64] = best[which]
    return lifted
