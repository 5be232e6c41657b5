"""Greedy selection under a strict budget in target tokens, gap marks included. Pure; counts nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Candidate:
    """The units of one text, as numbers: U scores, U costs in tokens, and which are kept whatever that costs.

    `needs` (U), when given, holds for each unit the units that must be kept with it. `empty_cost` is what the text costs
    with nothing kept, `gap_cost` what one gap between kept units costs, `note_cost` what is added to the first gap.
    """

    scores: NDArray[np.float64]
    costs: NDArray[np.int64]
    forced: NDArray[np.bool_]
    empty_cost: int
    gap_cost: int
    needs: Sequence[Sequence[int]] = ()
    note_cost: int = 0


class _Choice:
    """Which units of one candidate are kept so far. Lists: element by element, arrays are slow."""

    def __init__(self, candidate: Candidate) -> None:
        self.kept = [False] * len(candidate.scores)
        self._costs: list[int] = candidate.costs.tolist()
        self._needs = candidate.needs
        self._empty_cost = candidate.empty_cost
        self._gap_cost = candidate.gap_cost
        self._count = 0

    def keep(self, index: int, left: int | None) -> int | None:
        """Keep unit `index` with all that it needs, and return what that costs; None, and nothing kept, beyond `left`."""
        if not self._needs or not self._needs[index]:
            cost = self._added(index)
            if left is not None and cost > left:
                return None
            self._set(index, True)
            return cost
        cost = 0
        wanted = self._missing(index)
        for each in wanted:
            cost += self._added(each)
            self._set(each, True)
        if left is None or cost <= left:
            return cost
        for each in wanted:
            self._set(each, False)
        return None

    def _missing(self, index: int) -> list[int]:
        """`index` and what it needs, directly or through others, as far as it is not kept; in the order of the text."""
        found: set[int] = set()
        waiting = [index]
        while waiting:
            at = waiting.pop()
            if at not in found and not self.kept[at]:
                found.add(at)
                waiting.extend(self._needs[at])
        return sorted(found)

    def _set(self, index: int, kept: bool) -> None:
        self.kept[index] = kept
        self._count += 1 if kept else -1

    def _added(self, index: int) -> int:
        """Tokens that unit `index` adds: its own, and the gaps it opens beside it less the one it stands in."""
        before = index > 0 and not self.kept[index - 1]
        after = index + 1 < len(self.kept) and not self.kept[index + 1]
        return self._costs[index] + self._gap_cost * (before + after) - (self._gap_cost if self._count else self._empty_cost)


def select(candidates: Sequence[Candidate], budget: int) -> list[NDArray[np.bool_]]:
    """Which units to keep, one mask (U,) per candidate: all forced ones, then by falling score, earlier ones first.

    A unit comes with all that it needs; what does not fit is passed over for smaller ones that do. At last, units
    shorter than the marks they would be replaced by are kept. The estimated total stays within `budget` whenever the
    texts with only their forced units do.
    """
    choices = [_Choice(candidate) for candidate in candidates]
    left = budget - sum(candidate.empty_cost + candidate.note_cost for candidate in candidates)
    for which, index in ranking(candidates):
        choice = choices[which]
        if not choice.kept[index]:
            left -= choice.keep(index, None if candidates[which].forced[index] else left) or 0
    for choice in choices:
        if any(choice.kept):
            _close_small_gaps(choice)
    return [np.array(choice.kept, dtype=np.bool_) for choice in choices]


def _close_small_gaps(choice: _Choice) -> None:
    """Keep each unit that costs no more than the gap that it makes."""
    for index, kept in enumerate(choice.kept):
        if not kept:
            choice.keep(index, 0)


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
