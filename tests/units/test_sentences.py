"""Where sentences end, in any script, and what is done with very short and very long ones."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.prompt.units.layout import Limits
from specprefill_agents.prompt.units.sentences import sentence_units, sentences, weight
from tests.strategies import TEXTS
from tests.units.damage import damaged

LIMITS = Limits()
SMALL = Limits(min_chars=6, max_chars=20, block_chars=80)


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text, 0, len(text))]


def units(text: str, limits: Limits = LIMITS) -> list[str]:
    ends = sentence_units(text, 0, len(text), limits)
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@pytest.mark.parametrize(
    "expected",
    [
        ["One thing. ", "Another! ", "A third? ", "The rest"],
        ['"Stop!" ', "He stopped. ", "(At last.) ", "She said: “Good.” ", "Then nothing…  ", "Or so."],
        ["It ended in 1945.[12] ", "It was over.</b> ", "**Really.** ", "Yes."],
        ["Elle est partie. ", "« Où ? » ", "Là-bas."],
        ["Hechos. ", "¿Qué pasó? ", "¡Nada!"],
        ["Er kam um 3. ", "Ärger gab es keinen."],
    ],
)
def test_sentences_end_at_a_mark_before_white_space_with_all_that_closes_them(expected: list[str]) -> None:
    assert split("".join(expected)) == expected


@pytest.mark.parametrize(
    "sentence",
    [
        "Mr. Smith and Dr. Jones met Prof. Lee vs. St. Mary.",
        "J. R. R. Tolkien wrote it, S.\u00a0P. Morse printed it.",
        "The U.S. Senate and the E.U. Commission, e.g. Berlin, i.e. z.B. Bonn, met a Ph.D. Student.",
        "It costs 3.14 in v1.2.3 at www.example.org/a.b?c=d, see No. 5, Fig. 3 and p. 12 of Jan. 4.",
        "Wait... then go… and what? they ask! or so.",
        "Bring apples, pears etc. and a Yahoo! account.",
    ],
)
def test_abbreviations_initials_numbers_addresses_and_ellipses_end_no_sentence(sentence: str) -> None:
    assert split(sentence) == [sentence]


def test_a_word_that_is_an_abbreviation_only_before_a_number_ends_a_sentence_before_a_word() -> None:
    assert split("Is it? No. It is p. 5.") == ["Is it? ", "No. ", "It is p. 5."]


def test_the_number_of_an_item_stays_with_the_item() -> None:
    assert split("1. Install it. Then run it.\n2. Enjoy.\n2.1. More.\n") == [
        "1. Install it. ",
        "Then run it.\n",
        "2. Enjoy.\n",
        "2.1. More.\n",
    ]


@pytest.mark.parametrize(
    "expected",
    [
        ["今天天气好。", "我们去公园吧！", "好吗？", "“你好。”", "他说……然后走了。"],
        ["「行きます。」と言った。", "本当？", "円周率は３．１４です．", "次。"],
        ["यह वाक्य है। ", "दूसरा॥ ", "तीसरा"],
        ["یہ ایک ہے۔ ", "وہ کہاں ہے؟ ", "ہاں"],
        ["ይህ ነው። ", "ሌላ"],
        ["Մեկ։ ", "Երկու"],
    ],
)
def test_scripts_with_marks_of_their_own_need_no_space_and_no_capital(expected: list[str]) -> None:
    assert split("".join(expected)) == expected


@pytest.mark.parametrize(
    "expected", [["มีหลายวิธี ", "ที่จะทำ ", "ต่าง ๆ ", "กันและ 3 อัน"], ["ខ្ញុំទៅ ", "ផ្ទះ"], ["ຂ້ອຍໄປ ", "ເຮືອນ"], ["ကျွန်တော် ", "သွားသည်။ ", "ပြီ"]]
)
def test_where_nothing_marks_a_sentence_spaces_are_the_borders(expected: list[str]) -> None:
    assert split("".join(expected)) == expected


def test_a_line_break_ends_a_sentence_unless_the_line_was_wrapped() -> None:
    assert split("milk\nbread\n  butter\r\njam\rtea") == ["milk\n", "bread\n", "  butter\r\n", "jam\r", "tea"]
    wrapped = (
        "A sentence that somebody wrapped at sixty characters or so,\n"
        "which is why it goes on here. And another one begins, again\n"
        "running on."
    )
    second = wrapped.index("And")
    assert split(wrapped) == [wrapped[:second], wrapped[second:]]


def test_a_bulleted_line_begins_a_sentence_however_long_the_line_before_it() -> None:
    lines = ["- the first of several items that are all about as long as one line\n", "- the second\n"]
    assert split("".join(lines)) == lines


def test_chinese_characters_weigh_two() -> None:
    assert [weight(text, 0, len(text)) for text in ("abc", "日本", "한국 a", "é")] == [3, 4, 6, 1]


def test_short_sentences_share_a_unit_and_the_last_joins_the_one_before() -> None:
    assert units("No. Yes. Perhaps so. The third of them all. Ok.", SMALL) == [
        "No. Yes. ",
        "Perhaps so. ",
        "The third of them all. ",
        "Ok.",
    ]
    assert units("Not so short. Ok.", SMALL) == ["Not so short. Ok."]


def test_a_sentence_is_cut_only_when_it_is_longer_than_two_units() -> None:
    sentence = "word " * 7 + "end."
    assert units(sentence, SMALL) == [sentence]
    assert len(units("word " * 9 + "end.", SMALL)) > 1


def test_long_sentences_are_cut_at_clauses_before_words_before_characters() -> None:
    assert units("aaaa bbbb cc; dddd, eeee ffff gggg hhhh iiii", SMALL)[0] == "aaaa bbbb cc; "
    assert units("aaaa bbbb cccc dddd, eeee ffff gggg hhhh iiii", SMALL)[0] == "aaaa bbbb cccc dddd, "
    assert units("aaaa bbbb cccc dddd eeee ffff gggg hhhh iiii", SMALL)[0] == "aaaa bbbb cccc dddd "
    assert [len(unit) for unit in units("x" * 100, SMALL)] == [20, 20, 20, 40]


@pytest.mark.parametrize("character", ["e\u0301\u0323", "👩\u200d👩\u200d👧", "👍🏽", "🇩🇪", "กำ", "เก", "क्\u200dष", "각", "\ud83d\ude00"])
def test_no_combined_character_is_ever_cut(character: str) -> None:
    pieces = units(character * 100, SMALL)
    if character != "🇩🇪":  # a run of flag letters is left whole
        assert len(pieces) > 1
    assert all(len(piece) % len(character) == 0 for piece in pieces)


@given(damaged(TEXTS), st.sampled_from([LIMITS, SMALL, Limits(1, 1, 1)]))
def test_units_tile_any_text(text: str, limits: Limits) -> None:
    pieces = units(text, limits)
    assert "".join(pieces) == text
    assert all(pieces)
    assert not any(unicodedata.category(piece[0])[0] == "M" for piece in pieces[1:])


@given(damaged(TEXTS))
def test_only_what_is_longer_than_two_units_is_cut_inside_a_sentence(text: str) -> None:
    borders = {end for _, end in sentences(text, 0, len(text))}
    allowed = borders | {
        cut for start, end in sentences(text, 0, len(text)) if end - start > 2 * SMALL.max_chars for cut in range(start, end)
    }
    assert set(sentence_units(text, 0, len(text), SMALL)) <= allowed


@pytest.mark.parametrize("repeated", [".", " ", "a\n", ".\"'", "Mr. ", "5. ", "กา ", "字", "\u0301", "words of a wrapped line " * 3 + "\n"])
def test_half_a_million_characters_of_anything_are_split(repeated: str) -> None:
    text = repeated * (500_000 // len(repeated))
    assert "".join(units(text)) == text
