"""How a gap reads."""

from __future__ import annotations

import json

from specprefill_agents.prompt.render import GapMarks, merge_spans, render

MARKS = GapMarks("[… {count} lines omitted ({first}-{last}){original}]", "[…{original}]")
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


def test_the_first_mark_alone_says_how_to_get_the_rest() -> None:
    noted = GapMarks(MARKS.line, MARKS.text, note="; full text: expand(7)")
    assert render(TEXT, [(4, 8), (14, 19)], noted) == "[…; full text: expand(7)]\ntwo\n[…]\nfour\n[…]\n"


ARRAY = '[\n  {"a": 1},\n  {"b": 2},\n  {"c": 3}\n]'


def test_items_left_out_of_an_array_are_one_string() -> None:
    first, last = ARRAY.index("{"), ARRAY.index('{"c"')
    assert render(ARRAY, [(0, first), (last, len(ARRAY))], MARKS, ["item"]) == '[\n  "[… 2 lines omitted (2-3)]",\n  {"c": 3}\n]'
    tail = ARRAY.index("\n]") + 1
    assert render(ARRAY, [(0, last), (tail, len(ARRAY))], MARKS, ["item"]) == '[\n  {"a": 1},\n  {"b": 2},\n  "[…]"\n]'


def test_members_left_out_of_an_object_are_one_member_and_quotes_are_escaped() -> None:
    marks = GapMarks("", "[…{original}]", note='; expand("x")')
    text = '{"a": 1, "b": 2, "c": 3}'
    shown = render(text, [(0, 9), (23, 24)], marks, ["member"])
    assert shown == '{"a": 1, "[…; expand(\\"x\\")]": null}'
    assert json.loads(shown) == {"a": 1, '[…; expand("x")]': None}


STRING = r'{"a": "One. Two.\tThree. \"Four\".\nFive.\n", "b": "\u6f22\u6f22 \\n"}'
NOTED = GapMarks("[… lines {first}-{last} omitted{original}]", "[…{original}]", note='; expand("x")')


def hide(*hidden: str) -> str:
    """`STRING` without some parts of its strings."""
    starts = [STRING.index(part) for part in hidden]
    ends = [start + len(part) for start, part in zip(starts, hidden, strict=True)]
    return render(STRING, list(zip([0, *ends], [*starts, len(STRING)], strict=True)), NOTED, ["string"] * len(hidden))


def test_a_gap_inside_a_string_is_marked_inside_it_and_quotes_are_escaped() -> None:
    assert hide("Two.") == STRING.replace("Two.", r"[…; expand(\"x\")] ")
    assert json.loads(hide("Two."))["a"].startswith('One. […; expand("x")] \tThree.')


def test_a_gap_inside_a_string_stands_apart_from_words_but_not_from_white_space_or_quotes() -> None:
    assert json.loads(hide("One. ", "Three. ", "Five."))["a"] == '[…; expand("x")] Two.\t[…] "Four".\n[…] \n'
    assert json.loads(hide(r"\tThree. \"Four\"."))["a"] == 'One. Two. […; expand("x")] \nFive.\n'


def test_a_gap_of_whole_lines_inside_a_string_is_a_line_there() -> None:
    assert json.loads(hide(r"Five.\n"))["a"] == 'One. Two.\tThree. "Four".\n[…; expand("x")]\n'
    assert json.loads(hide(r"One. Two.\tThree. \"Four\".\n"))["a"] == '[…; expand("x")]\nFive.\n'


def test_a_backslash_before_a_letter_is_no_line_break() -> None:
    assert json.loads(hide(r"\u6f22 \\n"))["b"] == '漢 […; expand("x")]'
    assert json.loads(hide(r"\u6f22\u6f22 "))["b"] == '[…; expand("x")] \\n'


def test_a_string_of_which_all_is_left_out_without_marks_is_empty() -> None:
    whole = r"\u6f22\u6f22 \\n"
    start = STRING.index(whole)
    shown = render(STRING, [(0, start), (start + len(whole), len(STRING))], GapMarks("", ""), ["string"])
    assert json.loads(shown)["b"] == ""
