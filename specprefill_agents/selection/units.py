"""Token scores -> what each unit is worth keeping. Pure arithmetic on arrays.

Axes: T tokens, U units of a text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.prompt.identifiers import identifiers, searchable, units_with
from specprefill_agents.prompt.units import Layout
from specprefill_agents.types import TokenScores, Unit

BEST_TOKENS = 8
"""How many of its best tokens a unit is scored by. Best token, mean, root of the sum and 3, 8, 12, 16 tokens lie within
noise of each other on most sets; 8 has the best mean, and makes crumbs of a few tokens count less than sentences."""

SPREAD = 0.95
"""What the second-best unit of a text counts for when other texts compete with it, the third best its square, and so on."""
LEAST_SPREAD = 0.7
"""However many better units a text has, a unit counts for this much: a long text must not lose to short ones for its length."""

REPEATED = 0.1
"""What a unit counts for that says again, word for word, what a better or an earlier one of its text says: logs and padding
repeat themselves, and a copy tells nothing new."""

NAMED = 1.0
"""Added to a unit that alone spells out an identifier of the question, where the best unit of a call has 1."""


def unit_scores(units: Sequence[Unit], tokens: TokenScores, neighbour_bonus: float, best_tokens: int = BEST_TOKENS) -> NDArray[np.float64]:
    """Score (U,) of each unit: the mean of its `best_tokens` best tokens, plus `neighbour_bonus` times its better neighbour's.

    A token counts for every unit it overlaps at an end; missing tokens count zero.
    """
    own = np.zeros(len(units))
    if len(own) and len(tokens.scores):
        starts = np.array([unit.start for unit in units])
        first = np.maximum(np.searchsorted(starts, tokens.offsets[:, 0], side="right") - 1, 0)
        last = np.maximum(np.searchsorted(starts, tokens.offsets[:, 1] - 1, side="right") - 1, first)
        across = last != first
        belongs = np.concatenate([first, last[across]])
        scores = np.concatenate([tokens.scores, tokens.scores[across]])
        order = np.lexsort((-scores, belongs))
        rank = np.arange(len(order)) - np.searchsorted(belongs[order], belongs[order])
        best = order[rank < best_tokens]
        own = np.bincount(belongs[best], scores[best], len(units)) / best_tokens
    before = np.concatenate([[0.0], own[:-1]])[: len(own)]
    after = np.concatenate([own[1:], [0.0]])[: len(own)]
    total: NDArray[np.float64] = own + neighbour_bonus * np.maximum(before, after)
    return total


def priorities(
    texts: Sequence[str], layouts: Sequence[Layout], scores: Sequence[TokenScores], query: str, neighbour_bonus: float
) -> list[NDArray[np.float64]]:
    """What selection ranks the units (U,) of each text of a call by.

    The unit scores, on a scale where the best unit of the call has 1; more for what the layout lifts and for what alone
    spells out an identifier of the query; less for the further units of a text that others compete with.
    """
    found = [unit_scores(layout.units, part, neighbour_bonus) for layout, part in zip(layouts, scores, strict=True)]
    scale = max((float(part.max()) for part in found if len(part)), default=0.0) or 1.0
    raised = [part / scale + np.array(layout.lift) for part, layout in zip(found, layouts, strict=True)]
    for values, text, layout in zip(raised, texts, layouts, strict=True):
        values[repeated_units(text, layout, values)] *= REPEATED
    for which, index in named_units(texts, layouts, query):
        raised[which][index] += NAMED
    return [_spread_out(part) for part in raised] if len(raised) > 1 else raised


def repeated_units(text: str, layout: Layout, values: NDArray[np.float64]) -> list[int]:
    """Units that stand alone and say what another one of the same text says that has a higher value, or the same and comes first.

    A unit that needs others, such as a statement under its head, says something else under each of them.
    """
    first: dict[str, int] = {}
    found: list[int] = []
    for index, unit in enumerate(layout.units):
        if layout.needs and layout.needs[index]:
            continue
        said = text[unit.start : unit.end].strip()
        best = first.setdefault(said, index)
        if best != index:
            better = index if values[index] > values[best] else best
            first[said] = better
            found.append(best if better == index else index)
    return found


def rank_prior(rank: int) -> float:
    """What the text that a retriever ranked so many places behind the first is worth before it is read, in (0, 1]."""
    return 1 / (1 + rank)


def named_units(texts: Sequence[str], layouts: Sequence[Layout], query: str) -> list[tuple[int, int]]:
    """(text, unit) of each identifier of the query that one unit of the call alone spells out."""
    names = identifiers(query)
    folded = [searchable(text) for text in texts] if names else []
    found: list[tuple[int, int]] = []
    for name in names:
        places = [
            (which, int(index))
            for which, (text, layout) in enumerate(zip(folded, layouts, strict=True))
            for index in units_with(name, text, layout.units)
        ]
        found += places if len(places) == 1 else []
    return list(dict.fromkeys(found))


def _spread_out(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (U,), each times a factor that falls with the number of better ones in the same text."""
    rank = np.empty(len(values))
    rank[np.argsort(-values, kind="stable")] = np.arange(len(values))
    spread: NDArray[np.float64] = values * np.maximum(SPREAD**rank, LEAST_SPREAD)
    return spread
