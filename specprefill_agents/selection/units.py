"""Token scores -> unit scores. Pure arithmetic on arrays.

Axes: T tokens, U units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.prompt.units import Layout
from specprefill_agents.types import TokenScores, Unit


def unit_scores(units: Sequence[Unit], tokens: TokenScores, neighbour_bonus: float) -> NDArray[np.float64]:
    """Score (U,) of each unit: its best token, plus `neighbour_bonus` times the better of its two neighbours.

    A token counts for every unit it overlaps; a unit without tokens scores zero.
    """
    best = np.zeros(len(units))
    if len(best) and len(tokens.scores):
        starts = np.array([unit.start for unit in units])
        first = np.maximum(np.searchsorted(starts, tokens.offsets[:, 0], side="right") - 1, 0)
        last = np.maximum(np.searchsorted(starts, tokens.offsets[:, 1] - 1, side="right") - 1, first)
        np.maximum.at(best, first, tokens.scores)
        np.maximum.at(best, last, tokens.scores)
    before = np.concatenate([[0.0], best[:-1]])[: len(best)]
    after = np.concatenate([best[1:], [0.0]])[: len(best)]
    scores: NDArray[np.float64] = best + neighbour_bonus * np.maximum(before, after)
    return scores


def lifted(scores: Sequence[NDArray[np.float64]], layouts: Sequence[Layout]) -> list[NDArray[np.float64]]:
    """Unit scores (U,) of the texts of one call on a scale where the best unit has 1, plus what each layout adds."""
    best = max((float(part.max()) for part in scores if len(part)), default=0.0)
    return [part / (best or 1.0) + np.array(layout.lift) for part, layout in zip(scores, layouts, strict=True)]
