"""Token scores -> unit scores. Pure arithmetic on arrays.

Axes: T tokens, U units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.types import TokenScores, Unit


def unit_scores(units: Sequence[Unit], tokens: TokenScores, neighbour_bonus: float) -> NDArray[np.float64]:
    """Score (U,) of each unit: its best token, plus `neighbour_bonus` times the better of its two neighbours.

    A token counts for every unit it overlaps; a unit without tokens scores zero.
    """
    best = np.zeros(len(units))
    if len(units) and len(tokens.scores):
        starts = np.array([unit.start for unit in units])
        first = np.maximum(np.searchsorted(starts, tokens.offsets[:, 0], side="right") - 1, 0)
        last = np.maximum(np.searchsorted(starts, tokens.offsets[:, 1] - 1, side="right") - 1, first)
        np.maximum.at(best, first, tokens.scores)
        np.maximum.at(best, last, tokens.scores)
    before = np.concatenate([[0.0], best[:-1]])[: len(best)]
    after = np.concatenate([best[1:], [0.0]])[: len(best)]
    scores: NDArray[np.float64] = best + neighbour_bonus * np.maximum(before, after)
    return scores
