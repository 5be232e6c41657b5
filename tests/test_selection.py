"""Unit scores and the budgeted choice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from specprefill_agents.prompt.units import Layout
from specprefill_agents.selection.budget import Candidate, ranking, select
from specprefill_agents.selection.units import named_units, priorities, repeated_units, unit_scores
from specprefill_agents.types import TokenScores, Unit

UNITS = [Unit(0, 10), Unit(10, 20), Unit(20, 30)]


def scores(*pairs: tuple[int, int, float]) -> TokenScores:
    offsets = np.array([pair[:2] for pair in pairs], dtype=np.int64).reshape(-1, 2)
    return TokenScores(offsets, np.array([pair[2] for pair in pairs], dtype=float))


def layout(length: int, lift: tuple[float, ...] = ()) -> Layout:
    units = tuple(Unit(start, start + 10) for start in range(0, length, 10))
    count = len(units)
    return Layout("plain", units, (0,) * count, ((),) * count, ("plain",) * count, lift or (0.0,) * count)


def text_of(length: int, mark: str = "") -> str:
    """A text of which no ten characters come again."""
    return "".join(f"{mark}{start}".rjust(10, ".") for start in range(0, length, 10))


def candidate(values: list[float], costs: list[int], empty: int = 2, gap: int = 2, forced: list[bool] | None = None) -> Candidate:
    return Candidate(np.array(values), np.array(costs), np.array(forced or [False] * len(values)), empty, gap)


def test_a_unit_scores_the_mean_of_its_best_tokens_and_a_share_of_the_better_neighbour() -> None:
    tokens = scores((0, 5, 1.0), (11, 12, 0.5), (12, 14, 3.0), (15, 16, 2.0))
    assert unit_scores(UNITS, tokens, 0.5, best_tokens=1).tolist() == [1.0 + 1.5, 3.0 + 0.5, 0.0 + 1.5]
    assert unit_scores(UNITS, tokens, 0.0, best_tokens=2).tolist() == [0.5, 2.5, 0.0], "a token that is missing counts zero"


def test_a_token_across_a_border_counts_for_both_units() -> None:
    assert unit_scores(UNITS, scores((8, 12, 4.0)), 0.0, best_tokens=1).tolist() == [4.0, 4.0, 0.0]


def test_the_best_unit_of_a_call_counts_one() -> None:
    texts = [text_of(30), text_of(30)]
    found = priorities(texts, [layout(30), layout(30)], [scores((0, 5, 3.0)), scores((0, 5, 1.5))], "", 0.0)
    assert [values.tolist() for values in found] == [[1.0, 0.0, 0.0], [0.5, 0.0, 0.0]]


def test_what_the_layout_lifts_counts_more() -> None:
    (found,) = priorities([text_of(30)], [layout(30, lift=(0.0, 0.2, 0.0))], [scores((0, 5, 3.0))], "", 0.0)
    assert found.tolist() == [1.0, 0.2, 0.0]


def test_a_unit_that_alone_spells_out_what_the_question_names_comes_first() -> None:
    text = "order AB-1 ship AB-12345 ship AB-7 end".ljust(40)
    units = (Unit(0, 11), Unit(11, 25), Unit(25, 40))
    found = [Layout("plain", units, (0, 0, 0), ((), (), ()), ("plain",) * 3, (0.0,) * 3)]
    (named,) = priorities([text], found, [scores((0, 5, 3.0))], "what of AB-12345?", 0.0)
    assert named.tolist() == [1.0, 1.0, 0.0]
    assert named_units([text, text], found * 2, "what of AB-12345?") == [], "what stands twice singles nothing out"
    assert named_units([text], found, "what of AB-123?") == [], "part of a longer word is another word"


def test_the_further_units_of_a_text_count_less_where_texts_compete_but_never_under_seven_tenths() -> None:
    equal = scores(*((start, start + 1, 1.0) for start in range(0, 300, 10)))
    one, two = priorities([text_of(300), text_of(300)], [layout(300), layout(300)], [equal, equal], "", 0.0)
    assert one[:3].round(4).tolist() == [1.0, 0.95, 0.9025]
    assert one.min() == 0.7
    assert two.tolist() == one.tolist()
    (alone,) = priorities([text_of(300)], [layout(300)], [equal], "", 0.0)
    assert set(alone.tolist()) == {1.0}


def test_what_a_text_says_again_counts_a_tenth_and_the_best_of_equals_counts_in_full() -> None:
    text = "all is wellall is wellport 8443 .all is well"
    found = Layout("plain", tuple(Unit(start, start + 11) for start in range(0, 44, 11)), (0,) * 4, ((),) * 4, ("plain",) * 4, (0.0,) * 4)
    part = scores((0, 1, 1.0), (11, 12, 2.0), (22, 23, 1.0), (33, 34, 2.0))
    (values,) = priorities([text], [found], [part], "", 0.0)
    assert values.tolist() == [0.05, 1.0, 0.5, 0.1]
    apart = priorities([text[:11], text[:11]], [layout(11)] * 2, [scores((0, 1, 1.0))] * 2, "", 0.0)
    assert [one[0] for one in apart] == [1.0, 1.0], "each text says it for itself"


def test_what_stands_under_another_head_is_no_repetition() -> None:
    text = "def a():  return 1  def b():  return 1  "
    units = tuple(Unit(start, start + 10) for start in range(0, 40, 10))
    found = Layout("code", units, (0, 1, 0, 1), ((), (0,), (), (2,)), ("plain",) * 4, (0.0,) * 4)
    assert repeated_units(text, found, np.ones(4)) == []
    assert repeated_units(text, replace(found, needs=((),) * 4), np.ones(4)) == [3]


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


def test_forced_units_are_kept_with_what_they_need_beyond_any_budget() -> None:
    part = Candidate(np.array([9.0, 1.0, 5.0]), np.array([10, 10, 10]), np.array([False, False, True]), 2, 2, needs=[(), (), (1,)])
    (kept,) = select([part], budget=3)
    assert kept.tolist() == [False, True, True]


def test_the_budget_is_shared_by_all_texts_of_a_call() -> None:
    kept = select([candidate([1, 2], [10, 10]), candidate([8, 9], [10, 10])], budget=26)
    assert [mask.tolist() for mask in kept] == [[False, False], [True, True]]


def test_forced_units_rank_first_and_equal_scores_rank_by_position() -> None:
    first, second = candidate([1.0, 2.0, 1.0], [1] * 3, forced=[False, False, True]), candidate([2.0, -0.0, 0.0], [1] * 3)
    assert ranking([first, second]) == [(0, 2), (0, 1), (1, 0), (0, 0), (1, 1), (1, 2)]
    assert ranking([]) == []
