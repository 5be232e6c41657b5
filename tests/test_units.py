"""Line and sentence units."""

from __future__ import annotations

from hypothesis import given

from specprefill_agents.prompt.units import split_lines
from tests.strategies import TEXTS


def pieces(text: str, minimum: int = 48, maximum: int = 192) -> list[str]:
    return [text[unit.start : unit.end] for unit in split_lines(text, minimum, maximum)]


@given(TEXTS)
def test_units_tile_the_text(text: str) -> None:
    units = split_lines(text, 48, 192)
    assert "".join(text[unit.start : unit.end] for unit in units) == text
    assert all(unit.start < unit.end for unit in units)


def test_short_lines_are_merged_up_to_the_minimum() -> None:
    assert pieces("ab\ncd\nef\n" * 4, 6, 20) == ["ab\ncd\n"[:6], "ef\nab\n", "cd\nef\n"] * 2


def test_a_blank_line_ends_a_unit_and_stays_with_what_precedes_it() -> None:
    assert pieces("short\n\nnext\n") == ["short\n\n", "next\n"]


def test_a_long_line_is_cut_after_sentences() -> None:
    first, second = "One " * 20 + "ends here. ", "Two " * 40 + "ends there."
    assert pieces(first + second) == [first, second]


def test_chinese_and_japanese_sentences_need_no_spaces() -> None:
    sentence = "これは長い文章でありとても大事なことが書いてあります。" * 3
    assert pieces(sentence * 4, 10, 60)[0].endswith("。")


def test_an_endless_word_is_cut_hard() -> None:
    assert max(map(len, pieces("x" * 5000))) <= 2 * 192


def test_a_key_value_line_is_a_unit_of_its_own() -> None:
    lines = [f'"{i:08d}-aaaa-bbbb-cccc-{i:012d}": "{i:08d}-dddd-eeee-ffff-{i:012d}",\n' for i in range(5)]
    assert pieces("".join(lines)) == lines
