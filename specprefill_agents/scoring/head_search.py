"""Which heads to take: needle recall of attention masses under a budget, and a search for the few that do best together.

Pure arithmetic on arrays; knows neither drafts nor where questions come from. The budget is simulated: unit costs are
draft tokens and gap marks are free, so recall is a little higher than behind a real budget, the same for every head.

Axes: N heads, C choices of heads, T context tokens, U units, K needles of a question, Q questions, R keep ratios.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.types import Span, Unit

KEEPS = (0.1, 0.2, 0.3)
"""Keep ratios whose mean recall is the figure of merit."""

NEIGHBOUR_BONUS = 0.3
"""With it and the best token alone as a unit's score the shipped heads were chosen; selection has settings of its own."""

WEIGHTS = (1.0, 0.5, 2.0)
"""Weights tried for each head after the first."""

POOL_HEADS = 14
"""How many of the best single heads take part in the search for combinations."""


@dataclass(frozen=True)
class TokenUnits:
    """Where the units of one context lie in its tokens: shared by all its questions.

    `tokens` (P,) are token indices grouped by unit, `first` where each group begins, `filled` the unit of each group;
    a token that overlaps two units is in both groups. `costs` (U,) in draft tokens.
    """

    tokens: NDArray[np.intp]
    first: NDArray[np.intp]
    filled: NDArray[np.intp]
    costs: NDArray[np.int64]

    @classmethod
    def of(cls, units: Sequence[Unit], offsets: NDArray[np.int64]) -> TokenUnits:
        """Units that tile a text, and the character offsets (T, 2) of its tokens."""
        starts = np.array([unit.start for unit in units])
        begins = np.maximum(np.searchsorted(starts, offsets[:, 0], side="right") - 1, 0)
        ends = np.maximum(np.searchsorted(starts, offsets[:, 1] - 1, side="right") - 1, begins)
        across = np.flatnonzero(ends != begins)
        belongs = np.concatenate([begins, ends[across]])
        order = np.argsort(belongs, kind="stable")
        filled, first = np.unique(belongs[order], return_index=True)
        tokens = np.concatenate([np.arange(len(offsets)), across])[order]
        return cls(tokens, first, filled, np.bincount(begins, minlength=len(units)).astype(np.int64))

    def scores(self, masses: NDArray[np.float32]) -> NDArray[np.float32]:
        """Token scores (C, T) -> unit scores (C, U), as `selection.units.unit_scores` makes them of the best token."""
        best = np.zeros((len(masses), len(self.costs)), np.float32)
        best[:, self.filled] = np.maximum.reduceat(masses[:, self.tokens], self.first, axis=1)
        around = np.pad(best, ((0, 0), (1, 1)))
        best += np.float32(NEIGHBOUR_BONUS) * np.maximum(around[:, :-2], around[:, 2:])
        return best

    def kept(self, scores: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Greedy selection by falling unit scores (C, U) under each of `KEEPS`: (C, R, U). What does not fit is passed over."""
        order = np.argsort(-scores, axis=1, kind="stable")
        left = np.tile(np.floor(np.array(KEEPS) * self.costs.sum()).astype(np.int64), (len(scores), 1))
        kept = np.zeros((len(scores), len(KEEPS), len(self.costs)), np.bool_)
        rows = np.arange(len(scores))
        for column in order.T:
            cost = self.costs[column][:, None]
            fits = cost <= left
            kept[rows, :, column] = fits
            left -= cost * fits
        return kept


def touched(units: Sequence[Unit], needles: Sequence[Span]) -> NDArray[np.bool_]:
    """Which units each needle overlaps: (K, U)."""
    return np.array([[unit.start < end and start < unit.end for unit in units] for start, end in needles], dtype=np.bool_)


@dataclass(frozen=True)
class Trial:
    """One question asked of one context: pooled `masses` (N, T) of each head alone, and the units its needles touch (K, U)."""

    kind: str
    masses: NDArray[np.float32]
    layout: TokenUnits
    needles: NDArray[np.bool_]

    def recall(self, masses: NDArray[np.float32]) -> NDArray[np.float64]:
        """Share of needles kept whole for token scores (C, T): (C, R)."""
        return self.recall_of_units(self.layout.scores(masses))

    def recall_of_units(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """The same for unit scores (C, U)."""
        kept = self.layout.kept(scores)
        lost = ~kept[:, :, None, :] & self.needles[None, None]
        shares: NDArray[np.float64] = 1.0 - lost.any(axis=3).mean(axis=2)
        return shares


@dataclass(frozen=True, slots=True)
class Choice:
    """Heads by their row in `Trial.masses`, and what each counts for."""

    heads: tuple[int, ...]
    weights: tuple[float, ...]

    def added(self, head: int, weight: float) -> Choice:
        """This choice and one head more."""
        return Choice((*self.heads, head), (*self.weights, weight))


@dataclass(frozen=True)
class Recall:
    """Recall (Q, R) of one choice on questions of `kinds` (Q,). Means are over kinds, then over the questions of each."""

    kinds: tuple[str, ...]
    values: NDArray[np.float64]

    @cached_property
    def mean(self) -> float:
        """Over kinds and keep ratios."""
        return float(_macro(self.kinds, self.values.mean(axis=1)[None])[0])

    @cached_property
    def error(self) -> float:
        """Standard error of `mean`."""
        return _error(self.kinds, self.values.mean(axis=1))

    @property
    def by_keep(self) -> dict[float, float]:
        """Mean over kinds for each keep ratio."""
        return dict(zip(KEEPS, (float(value) for value in _macro(self.kinds, self.values.T)), strict=True))

    @property
    def by_kind(self) -> dict[str, float]:
        """Mean over keep ratios for each kind."""
        return {kind: float(self.values[_rows(self.kinds, kind)].mean()) for kind in dict.fromkeys(self.kinds)}

    def gain_over(self, other: Recall) -> tuple[float, float]:
        """Mean difference to another choice on the same questions, and its standard error."""
        difference = (self.values - other.values).mean(axis=1)
        return float(_macro(self.kinds, difference[None])[0]), _error(self.kinds, difference)


def _rows(kinds: Sequence[str], kind: str) -> NDArray[np.intp]:
    return np.flatnonzero(np.array(kinds) == kind)


def _macro(kinds: Sequence[str], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over kinds of means over questions: (C, Q) -> (C,)."""
    means: NDArray[np.float64] = np.mean([values[:, _rows(kinds, kind)].mean(axis=1) for kind in dict.fromkeys(kinds)], axis=0)
    return means


def _error(kinds: Sequence[str], values: NDArray[np.float64]) -> float:
    """Standard error of the mean over kinds of (Q,) values; a kind with one question adds none."""
    groups = [values[_rows(kinds, kind)] for kind in dict.fromkeys(kinds)]
    return math.sqrt(sum(float(group.var(ddof=1)) / len(group) for group in groups if len(group) > 1)) / len(groups)


def measured(trials: Sequence[Trial], choice: Choice) -> Recall:
    """Recall of one choice."""
    return _measured(trials, [choice])[0]


def _measured(trials: Sequence[Trial], choices: Sequence[Choice]) -> list[Recall]:
    """Recall of several choices, read off each trial together."""
    rows = []
    for trial in trials:
        masses = np.stack([_mixed(trial.masses, choice) for choice in choices])
        rows.append(trial.recall(masses))
    kinds = tuple(trial.kind for trial in trials)
    return [Recall(kinds, np.stack([row[index] for row in rows])) for index in range(len(choices))]


def _mixed(masses: NDArray[np.float32], choice: Choice) -> NDArray[np.float32]:
    mixed: NDArray[np.float32] = np.array(choice.weights, np.float32) @ masses[list(choice.heads)]
    return mixed


def single_recalls(trials: Sequence[Trial]) -> NDArray[np.float64]:
    """Mean recall of each head alone: (N,)."""
    shares = np.stack([trial.recall(trial.masses).mean(axis=1) for trial in trials], axis=1)
    return _macro([trial.kind for trial in trials], shares)


def best_singles(trials: Sequence[Trial], count: int) -> Recall:
    """Recall of the `count` best heads, each alone, averaged."""
    singles = single_recalls(trials)
    ranked = sorted(range(len(singles)), key=lambda head: (-singles[head], head))[:count]
    found = _measured(trials, [Choice((head,), (1.0,)) for head in ranked])
    return Recall(found[0].kinds, np.mean([recall.values for recall in found], axis=0))


def search(trials: Sequence[Trial], layers: Sequence[int], max_heads: int) -> Choice:
    """The best few heads, as shallow as noise allows. `layers` (N,) is the layer of each row of the masses.

    For each depth, forward selection among the best single heads up to there: a head is added when that gains more than
    half a standard error, a weight other than 1 given only when that gains a whole one over 1. The shallowest depth that
    loses no more than one standard error to the best is taken, since the draft stops at the deepest head.
    """
    singles = single_recalls(trials)
    ranked = sorted(range(len(singles)), key=lambda head: (-singles[head], head))
    found: dict[int, Recall] = {}
    choices: dict[tuple[int, ...], tuple[Choice, Recall]] = {}
    by_depth: dict[int, Choice] = {}
    for depth in sorted(set(layers)):
        pool = tuple([head for head in ranked if layers[head] <= depth][:POOL_HEADS])
        if pool not in choices:
            choices[pool] = _forward(trials, pool, max_heads)
        by_depth[depth], found[depth] = choices[pool]
    best = max(found.values(), key=lambda recall: recall.mean)
    for depth in sorted(found):
        loss, error = best.gain_over(found[depth])
        if loss <= error:
            return by_depth[depth]
    raise AssertionError("the best depth loses nothing to itself")


def _forward(trials: Sequence[Trial], pool: Sequence[int], max_heads: int) -> tuple[Choice, Recall]:
    """Forward selection among `pool`, which is ranked by single recall."""
    choice = Choice((pool[0],), (1.0,))
    recall = measured(trials, choice)
    while len(choice.heads) < max_heads:
        options = [choice.added(head, weight) for head in pool if head not in choice.heads for weight in WEIGHTS]
        if not options:
            break
        recalls = _measured(trials, options)
        plain = max(range(0, len(options), len(WEIGHTS)), key=lambda index: recalls[index].mean)
        weighed = max(range(len(options)), key=lambda index: recalls[index].mean)
        taken = weighed if is_gain(recalls[weighed], recalls[plain]) else plain
        if not is_gain(recalls[taken], recall, 0.5):
            break
        choice, recall = options[taken], recalls[taken]
    return choice, recall


def is_gain(recall: Recall, over: Recall, errors: float = 1.0) -> bool:
    """Whether `recall` is better by more than so many standard errors of the paired difference."""
    gain, error = recall.gain_over(over)
    return gain > 0 and gain > errors * error
