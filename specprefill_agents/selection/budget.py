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
    kept = [[False] * len(candidate.scores) for candidate in candidates]  # lists: element by element, arrays are slow
    costs = [candidate.costs.tolist() for candidate in candidates]
    is_empty = [True] * len(candidates)
    left = budget - sum(candidate.empty_cost for candidate in candidates)
    for which, index in ranking(candidates):
        candidate = candidates[which]
        added = costs[which][index] + candidate.gap_cost * _gaps_opened(kept[which], index)
        added -= candidate.empty_cost if is_empty[which] else candidate.gap_cost
        if added <= left:
            kept[which][index] = True
            is_empty[which] = False
            left -= added
    return [np.array(mask, dtype=np.bool_) for mask in kept]


def ranking(candidates: Sequence[Candidate]) -> list[tuple[int, int]]:
    """(candidate, unit) pairs from the most to the least important."""
    if not candidates:
        return []
    which = np.concatenate([np.full(len(candidate.scores), at) for at, candidate in enumerate(candidates)])
    index = np.concatenate([np.arange(len(candidate.scores)) for candidate in candidates])
    scores = np.concatenate([candidate.scores for candidate in candidates])
    forced = np.concatenate([candidate.forced for candidate in candidates])
    order = np.lexsort((index, which, -scores, ~forced))
    return list(zip(which[order].tolist(), index[order].tolist(), strict=True))


def _gaps_opened(kept: Sequence[bool], index: int) -> int:
    """How many of a unit's neighbours are there and left out: each side where a gap mark would stand beside it."""
    before = index > 0 and not kept[index - 1]
    after = index + 1 < len(kept) and not kept[index + 1]
    return before + after
