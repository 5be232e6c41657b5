"""Lines of one text found again, in order, in another."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.prompt.line_matching import matching_lines, split_lines_of

LINES = st.lists(st.sampled_from(["", "}\n", "a\n", "b\n", "c\n", "d\n", "e\n"]) | st.text(max_size=3), max_size=30)


@given(LINES, LINES)
def test_pairs_are_equal_lines_and_rise_in_both_texts(new: list[str], earlier: list[str]) -> None:
    pairs = matching_lines(new, earlier)
    assert all(new[one] == earlier[other] for one, other in pairs)
    assert all(a < c and b < d for (a, b), (c, d) in pairwise(pairs))


@given(LINES, LINES)
def test_a_text_matches_itself_and_itself_with_lines_added_at_its_ends(lines: list[str], more: list[str]) -> None:
    whole = [(index, index) for index in range(len(lines))]
    assert matching_lines(lines, lines) == whole
    assert matching_lines(lines, [*lines, *more])[: len(lines)] == whole
    assert len(matching_lines(lines, [*more, *lines])) == len(lines)


def test_an_edit_in_the_middle_leaves_the_lines_around_it_matched() -> None:
    earlier = [f"line {number}\n" for number in range(10)]
    new = [*earlier[:4], "changed\n", "added\n", *earlier[5:]]
    assert matching_lines(new, earlier) == [(0, 0), (1, 1), (2, 2), (3, 3), (6, 5), (7, 6), (8, 7), (9, 8), (10, 9)]


def test_a_block_that_moved_counts_in_one_of_its_places_only() -> None:
    earlier = ["a\n", "b\n", "c\n", "d\n", "e\n"]
    assert matching_lines(["x\n", "c\n", "d\n", "e\n", "a\n", "b\n", "y\n"], earlier) == [(1, 2), (2, 3), (3, 4)]


def test_a_bracket_counts_only_beside_lines_that_do() -> None:
    earlier = ["f() {\n", "}\n", "g() {\n", "}\n"]
    assert matching_lines(["h() {\n", "}\n", "k() {\n", "}\n", "more\n"], earlier) == []
    assert matching_lines(["h() {\n", "}\n", "g() {\n", "}\n", "more\n"], earlier) == [(1, 1), (2, 2), (3, 3)]


@given(st.text(alphabet="a\n\r\u2028x", max_size=30))
def test_lines_join_to_their_text_and_only_a_newline_ends_one(text: str) -> None:
    lines = split_lines_of(text)
    assert "".join(lines) == text
    assert all(line.count("\n") == line.endswith("\n") for line in lines)
    assert "" not in lines


def test_hundred_thousand_equal_or_reversed_lines_end() -> None:
    same = ["x\n"] * 100_000
    assert len(matching_lines(same, same[:-1])) == 99_999
    numbered = [f"{number}\n" for number in range(100_000)]
    assert len(matching_lines(numbered, numbered[::-1])) == 1
