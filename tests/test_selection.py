"""Unit scores and the budgeted choice."""

from __future__ import annotations

import numpy as np

from specprefill_agents.selection.budget import Candidate, ranking, select
from specprefill_agents.selection.units import unit_scores
from specprefill_agents.types import TokenScores, Unit

UNITS = [Unit(0, 10), Unit(10, 20), Unit(20, 30)]


def scores(*pairs: tuple[int, int, float]) -> TokenScores:
    offsets = np.array([pair[:2] for pair in pairs], dtype=np.int64).reshape(-1, 2)
    return TokenScores(offsets, np.array([pair[2] for pair in pairs], dtype=float))


def candidate(values: list[float], costs: list[int], empty: int = 2, gap: int = 2, forced: list[bool] | None = None) -> Candidate:
    return Candidate(np.array(values), np.array(costs), np.array(forced or [False] * len(values)), empty, gap)


def test_a_unit_scores_its_best_token_and_a_share_of_the_better_neighbour() -> None:
    values = unit_scores(UNITS, scores((0, 5, 1.0), (12, 14, 3.0), (15, 16, 2.0)), 0.5)
    assert values.tolist() == [1.0 + 1.5, 3.0 + 0.5, 0.0 + 1.5]


def test_a_token_across_a_border_counts_for_both_units() -> None:
    assert unit_scores(UNITS, scores((8, 12, 4.0)), 0.0).tolist() == [4.0, 4.0, 0.0]


def test_units_without_tokens_score_zero() -> None:
    assert unit_scores(UNITS, scores(), 0.3).tolist() == [0.0, 0.0, 0.0]
    assert unit_scores([], scores((0, 1, 1.0)), 0.3).tolist() == []


def test_the_best_units_that_fit_are_kept() -> None:
    (kept,) = select([candidate([1, 9, 5, 7], [10, 10, 10, 10])], budget=21)
    assert kept.tolist() == [False, True, False, False]


def test_a_unit_too_large_is_passed_over_for_one_that_fits() -> None:
    (kept,) = select([candidate([9, 5, 1], [100, 10, 10])], budget=16)
    assert kept.tolist() == [False, True, False]


def test_closing_a_gap_costs_the_unit_less_its_mark() -> None:
    (kept,) = select([candidate([9, 1, 8], [10, 3, 10], gap=3)], budget=23)
    assert kept.tolist() == [True, True, True]


def test_forced_units_come_first() -> None:
    (kept,) = select([candidate([9, 1], [10, 10], forced=[False, True])], budget=14)
    assert kept.tolist() == [False, True]


def test_the_budget_is_shared_by_all_texts_of_a_call() -> None:
    kept = select([candidate([1, 2], [10, 10]), candidate([8, 9], [10, 10])], budget=26)
    assert [mask.tolist() for mask in kept] == [[False, False], [True, True]]


def test_forced_units_rank_first_and_equal_scores_rank_by_position() -> None:
    first, second = candidate([1.0, 2.0, 1.0], [1] * 3, forced=[False, False, True]), candidate([2.0, -0.0, 0.0], [1] * 3)
    assert ranking([first, second]) == [(0, 2), (0, 1), (1, 0), (0, 0), (1, 1), (1, 2)]
    assert ranking([]) == []
