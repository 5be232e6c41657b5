"""Paragraphs, blocks and the turns of transcripts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.prompt.units.layout import Layout, Limits, check_layout
from specprefill_agents.prompt.units.prose import looks_like_prose, split_prose
from specprefill_agents.prompt.units.transcript import speaker_turns
from tests.layouts import block_texts, unit_texts
from tests.strategies import TEXTS
from tests.units.damage import damaged

LIMITS = Limits()
SMALL = Limits(min_chars=8, max_chars=32, block_chars=120)

SENTENCES = st.sampled_from(
    ["It rained.", "“Why?” she asked Mr. Gray.", "The committee met on 3.5.2024 and adjourned, as agreed, at noon.", "彼は来た。", "ไป บ้าน"]
)
PARAGRAPHS = st.lists(SENTENCES, min_size=1, max_size=30).map(" ".join)
DOCUMENTS = st.lists(PARAGRAPHS, max_size=8).map("\n\n".join)
TURNS = st.tuples(st.sampled_from(["Ann: ", "Bob (12:03): ", "[Cem] ", "Project Manager: ", "张三："]), PARAGRAPHS).map("".join)
TRANSCRIPTS = st.lists(TURNS, max_size=20).map("\n".join)


def layout(text: str, limits: Limits = LIMITS) -> Layout:
    found = split_prose(text, limits)
    check_layout(text, found)
    return found


def pieces(text: str, limits: Limits = LIMITS) -> list[str]:
    return unit_texts(text, layout(text, limits))


def blocks(text: str, limits: Limits = LIMITS) -> list[str]:
    return block_texts(text, layout(text, limits))


def a_paragraph(name: str, sentences: int = 4) -> str:
    return " ".join(f"Sentence {number} of the paragraph about {name}, which is of some length." for number in range(sentences))


def test_paragraphs_are_blocks_and_sentences_are_units() -> None:
    text = f"{a_paragraph('cats')}\n\n{a_paragraph('dogs')}\n"
    assert blocks(text) == [a_paragraph("cats") + "\n\n", a_paragraph("dogs") + "\n"]
    assert [piece.split(" of ")[0] for piece in pieces(text)] == [f"Sentence {number}" for number in (0, 1, 2, 3)] * 2


def test_a_very_short_paragraph_such_as_a_heading_joins_the_block_of_the_next() -> None:
    assert len(blocks(f"On cats\n\n{a_paragraph('cats')}\n\nOn dogs\n\n{a_paragraph('dogs')}")) == 2


def test_lines_that_are_spaced_apart_share_units() -> None:
    assert pieces("one\n\ntwo\n\nthree\n\nfour", SMALL) == ["one\n\ntwo\n\n", "three\n\nfour"]


def test_a_long_paragraph_becomes_blocks_of_like_size_that_end_with_sentences() -> None:
    found = blocks(a_paragraph("cats", 30))
    assert len(found) == 2
    assert max(map(len, found)) <= LIMITS.block_chars
    assert min(map(len, found)) > LIMITS.block_chars // 2
    assert found[0].endswith("length. ")


def test_without_blank_lines_long_lines_are_paragraphs() -> None:
    lines = [a_paragraph(name) + "\n" for name in ("cats", "dogs", "cows", "hens", "bees", "ants", "owls")]
    assert blocks("".join(lines)) == lines


def test_short_lines_without_blank_lines_fill_blocks() -> None:
    text = "a line of the list\n" * 400
    assert all(LIMITS.block_chars // 2 < len(block) <= LIMITS.block_chars for block in blocks(text))


@pytest.mark.parametrize("form", ["{}: {}\n", "{} (12:03): {}\n", "[{}] {}\n", "[12:03] {}: {}\n", "00:12:03.250 {}: {}\n", "  {}:\n{}\n"])
def test_turns_are_found_by_labels_that_come_back(form: str) -> None:
    text = "".join(form.format(name, "What they say.") for name in ("Ann Lee", "Project Manager", "Ann Lee", "Q", "Project Manager", "Q"))
    turns = speaker_turns(text)
    assert len(turns) == 6
    assert "".join(text[turn.start : turn.end] for turn in turns) == text
    assert all(text[turn.label_end :].lstrip().startswith("What they say.") for turn in turns)


@pytest.mark.parametrize(
    "text",
    [
        "Note: this.\nWarning: that.\nHint: something else.\n",
        "He said: come.\nShe said: no.\nhe went: away.\n",
        "name: Ann\nage: 5\nname: Bob\nage: 6\n",
        "See http://example.org\nhttp://example.com\n" * 3,
        "Ann: a monologue.\n" * 9,
    ],
)
def test_other_lines_with_colons_are_no_turns(text: str) -> None:
    assert speaker_turns(text) == []


def test_the_sentences_of_a_turn_drag_its_speaker_along() -> None:
    text = f"Ann: {a_paragraph('cats')}\nBob: {a_paragraph('dogs')}\nAnn: Yes.\nBob: Fine.\n"
    found = layout(text)
    said = pieces(text)
    assert said[0] == "Ann: "
    assert [said[need] for needs in found.needs for need in needs] == ["Ann: "] * 4 + ["Bob: "] * 4
    assert said[-1] == "Ann: Yes.\nBob: Fine.\n"


def test_a_long_turn_is_a_block_and_short_ones_share_one() -> None:
    talk = "Ann: Shall we go there today, or rather tomorrow?\nBob: Let us go there today, I have no time then.\n" * 2
    speech = f"Ann: {a_paragraph('cats', 12)}\n"
    assert blocks(talk + speech + talk) == [talk, speech, talk]


def test_what_precedes_the_first_turn_is_ordinary_prose() -> None:
    intro = f"{a_paragraph('meetings')}\n\n"
    assert blocks(intro + "Ann: Hello to everybody.\nBob: Hello.\n" * 3)[0] == intro


def test_an_empty_text_has_no_units() -> None:
    assert layout("").units == ()


@given(damaged(st.one_of(DOCUMENTS, TRANSCRIPTS, TEXTS)), st.sampled_from([LIMITS, SMALL, Limits(1, 1, 1)]))
def test_any_text_has_a_layout_whose_needs_are_short(text: str, limits: Limits) -> None:
    found = layout(text, limits)
    for index in range(len(found.units)):
        needed = found.with_needs(index) - {index}
        assert len(needed) <= 1
        assert all(found.units[need].end - found.units[need].start <= 120 for need in needed)
    looks_like_prose(text)


@given(damaged(st.one_of(DOCUMENTS, TRANSCRIPTS)))
def test_blocks_are_bounded_unless_they_are_one_unit(text: str) -> None:
    found = layout(text, SMALL)
    for block in set(found.blocks):
        members = [unit for unit, at in zip(found.units, found.blocks, strict=True) if at == block]
        assert len(members) == 1 or members[-1].end - members[0].start <= SMALL.block_chars


@pytest.mark.parametrize(
    "text",
    [
        "The grass is green. The sky is blue, they say, and it is true.",
        "今天天气很好。我们去公园吧！",
        "ไปบ้าน กินข้าว แล้วนอน",
        f"Ann: {a_paragraph('cats')}\nBob: No.\n" * 3,
        "Er kam, sah und siegte. „Wirklich?“, fragte sie; niemand wusste es (außer ihm).",
    ],
)
def test_language_looks_like_prose(text: str) -> None:
    assert looks_like_prose(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "def f(x):\n    return [y for y in x if y > 0]\n",
        '{"id": 1, "name": "Ann", "about": "She came. She saw."}',
        "2024-05-01 12:00:00,123 ERROR [main] a.b.C - failed: code=5",
        "a,b,c\n1,2,3\n4,5,6\n",
        "\x00\x01\x02" * 50,
        "- id: 1\n  name: Ann\n  text: Come here.\n",
    ],
)
def test_code_records_and_rubbish_do_not(text: str) -> None:
    assert not looks_like_prose(text)


@pytest.mark.parametrize("text", ["x" * 1_000_000, "a\n" * 1_000_000, "Ann: a\nBob: b\n" * 30_000, "字。" * 100_000])
def test_a_single_long_line_and_a_million_short_ones_are_split(text: str) -> None:
    check_layout(text, split_prose(text, LIMITS))
