"""Where records written as indented lines are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.prompt.units.json_tree import IDENTIFIER_LIFT, MAX_DEPTH
from specprefill_agents.prompt.units.layout import Layout, Limits, check_layout
from specprefill_agents.prompt.units.yaml_records import looks_like_records, split_records
from tests.layouts import block_texts, unit_texts

LIMITS = Limits()
SMALL = Limits(min_chars=8, max_chars=24, block_chars=80)

LONG = "A sentence of some length about nothing at all. "
MAIL = f"""\
- attachments: []
  body: 'Dear Ann,


    {LONG * 3}

    {LONG * 2}


    Note: this line is no key.'
  sender: bob@example.org
  recipients:
  - ann@example.org
  - carl@example.org
  status: received and read with pleasure
"""


def layout(text: str, limits: Limits = LIMITS) -> Layout:
    found = split_records(text, limits)
    assert found is not None
    assert looks_like_records(text)
    check_layout(text, found)
    return found


def pieces(text: str, limits: Limits = LIMITS) -> list[str]:
    return unit_texts(text, layout(text, limits))


def blocks(text: str, limits: Limits = LIMITS) -> list[str]:
    return block_texts(text, layout(text, limits))


def kept_with(text: str, words: str, limits: Limits = LIMITS) -> str:
    """What is kept of `text` when the unit that holds `words` is."""
    found = layout(text, limits)
    at = next(index for index, unit in enumerate(found.units) if words in text[unit.start : unit.end])
    return "".join(text[found.units[index].start : found.units[index].end] for index in sorted(found.with_needs(at)))


def test_a_short_record_is_one_unit_and_one_block() -> None:
    record = "- id: 7\n  name: Ann\n  tags:\n  - a\n  - b\n  room: Hall 7\n"
    assert pieces(record * 3) == [record] * 3
    assert blocks(record * 3) == [record] * 3


def test_a_long_record_is_cut_between_its_members_and_keeps_its_first_line() -> None:
    assert kept_with(MAIL * 2, "sender:").startswith("- attachments: []\n")
    assert kept_with(MAIL * 2, "sender:").count("\n") < 7
    assert blocks(MAIL * 2) == [MAIL] * 2


def test_a_long_value_is_cut_into_pieces_that_need_its_first_line() -> None:
    assert kept_with(MAIL, "Note: this").startswith("- attachments: []\n  body: 'Dear Ann,\n")
    assert "sender" not in kept_with(MAIL, "Note: this")


def test_a_long_value_in_the_first_line_of_a_record_is_cut_too() -> None:
    text = f"- content: {LONG * 7}\n  filename: a.txt\n"
    assert len(pieces(text)) > 3
    assert pieces(text)[-1] == "  filename: a.txt\n"
    assert kept_with(text, "filename") == pieces(text)[0] + "  filename: a.txt\n"


def test_lines_of_a_value_that_look_like_keys_belong_to_the_value() -> None:
    text = "- body: 'see\n    subject: not a key\n    id: neither'\n  subject: a key\n"
    assert pieces(text, Limits(4, 60, 400)) == [text[: text.rindex("  subject")], "  subject: a key\n"]


def test_nested_lines_need_the_line_of_their_key() -> None:
    text = f"- name: plan\n  members:\n    ann@example.org: {'reader ' * 20}\n    bob@example.org: {'writer ' * 20}\n  size: 3\n"
    kept = kept_with(text, "bob@")
    assert kept == f"- name: plan\n  members:\n    bob@example.org: {'writer ' * 20}\n"


def test_list_items_that_stand_no_deeper_than_their_key_need_it_too() -> None:
    text = "- name: plan\n  members:\n" + "".join(f"  - person-{number:040d}\n" for number in range(8)) + "  size: 3\n"
    assert kept_with(text, f"{5:040d}").startswith("- name: plan\n  members:\n  - person-")
    assert kept_with(text, "size:") == "- name: plan\n  size: 3\n"


def test_a_list_under_the_first_key_of_a_record_ends_where_the_next_key_begins() -> None:
    text = "- members:\n" + "".join(f"  - person-{number:040d}\n" for number in range(8)) + "  size: 3\n"
    assert pieces(text)[0] == "- members:\n"
    assert pieces(text)[-1] == "  size: 3\n"


def test_a_single_record_is_cut_between_its_members() -> None:
    text = f"title: {LONG * 3}\nowner: ann@example.org\nshared_with:\n  bob@example.org: r\nnote: {LONG * 3}\n"
    assert pieces(text)[1:-1] == ["owner: ann@example.org\nshared_with:\n  bob@example.org: r\n"]
    assert layout(text).needs == ((),) * 3


def test_each_record_of_a_list_below_a_key_is_a_block() -> None:
    records = [f"- name: person {number}\n  about: {LONG * 2}\n" for number in range(3)]
    assert blocks("total: 3\nnext: none\npeople:\n" + "".join(records)) == ["total: 3\nnext: none\n", "people:\n", *records]


def test_members_that_hold_identifiers_are_lifted() -> None:
    found = layout(MAIL)
    lifted = [MAIL[unit.start : unit.end] for unit, lift in zip(found.units, found.lift, strict=True) if lift]
    assert lifted == ["  sender: bob@example.org\n  recipients:\n  - ann@example.org\n  - carl@example.org\n"]
    assert set(found.lift) == {0.0, IDENTIFIER_LIFT}


def test_comments_blank_lines_and_document_borders_stay_with_a_neighbour() -> None:
    text = "---\n# people\n- id: 1\n  name: Ann\n\n# the next one\n- id: 2\r\n  name: Bob\r\n...\n"
    assert len(pieces(text, SMALL)) > 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- one\n- two\n",
        "- id: 1\n",
        "- id: 1\n  id: 2\n",
        "- id: 1\n   name: too deep\n    and: deeper\nno entry at all\n",
        "- id: 1\n  name: x\nA sentence behind it.\n",
        "- id: 1\n\tname: x\n",
        "- id: 1\n  name: x\nkey: value\n",
        "id: 1\nname: x\n",
        "id: 1\nid: 2\nname: x\nid: 3\n",
        "? id\n: 1\n",
        '{"id": 1}\n',
    ],
)
def test_what_is_not_wholly_records_is_left_to_others(text: str) -> None:
    assert split_records(text, LIMITS) is None


@pytest.mark.parametrize(
    "text",
    [
        "Ordinary prose: with a colon.\nAnd a second line.\n",
        "Ann: hello there\nBob: hi\nAnn: how are you\n",
        "- Buy milk: two bottles\n- Call Ann: about the trip\n- Rest\n",
        "- [ ] one\n- [x] two\n",
        "def f(a):\n    return a\n",
        "# Title\n\n- Point: one\n- Point: two\n",
        "2024-05-01 12:00:00 INFO: started\n2024-05-01 12:00:01 INFO: done\n",
        "",
    ],
)
def test_ordinary_text_does_not_look_like_records(text: str) -> None:
    assert not looks_like_records(text)


WORDS = st.sampled_from(
    ["Team Sync", "'13'", "42", "ann@example.org", "[]", "null", "see: below", "", "2024-05-01 10:00:00", "日本語", '"a\n      b"']
)
KEYS = st.lists(st.sampled_from("id name about_it size-x a.b when".split()), min_size=2, max_size=5, unique=True)


@st.composite
def record_texts(draw: st.DrawFn) -> str:
    """A list of records, some of them with lists, with objects and with values of several lines."""
    lines = []
    for _ in range(draw(st.integers(1, 6))):
        for number, key in enumerate(draw(KEYS)):
            value = draw(
                st.one_of(WORDS, WORDS, st.lists(WORDS, min_size=1, max_size=4), st.dictionaries(st.sampled_from("xyz"), WORDS, min_size=1))
            )
            lines.append(f"{'  ' if number else '- '}{key}:{f' {value}' if isinstance(value, str) else ''}")
            if isinstance(value, list):
                lines.extend(f"  - {item}" for item in value)
            elif isinstance(value, dict):
                lines.extend(f"    {inner}: {item}" for inner, item in value.items())
    return "\n".join(lines) + draw(st.sampled_from(["", "\n", "\n\n"]))


UGLY = st.sampled_from(["", "\x00", "\r", "\t", "\n", "\ud800", "�", "\x1b[0m", "[… 3 lines omitted]", "- ", ":", ": ", "'", "#", "  "])


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """Records with something put in the place of a few characters, other line ends, or the end cut off."""
    text = draw(record_texts())
    start = draw(st.integers(0, len(text)))
    end = draw(st.sampled_from([start, start + 1, start + 3, len(text)]))
    return (text[:start] + draw(UGLY) + text[end:]).replace("\n", draw(st.sampled_from(["\n", "\r\n", "\r"])))


@given(record_texts(), st.builds(Limits, st.integers(1, 20), st.integers(4, 60), st.integers(20, 200)))
def test_records_are_split_into_units_that_drag_few_others_along(text: str, limits: Limits) -> None:
    found = layout(text, limits)
    assert max(len(found.with_needs(index)) for index in range(len(found.units))) <= 4


@given(record_texts())
def test_each_unit_is_made_of_whole_lines_where_no_line_is_long(text: str) -> None:
    assert all(piece.endswith("\n") for piece in pieces(text, Limits(8, 60, 200))[:-1])


@given(st.one_of(damaged(), st.text(max_size=200), st.text("-: \nab'#", max_size=60)))
def test_damaged_text_is_split_or_refused_but_never_raises(text: str) -> None:
    looks_like_records(text)
    for limits in (LIMITS, SMALL):
        found = split_records(text, limits)
        if found is not None:
            check_layout(text, found)


def test_nesting_deeper_than_the_limit_is_flat() -> None:
    text = "".join("  " * depth + f"key{depth}:\n" for depth in range(300)) + "  " * 300 + "leaf: 1\n"
    found = split_records("a: 1\nb: 2\n" + text, LIMITS)
    assert found is not None
    check_layout("a: 1\nb: 2\n" + text, found)
    assert max(len(found.with_needs(index)) for index in range(len(found.units))) <= MAX_DEPTH + 1


@pytest.mark.parametrize(
    "text",
    [
        "- a: 1\n  b: 2\n" * 70_000,
        "- a:\n  b:\n" + "  - x\n" * 200_000,
        "- a: 1\n  b: 2\n" + "\n" * 1_000_000,
        "- a: 1\n  content: " + "Word word word. " * 62_000 + "\n  c: 2\n",
        "- a: 1\n  b: 2\n" + "   x\n" * 200_000,
        "- a: 1\n  b: " + " " * 1_000_000 + "x\n",
        "- a: " + "x" * 1_000_000 + "\n  b: 2\n",
    ],
    ids=["records", "items", "blank lines", "a long line", "a value of many lines", "spaces", "one word"],
)
def test_extreme_records_are_split(text: str) -> None:
    found = split_records(text, LIMITS)
    assert found is not None
    check_layout(text, found)


@pytest.mark.parametrize(
    "text", ["-" * 1_000_000, "- " * 500_000, ":" * 1_000_000, " " * 1_000_000 + "x", "a: " * 300_000, "\n" * 1_000_000]
)
def test_extreme_texts_of_other_kinds_are_left_to_others(text: str) -> None:
    assert split_records(text, LIMITS) is None
    assert not looks_like_records(text)
