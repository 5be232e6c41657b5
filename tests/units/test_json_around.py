"""Where JSON with text around it is cut, and that what is kept of each value parses."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.prompt.render import GapMarks, merge_spans, render
from specprefill_agents.prompt.units import layout_of
from specprefill_agents.prompt.units.json_values import looks_like_json, split_json
from specprefill_agents.prompt.units.layout import Layout, Limits, check_layout
from tests.layouts import block_texts, unit_texts

LIMITS = Limits()
SMALL = Limits(min_chars=8, max_chars=24, block_chars=80)
MARKS = GapMarks("", "<…{original}>", note='; expand("sp-7")')
ABOUT = "likes long walks and short words, and says so. " * 3


def records(count: int, first: int = 0) -> list[dict[str, object]]:
    return [{"id": number, "name": f"Person {number}", "about": f"{number} {ABOUT}"} for number in range(first, first + count)]


def layout(text: str, limits: Limits = LIMITS) -> Layout:
    found = split_json(text, limits)
    assert found is not None
    assert looks_like_json(text)
    check_layout(text, found)
    return found


def pieces(text: str, limits: Limits = LIMITS) -> list[str]:
    return unit_texts(text, layout(text, limits))


def rendered(text: str, found: Layout, chosen: set[int]) -> str:
    units = found.units
    spans = merge_spans([(units[index].start, units[index].end) for index in sorted(chosen)])
    opens = [index for index in range(len(units)) if index not in chosen and (index == 0 or index - 1 in chosen)]
    return render(text, spans, MARKS, [found.gaps[index] for index in opens])


def kept(text: str, *wanted: str) -> str:
    """What is sent when the units that contain `wanted` are kept, and all that they need."""
    found = layout(text)
    chosen = [index for index, piece in enumerate(unit_texts(text, found)) if any(each in piece for each in wanted)]
    return rendered(text, found, set().union(*(found.with_needs(index) for index in chosen)))


def test_a_value_between_lines_of_text_is_cut_as_if_it_stood_alone() -> None:
    value = json.dumps(records(9), indent=1)
    text = f"Searching the directory, please wait\n{value}\nExit code 0\n"
    alone = pieces(value)
    assert pieces(text) == ["Searching the directory, please wait\n", *alone[:-1], "]\n", "Exit code 0\n"]
    assert layout(text).gaps == ("plain", "plain", *layout(value).gaps[1:-1], "plain", "plain")


def test_what_is_kept_of_a_value_in_a_text_parses() -> None:
    text = f"Searching\n{json.dumps(records(9))}\nExit code 0\n"
    lines = kept(text, '"id": 3', "Exit").splitlines()
    assert lines[0] == '<…; expand("sp-7")>'
    assert json.loads(lines[1]) == ["<…>", records(9)[3], "<…>"]
    assert lines[2] == "Exit code 0"


@pytest.mark.parametrize(
    "label",
    [
        "Observation: ",
        "Result:\n",
        "Here's what I found (3 of 9):\n",
        "Output (JSON): ",
        "data: ",
        "\ufeff",
        "<tool_response>",
        "Result 1:\n  ",
    ],
)
def test_a_label_is_kept_with_its_value(label: str) -> None:
    text = label + json.dumps(records(9)) + "\n"
    assert pieces(text)[0] == f"{label}["
    assert kept(text, '"id": 3') == f'{label}["<…; expand(\\"sp-7\\")>", {json.dumps(records(9)[3])}, "<…>"]\n'


def test_values_separated_by_text_are_cut_each_for_itself() -> None:
    first, second = json.dumps(records(4)), json.dumps({"items": records(4, first=4)})
    text = f"--- page 1\n{first}\n--- page 2\n{second}\n--- end\n"
    assert json.loads(kept(text, '"id": 6').splitlines()[1]) == {"items": ["<…>", records(7)[6], "<…>"]}
    assert kept(text, '"id": 6').splitlines()[0] == '<…; expand("sp-7")>'


def test_records_of_a_value_in_a_text_are_blocks() -> None:
    text = f"Searching\n{json.dumps(records(3))}\nExit code 0\n"
    assert [block[:9] for block in block_texts(text, layout(text))] == [
        "Searching",
        "[",
        '{"id": 0,',
        '{"id": 1,',
        '{"id": 2,',
        "]\n",
        "Exit code",
    ]


def test_json_lines_with_other_lines_between_them_stay_whole() -> None:
    lines = [json.dumps(record) for record in records(6)]
    text = "\n".join(["starting", *lines[:3], "still there", *lines[3:], "done"])
    assert pieces(text) == [f"{line}\n" for line in ["starting", *lines[:3], "still there", *lines[3:]]] + ["done"]
    assert set(layout(text).gaps) == {"plain"}


def test_records_with_commas_but_no_brackets_are_records() -> None:
    lines = [json.dumps(record) for record in records(6)]
    assert pieces(",\n".join(lines) + "\n") == [f"{line},\n" for line in lines[:-1]] + [f"{lines[-1]}\n"]


def test_printed_python_values_in_a_text_are_found_too() -> None:
    text = f"Observation: {records(5)}\nThought: that was easy\n"
    assert pieces(text)[0] == "Observation: ["
    assert pieces(text)[-1] == "Thought: that was easy\n"
    assert len(pieces(text)) == 8


def test_json_as_people_write_it_is_cut_alike_with_plain_gaps() -> None:
    members = [
        f"'name {number}': [true, .5, null,], // {ABOUT[:60]}\n" if number % 2 else f"name{number}: 'it\\'s {ABOUT[:60]}',\n"
        for number in range(9)
    ]
    text = "// settings\n{\n" + "".join(members) + "}\n"
    assert pieces(text) == ["// settings\n{\n", *members, "}\n"]
    assert set(layout(text).gaps) == {"plain"}


@pytest.mark.parametrize(
    "text",
    [
        'He wrote: ["one", "two", "three", "four", "five"] and went on to talk about the weather for a good while longer.\n' * 5,
        "".join(
            f'2026-03-04 10:11:{second} INFO request: {{"path": "/search", "words": ["one", "two", "three"]}}\n' for second in range(10, 40)
        ),
        "".join(
            f'Mar  4 10:11:{second} host app[12]: {{"path": "/search", "words": ["one", "two", "three"]}}\n' for second in range(10, 40)
        ),
        "def table():\n    return [\n"
        + "".join(f'        {{"id": {number}, "name": "number {number}", "more": []}},\n' for number in range(30))
        + "    ]\n",
        "ROWS = [\n" + "".join(f"    ({number}, {number + 1}, 'number {number}'),\n" for number in range(60)) + "]\n",
        "[1] A. Smith, *On Footnotes* (1999)\n[2] B. Jones, *More Footnotes* (2001)\n" * 30,
        "see `f(1, 2)`\n(1, 2, 3)\n" * 30,
    ],
    ids=["prose", "log", "syslog", "code", "assigned", "references", "short"],
)
def test_texts_that_only_mention_values_are_left_to_others(text: str) -> None:
    assert split_json(text, LIMITS) is None


def test_a_value_deep_in_a_text_that_is_mostly_prose_is_left_to_others() -> None:
    prose = "The harbour was repaired before winter. Nobody asked why it took so long.\n" * 40
    assert layout_of(f"{prose}{json.dumps(records(3))}\n", LIMITS).kind != "json"


NESTED = st.recursive(
    st.one_of(st.integers(), st.text(" .\n\\\"'é𝄞abc", max_size=60)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("abc", max_size=3), inner, max_size=3)),
    max_leaves=8,
)
DOCUMENTS = st.lists(NESTED, min_size=3, max_size=5)
LINES = st.sampled_from(["Searching the harbour\n", "\n", "Exit code 0\n", "Two of them, it seems; well.\n", "--- next\n"])
LABELS = st.sampled_from(["", "", "Observation: ", "Result:\n"])
CHUNKS = st.builds(
    lambda label, value, indent, line: f"{label}{json.dumps(value, indent=indent)}\n{line}",
    LABELS,
    DOCUMENTS,
    st.sampled_from([None, 1]),
    LINES,
)


@given(st.lists(CHUNKS, min_size=1, max_size=4), st.data())
def test_whatever_is_kept_each_value_in_the_text_parses(chunks: list[str], data: st.DataObject) -> None:
    text = "Searching\n" + "".join(chunks)
    found = split_json(text, SMALL)
    if found is None:  # more text than values
        return
    check_layout(text, found)
    chosen = data.draw(st.sets(st.integers(0, len(found.units) - 1)))
    shown = rendered(text, found, set().union(*(found.with_needs(index) for index in chosen)))
    at = next_bracket(shown, 0)
    while at < len(shown):
        _, end = json.JSONDecoder().raw_decode(shown, at)
        at = next_bracket(shown, end)


def next_bracket(text: str, at: int) -> int:
    """Where the next value begins: no line of text here has brackets."""
    return min((found for found in (text.find("[", at), text.find("{", at)) if found >= 0), default=len(text))
