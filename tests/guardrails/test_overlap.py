"""Overlap is Jaccard by characters: symmetric, 1 for the same choice, and not raised by keeping more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.guardrails.overlap import overlap
from specprefill_agents.types import Span

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: (min(pair), max(pair))), max_size=6)
CHOICES = st.lists(st.tuples(SPANS, SPANS), max_size=4).map(lambda pairs: ([one for one, _ in pairs], [other for _, other in pairs]))


def characters(choice: list[list[Span]]) -> set[tuple[int, int]]:
    return {(which, at) for which, spans in enumerate(choice) for start, end in spans for at in range(start, end)}


@given(CHOICES)
def test_it_is_what_both_keep_over_what_either_keeps(choices: tuple[list[list[Span]], list[list[Span]]]) -> None:
    one, other = (characters(choice) for choice in choices)
    expected = len(one & other) / len(one | other) if one | other else None
    assert overlap(*choices) == expected
    assert overlap(*reversed(choices)) == expected


def test_long_texts_weigh_more_than_short_ones() -> None:
    assert overlap([[(0, 90)], [(0, 10)]], [[(0, 90)], [(10, 20)]]) == pytest.approx(90 / 110)


def test_a_second_choice_that_keeps_everything_does_not_pass_for_agreement() -> None:
    assert overlap([[(0, 20)]], [[(0, 100)]]) == pytest.approx(0.2)


def test_the_formula_for_two_choices_of_one_size() -> None:
    shared = 0.6
    assert overlap([[(0, 100)]], [[(40, 140)]]) == pytest.approx(shared / (2 - shared))


def test_where_nothing_is_kept_nothing_is_said() -> None:
    assert overlap([], []) is None
    assert overlap([[], [(5, 5)]], [[], []]) is None


def test_choices_for_other_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        overlap([[(0, 1)]], [[(0, 1)], []])
