"""What stored results of several systems say together: means on rows that all share, and differences row by row. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchmarks.metrics import RESAMPLES, Estimate, estimate
from benchmarks.peers.plan import NAMES, NONE, SETS
from benchmarks.results import Cell, Results
from benchmarks.tables import keep_names

OURS = "fused"
RECALLS = {
    "verbatim": ("evidence", "values"),
    "words in order": ("evidence_words", "values"),
    "answer": ("answer", "values"),
}
"""How recall is judged -> the metric of questions, and that of agent runs, which have one alone: the values that later calls copy."""
TOLERANCE = 1.1
"""A system competes at a budget where its mean share is at most this times the share asked for."""


@dataclass(frozen=True, slots=True)
class Behind:
    """A budget of a set at which another system is ahead of the library: means on the rows of both, and the difference."""

    set: str
    recall: str
    keep: str
    system: str
    ours: float
    theirs: float
    difference: Estimate


@dataclass(frozen=True)
class Comparison:
    """The measured cells of one file; one of which every row failed counts as not measured."""

    results: Results

    @cached_property
    def cells(self) -> dict[tuple[str, str], Cell]:
        """By (set, system)."""
        held = [cell for cell in self.results.cells if any(value is not None for keep in self.keeps for value in _shares(cell, keep))]
        return {(cell.set, cell.scorer): cell for cell in held}

    @cached_property
    def keeps(self) -> list[str]:
        """The names of the keep ratios."""
        return keep_names(self.results)

    @cached_property
    def sets(self) -> list[str]:
        """Those measured, in the order of the benchmark."""
        return _ordered({name for name, _ in self.cells}, SETS)

    @cached_property
    def systems(self) -> list[str]:
        """Those measured, in the order of the benchmark."""
        return _ordered({name for _, name in self.cells}, NAMES)

    def column(self, name: str, system: str, keep: str, recall: str) -> dict[str, float]:
        """The recall of each row that has one, by row."""
        cell = self.cells[name, system]
        of_questions, of_runs = (cell.rows[keep][metric] for metric in RECALLS[recall])
        found = zip(cell.ids, of_questions, of_runs, strict=True)
        values = {row: a if a is not None else b for row, a, b in found}
        return {row: value for row, value in values.items() if value is not None}

    def shared(self, systems: Sequence[str], recall: str) -> dict[str, list[str]]:
        """Of each set that all `systems` were measured on: the rows that have a value under all of them at every keep ratio."""
        rows = {}
        for name in self.sets:
            if all((name, system) in self.cells for system in systems):
                held = [self.column(name, system, keep, recall) for system in systems for keep in self.keeps]
                both = [row for row in self.cells[name, systems[0]].ids if all(row in one for one in held)]
                if both:
                    rows[name] = both
        return rows

    def mean(self, system: str, keep: str, recall: str, rows: dict[str, list[str]]) -> Estimate | None:
        """The mean over the sets of `rows`, each set counting as much as any other."""
        columns = {name: self.column(name, system, keep, recall) for name in rows}
        return mean_of_sets([[columns[name][row] for row in ids] for name, ids in rows.items()])

    def difference(self, system: str, keep: str, recall: str) -> Estimate | None:
        """The library's minus another system's mean over the sets that both were measured on, on the rows of both."""
        pairs = [self._paired(name, system, keep, recall) for name in self.sets]
        return mean_of_sets([[a - b for a, b in pair] for pair in pairs if pair])

    def beside(self, system: str, recall: str) -> list[tuple[float, float]]:
        """(the library's, the other's) mean over the sets that both were measured on, on the rows of both, at each keep ratio."""
        pairs = [[self._paired(name, system, keep, recall) for name in self.sets] for keep in self.keeps]
        return [_mean_pair([pair for pair in held if pair]) for held in pairs if any(held)]

    def mean_difference(self, system: str, recall: str) -> Estimate | None:
        """The library's minus another system's mean over keep ratios and sets, row by row."""
        columns = []
        for name in self.sets:
            held = [self._paired(name, system, keep, recall) for keep in self.keeps]
            if all(held):
                columns.append([float(np.mean([a - b for a, b in row])) for row in zip(*held, strict=True)])
        return mean_of_sets(columns)

    def share(self, name: str, system: str, keep: str) -> float | None:
        """The mean share of target tokens that came back."""
        found = estimate(self.cells[name, system].rows[keep]["share"]) if (name, system) in self.cells else None
        return found.mean if found else None

    def mean_share(self, system: str, keep: str) -> float:
        """The mean over the sets that a system was measured on."""
        return float(np.mean([share for name in self.sets if (share := self.share(name, system, keep)) is not None]))

    def seconds(self, name: str, system: str) -> float | None:
        """Seconds for a thousand tokens given to a system, over all keep ratios; None where it was given none."""
        if (name, system) not in self.cells:
            return None
        rows = self.cells[name, system].rows
        spent, tokens = (sum(value or 0.0 for keep in self.keeps for value in rows[keep][metric]) for metric in ("seconds", "tokens"))
        return 1000 * spent / tokens if tokens else None

    def keeps_within(self, name: str, system: str, keep: str) -> bool:
        """Whether a system met the budget, the tolerance aside."""
        share = self.share(name, system, keep)
        return share is not None and share <= TOLERANCE * float(keep)

    def behind(self) -> list[Behind]:
        """Every set and budget at which a system within the budget is ahead of the library; the one furthest ahead."""
        found = []
        for recall in RECALLS:
            for name in self.sets:
                if recall != "verbatim" and self._is_runs(name):
                    continue  # the same values
                for keep in self.keeps:
                    ahead = [one for system in self.systems if (one := self._ahead(name, system, keep, recall))]
                    found += sorted(ahead, key=lambda one: -one.difference.mean)[:1]
        return found

    def compared(self) -> int:
        """The number of sets, budgets and ways to judge at which `behind` looks."""
        judged = sum(1 if self._is_runs(name) else len(RECALLS) for name in self.sets if (name, OURS) in self.cells)
        return judged * len(self.keeps)

    def _ahead(self, name: str, system: str, keep: str, recall: str) -> Behind | None:
        if system in (OURS, NONE) or (name, system) not in self.cells or not self.keeps_within(name, system, keep):
            return None
        pairs = self._paired(name, system, keep, recall)
        found = estimate([b - a for a, b in pairs])
        if found is None or found.mean <= 0:
            return None
        ours, theirs = (float(np.mean(side)) for side in zip(*pairs, strict=True))
        return Behind(name, recall, keep, system, ours, theirs, found)

    def _paired(self, name: str, system: str, keep: str, recall: str) -> list[tuple[float, float]]:
        """(the library's, the other's) recall of each row that has both."""
        if (name, OURS) not in self.cells or (name, system) not in self.cells:
            return []
        ours, theirs = (self.column(name, one, keep, recall) for one in (OURS, system))
        return [(value, theirs[row]) for row, value in ours.items() if row in theirs]

    def _is_runs(self, name: str) -> bool:
        """Whether a set's rows are agent runs."""
        columns = [cell.rows[keep]["values"] for (of, _), cell in self.cells.items() if of == name for keep in self.keeps]
        return any(value is not None for column in columns for value in column)


def mean_of_sets(columns: Sequence[Sequence[float]], seed: int = 0, resamples: int = RESAMPLES) -> Estimate | None:
    """The mean of the columns' means, with the percentile interval over draws of rows within each column; None without columns."""
    held = [np.array(column, dtype=np.float64) for column in columns if len(column)]
    if not held:
        return None
    generator = np.random.default_rng(seed)
    draws = [column[generator.integers(0, len(column), size=(resamples, len(column)))].mean(axis=1) for column in held]
    low, high = np.percentile(np.mean(draws, axis=0), [2.5, 97.5])
    return Estimate(float(np.mean([column.mean() for column in held])), float(low), float(high), sum(map(len, held)))


def _mean_pair(sets: Sequence[Sequence[tuple[float, float]]]) -> tuple[float, float]:
    """The mean over sets of each set's means."""
    ours, theirs = np.mean([np.mean(pairs, axis=0) for pairs in sets], axis=0)
    return float(ours), float(theirs)


def _shares(cell: Cell, keep: str) -> list[float | None]:
    return cell.rows[keep]["share"] if cell.ids else []


def _ordered(names: set[str], known: Sequence[str]) -> list[str]:
    """`names`, those known first in their order."""
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))
