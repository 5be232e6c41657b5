"""Where JSON, JSON Lines and printed Python values are cut."""

from __future__ import annotations

import json

import pytest

from specprefill_agents.prompt.units.json_tree import IDENTIFIER_LIFT, MAX_DEPTH
from specprefill_agents.prompt.units.json_values import looks_like_json, split_json
from specprefill_agents.prompt.units.layout import Layout, Limits, check_layout
from tests.layouts import block_texts, unit_texts

LIMITS = Limits()
SMALL = Limits(min_chars=8, max_chars=24, block_chars=80)


def layout(text: str, limits: Limits = LIMITS) -> Layout:
    found = split_json(text, limits)
    assert found is not None
    assert looks_like_json(text)
    check_layout(text, found)
    return found


def pieces(text: str, limits: Limits = LIMITS) -> list[str]:
    return unit_texts(text, layout(text, limits))


def blocks(text: str, limits: Limits = LIMITS) -> list[str]:
    return block_texts(text, layout(text, limits))


def a_record(number: int, **more: object) -> dict[str, object]:
    return {"id": number, "name": f"Person {number}", "about": f"{number} likes long walks and short words. " * 3, **more}


def test_a_small_document_is_one_unit() -> None:
    text = ' {"id": 7, "ok": true}\n'
    assert pieces(text) == [text]
    assert layout(text).gaps == ("item",)


def test_records_of_a_list_are_units_between_its_brackets() -> None:
    records = [json.dumps(a_record(number)) for number in range(3)]
    text = "[\n " + ",\n ".join(records) + "\n]"
    assert pieces(text) == ["[\n ", f"{records[0]},\n ", f"{records[1]},\n ", f"{records[2]}\n", "]"]
    assert layout(text).gaps == ("item",) * 5
    assert layout(text).needs == ((4,), (0,), (0,), (0,), (0,))


def test_a_long_record_is_cut_into_members_that_stand_between_its_braces() -> None:
    text = json.dumps([a_record(1), a_record(2, note="x" * 150)])
    found = layout(text)
    assert pieces(text)[2:] == [
        "{",
        '"id": 2, "name": "Person 2", "about": "2 likes long walks and short words. 2 likes long walks and short words. '
        '2 likes long walks and short words. ", ',
        f'"note": "{"x" * 150}"',
        "}",
        "]",
    ]
    assert found.gaps[2:] == ("item", "member", "member", "item", "item")
    assert found.with_needs(3) == {0, 2, 3, 5, 6}


def test_the_key_of_a_nested_value_opens_with_its_bracket() -> None:
    text = json.dumps({"status": "complete", "rows": [a_record(1), a_record(2)], "next": None})
    assert pieces(text)[:3] == ["{", '"status": "complete", ', '"rows": [']
    assert pieces(text)[-3:] == ["], ", '"next": null', "}"]


def test_wrappers_around_one_value_open_and_close_with_it() -> None:
    text = json.dumps({"data": {"results": [a_record(1), a_record(2)]}})
    assert pieces(text)[0] == '{"data": {"results": ['
    assert pieces(text)[-1] == "]}}"


def test_short_items_share_a_unit() -> None:
    text = json.dumps([*range(10_000, 10_100)])
    middle = pieces(text)[1:-1]
    assert {len(piece) for piece in middle[:-1]} == {49}
    assert "".join(middle) == text[1:-1]


def test_each_record_of_a_list_is_a_block() -> None:
    records = [json.dumps(a_record(number, lines=["a" * 90, "b" * 90, "c" * 90])) for number in range(3)]
    assert blocks("[" + ",".join(records) + "]") == ["[", f"{records[0]},", f"{records[1]},", records[2], "]"]


def test_each_record_of_a_list_in_an_envelope_is_a_block() -> None:
    records = [json.dumps(a_record(number)) for number in range(3)]
    text = '{"total": 3, "items": [' + ", ".join(records) + "]}"
    assert blocks(text) == ["{", '"total": 3, ', '"items": [', f"{records[0]}, ", f"{records[1]}, ", records[2], "]", "}"]


def test_each_member_of_the_outermost_object_is_a_block() -> None:
    text = json.dumps({f"key-{number}-{'k' * 40}": "v" * 40 for number in range(4)}, indent=1)
    assert len(blocks(text)) == 6


def test_a_record_longer_than_a_block_fills_several_with_its_members() -> None:
    text = json.dumps([{f"key{number}": "v" * 10 for number in range(20)}], indent=0)
    found = blocks("[1, " + text[1:], SMALL)
    assert found[:3] == ["[", "1, \n", "{\n"]
    assert all(40 < len(block) <= 80 for block in found[3:-2])


def test_members_that_hold_identifiers_are_lifted_out_of_a_record() -> None:
    member = {"title": "A quiet place " * 9, "mail": "ann@example.org", "when": "2024-05-26 19:00:00", "mood": "calm and happy " * 9}
    text = json.dumps([member, member])
    found = layout(text)
    lifted = [text[unit.start : unit.end] for unit, lift in zip(found.units, found.lift, strict=True) if lift]
    assert lifted == ['"mail": "ann@example.org", "when": "2024-05-26 19:00:00", '] * 2
    assert set(found.lift) == {0.0, IDENTIFIER_LIFT}


@pytest.mark.parametrize(
    "value",
    ["ann@example.org", "https://example.org/a?b=1", "/usr/lib/x", "GB29NWBK60161331926819", "2024-05-26", "$1,250.00", "12.50 EUR", 42],
)
def test_addresses_paths_codes_dates_and_amounts_count_as_identifiers(value: object) -> None:
    assert any(layout(json.dumps([{"text": "words " * 30, "value": value, "more": "words " * 30}])).lift)


@pytest.mark.parametrize("value", ["two words", "plain", True, None, "7 ways to leave", ""])
def test_words_and_flags_do_not_count_as_identifiers(value: object) -> None:
    assert not any(layout(json.dumps([{"text": "words " * 30, "value": value, "more": "words " * 30}])).lift)


def test_where_all_members_hold_identifiers_none_is_lifted() -> None:
    assert not any(layout(json.dumps({f"key-{number}": f"{number:040d}" for number in range(9)})).lift)


def test_json_lines_are_records_with_plain_gaps_between_them() -> None:
    lines = [json.dumps(a_record(number)) + "\r\n" for number in range(3)]
    text = "".join(lines)
    assert pieces(text) == lines
    assert blocks(text) == lines
    assert layout(text).gaps == ("plain",) * 3
    assert layout(text).needs == ((),) * 3


def test_a_long_record_among_json_lines_is_cut_into_members() -> None:
    text = json.dumps(a_record(1)) + "\n" + json.dumps(a_record(2, note="x" * 150)) + "\n"
    assert layout(text).gaps == ("plain", "plain", "member", "member", "plain")
    assert pieces(text)[-1] == "}\n"


def test_short_json_lines_share_a_unit_of_whole_lines() -> None:
    text = '{"a": 1}\n' * 100
    assert set(pieces(text)[:-1]) == {'{"a": 1}\n' * 6}


def test_pretty_printed_records_in_a_row_are_records() -> None:
    record = json.dumps(a_record(1, note="x" * 150), indent=2)
    assert pieces(f"{record}\n{record}\n")[0] == "{\n  "
    assert blocks(f"{record}\n{record}\n") == [f"{record}\n"] * 2


def test_printed_python_values_are_cut_alike_with_plain_gaps() -> None:
    rows = [{"id": number, "name": f"O'Neil {number}", "left": None, "pair": (1, 2.5e-3), "why": "so " * 60} for number in range(2)]
    text = str(rows)
    assert set(layout(text).gaps) == {"plain"}
    assert pieces(text)[:3] == ["[", "{", "'id': 0, 'name': \"O'Neil 0\", 'left': None, 'pair': (1, 0.0025), "]


@pytest.mark.parametrize(
    "text",
    [
        "[Document(metadata={'source': 'a.md'}, page_content='It\\'s here'), Document(metadata={}, page_content='')]",
        "[(1, datetime.datetime(2024, 5, 1, 0, 0, tzinfo=datetime.timezone.utc), Decimal('1.50'), b'raw', -inf), (nan,)]",
        "{'kind': <Color.RED: 1>, 'empty': set(), 'numbers': {1, 2}, 'array': array([1., 2.])}",
        "{'long': 'first half '\n         'second half',\n 3: [True, False]}",
    ],
)
def test_what_python_prints_inside_containers_is_read(text: str) -> None:
    assert "".join(pieces(text, SMALL)) == text
    assert len(pieces(text, SMALL)) > 3


@pytest.mark.parametrize(
    "text",
    [
        "", " \n", "{", "]", "[1 2]", "[,]", "[1,,2]", '{"a": }', '{"a": 1,, "b": 2}', "[1)", "[1]]", "[1] and more",
        '["open]', "['it's']", '["\\"]', '{"a": unknown}', "[see below]", "[01x]", "[1",
        '"a string"', "42", "null", "[1]\n2\n", '{"cut": "off at the', "// nothing\n", "/* nothing",
    ],
)  # fmt: skip
def test_what_is_mostly_something_else_is_left_to_others(text: str) -> None:
    assert split_json(text, LIMITS) is None


@pytest.mark.parametrize(
    "text",
    [
        "Ordinary prose, with (a remark in brackets).",
        "[1] A. Smith, *On Footnotes* (1999)",
        "(see the notes [3])",
        "[link](https://example.org)",
        "[section]\nkey = value [x]",
        "[2024-05-01 12:00:00] started [ok]",
        "{{ template }} text {{ end }}",
        "- [ ] buy milk [soon]",
        "[ ] buy milk (soon)",
        "",
    ],
)
def test_ordinary_text_does_not_look_like_json(text: str) -> None:
    assert not looks_like_json(text)


def test_nesting_deeper_than_the_limit_is_not_opened() -> None:
    text = '{"k": "v", "a": ' * 40 + "1" + "}" * 40
    found = layout(text, SMALL)
    assert max(len(found.with_needs(index)) for index in range(len(found.units))) <= 2 * MAX_DEPTH + 1


@pytest.mark.parametrize(
    "text",
    [
        "[" * 9_000 + "]" * 9_000,
        '{"a":' * 9_000 + "1" + "}" * 9_000,
        "[(" * 4_500 + ")]" * 4_500,
        '["' + "x" * 1_000_000 + '"]',
        '["' + "\\n" * 500_000 + '"]',
        "[" + " " * 1_000_000 + "]",
        "[\n" + "1,\n" * 1_000_000 + "1\n]",
        '{"a": 1}\n' * 120_000,
        "{" + ",".join(f'"{":" * 150}": "{":" * 150}x"' for _ in range(3_000)) + "}",
    ],
    ids=["lists", "objects", "tuples", "one string", "escapes", "spaces", "a million lines", "records", "colons"],
)
def test_extreme_documents_are_split(text: str) -> None:
    layout(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        "[" * 500_000 + "]" * 500_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        "[\n" * 300_000,
        '[1, 2, {"a"\n' * 60_000,
        "[1 /*\n" * 100_000,
        "['" + "\\'" * 500_000 + "]",
        "[" + "a." * 500_000,
        "{'a': " * 100_000,
        '"' * 1_000_000,
        "\\" * 1_000_000,
        "Result:" + " " * 1_000_000,
        "[" + " " * 1_000_000,
    ],
    ids=[
        "open",
        "deep lists",
        "deep objects",
        "lines",
        "broken lines",
        "comments",
        "escapes",
        "names",
        "dicts",
        "quotes",
        "backslashes",
        "label",
        "spaces",
    ],
)
def test_extreme_texts_that_are_no_documents_are_left_to_others(text: str) -> None:
    assert split_json(text, LIMITS) is None
