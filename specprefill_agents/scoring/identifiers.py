"""Exact matches of what a question names: numbers, paths, symbols, codes. No model.

A tool call that asks for line 1474 of `fields.py` means that line and what stands around it, however little of it
resembles the words of the question.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.prompt.identifiers import identifiers, searchable, units_with
from specprefill_agents.prompt.units import DEFAULT_LIMITS, Limits, layout_of
from specprefill_agents.types import TokenScores

REACH = ((1, 0.6), (2, 0.3), (-1, 0.4))
"""(units behind the one with the match, share of its score): what is asked for tends to follow its name."""


class IdentifierScorer:
    """Scores a unit by the rarity of the question's identifiers that it spells out, and its neighbours by a share of that.

    Rarity is ln(1 + (n - df + 0.5) / (df + 0.5)) over the units of all contexts of the call.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self.fingerprint = f"identifiers:{REACH}:scripts:{limits}"

    def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
        """One score per unit, zero where the question names no identifier; its offsets are the units."""
        units = [layout_of(context, self._limits).units for context in contexts]
        scores = [np.zeros(len(part)) for part in units]
        total = sum(map(len, units))
        folded = [searchable(context) for context in contexts]
        for name in identifiers(query):
            hits = [units_with(name, text, part) for text, part in zip(folded, units, strict=True)]
            count = sum(map(len, hits))
            rarity = math.log(1 + (total - count + 0.5) / (count + 0.5))
            for score, hit in zip(scores, hits, strict=True):
                score[hit] += rarity
        offsets = [np.array([(unit.start, unit.end) for unit in part], dtype=np.int64).reshape(-1, 2) for part in units]
        return [TokenScores(part, _spread(score)) for part, score in zip(offsets, scores, strict=True)]


def _spread(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each unit's own score or, where that is more, the share it gets from a neighbour."""
    spread = scores.copy()
    for distance, share in REACH:
        if abs(distance) < len(scores):
            target, source = (
                (slice(distance, None), slice(None, -distance)) if distance > 0 else (slice(None, distance), slice(-distance, None))
            )
            spread[target] = np.maximum(spread[target], share * scores[source])
    return spread
