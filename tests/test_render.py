"""How a gap reads."""

from __future__ import annotations

from specprefill_agents.prompt.render import GapMarks, merge_spans, render

MARKS = GapMarks("[… {count} lines omitted ({first}-{last})]", "[…]")
TEXT = "one\ntwo\nthree\nfour\nfive\n"


def test_whole_lines_left_out_are_counted_and_numbered() -> None:
    assert render(TEXT, [(0, 4), (19, 24)], MARKS) == "one\n[… 3 lines omitted (2-4)]\nfive\n"


def test_one_line_or_less_is_marked_briefly() -> None:
    assert render(TEXT, [(0, 4), (8, 24)], MARKS) == "one\n[…]\nthree\nfour\nfive\n"
    assert render("First. Second. Third.", [(0, 7), (15, 21)], MARKS) == "First. […] Third."
    assert render("First. Second. Third.", [(7, 15)], MARKS) == "[…] Second. […]"


def test_everything_kept_is_the_original_and_nothing_kept_is_one_mark() -> None:
    assert render(TEXT, [(0, len(TEXT))], MARKS) == TEXT
    assert render(TEXT, [], MARKS) == "[… 5 lines omitted (1-5)]\n"
    assert render(TEXT, [], GapMarks("", "")) == ""


def test_a_silent_text_of_which_nothing_is_kept_is_empty() -> None:
    assert render(TEXT, [], GapMarks("x", "y", silent_when_empty=True)) == ""


def test_spans_that_touch_are_joined() -> None:
    assert merge_spans([(0, 3), (3, 5), (6, 6), (7, 9)]) == ((0, 5), (7, 9))
