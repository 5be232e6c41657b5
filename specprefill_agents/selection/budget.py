"""Greedy selection under a strict budget in target tokens, gap marks included. Pure; counts nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Candidate:
    """The units of one text, as numbers: U scores, U costs in tokens, and which are kept before all others.

    `empty_cost` is what the text costs with nothing kept, `gap_cost` what one gap between kept units costs.
    """

    scores: NDArray[np.float64]
    costs: NDArray[np.int64]
    forced: NDArray[np.bool_]
    empty_cost: int
    gap_cost: int


def select(candidates: Sequence[Candidate], budget: int) -> list[NDArray[np.bool_]]:
    """Which units to keep, one mask (U,) per candidate: forced ones first, then by falling score, earlier ones first.

    A unit that does not fit is passed over for smaller ones that do. The estimated total stays within `budget`
    whenever the texts with nothing kept do.
    """
    kept = [np.zeros(len(candidate.scores), dtype=np.bool_) for candidate in candidates]
    left = budget - sum(candidate.empty_cost for candidate in candidates)
    for which, index in ranking(candidates):
        cost = _added_cost(candidates[which], kept[which], index)
        if cost <= left:
            kept[which][index] = True
            left -= cost
    return kept


def ranking(candidates: Sequence[Candidate]) -> list[tuple[int, int]]:
    """(candidate, unit) pairs from the most to the least important."""
    order = [
        (not forced, -score, which, index)
        for which, candidate in enumerate(candidates)
        for index, (score, forced) in enumerate(zip(candidate.scores.tolist(), candidate.forced.tolist(), strict=True))
    ]
    return [(which, index) for _, _, which, index in sorted(order)]


def _added_cost(candidate: Candidate, kept: NDArray[np.bool_], index: int) -> int:
    """Tokens that keeping one more unit adds: its own, and the gap marks it opens or closes."""
    opens_before = index > 0 and not kept[index - 1]
    opens_after = index + 1 < len(kept) and not kept[index + 1]
    gaps = int(opens_before) + int(opens_after)
    if not kept.any():
        return int(candidate.costs[index]) + gaps * candidate.gap_cost - candidate.empty_cost
    return int(candidate.costs[index]) + (gaps - 1) * candidate.gap_cost
