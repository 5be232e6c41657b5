"""How JSON that breaks off is cut: a tool shortened its own output, or a line did not fit."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.prompt.render import GapMarks, merge_spans, render
from specprefill_agents.prompt.units import layout_of
from specprefill_agents.prompt.units.json_values import looks_like_json, split_json
from specprefill_agents.prompt.units.layout import Layout, Limits, check_layout
from tests.layouts import unit_texts

LIMITS = Limits()
SMALL = Limits(min_chars=8, max_chars=24, block_chars=80)
MARKS = GapMarks("", "<…{original}>", note='; expand("sp-7")')
RECORDS = [
    {"id": number, "name": f"Person {number}", "about": f'{number} likes long walks and "short" words. ' * 2, "tags": ["one", None, 1.5e-3]}
    for number in range(8)
]
COMPACT = json.dumps(RECORDS)
INDENTED = json.dumps({"total": 8, "items": RECORDS}, indent=2)
FILE = json.dumps({"path": "a.py", "content": "".join(f"def f{number}(x):\n    return x * {number}\n\n\n" for number in range(60))})


def layout(text: str, limits: Limits = LIMITS) -> Layout:
    found = split_json(text, limits)
    assert found is not None
    assert looks_like_json(text)
    check_layout(text, found)
    return found


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


def test_records_before_the_break_are_cut_as_ever() -> None:
    text = COMPACT[: COMPACT.index('"id": 6') + 40]
    whole, broken = unit_texts(COMPACT, layout(COMPACT)), unit_texts(text, layout(text))
    assert broken[:-1] == whole[: len(broken) - 1]
    assert kept(text, '"id": 3') == f'["<…; expand(\\"sp-7\\")>", {json.dumps(RECORDS[3])}, "<…>"'


def test_the_tail_stays_as_it_was() -> None:
    text = COMPACT[: COMPACT.index('"id": 6') + 40]
    assert kept(text, '"id": 6') == '["<…; expand(\\"sp-7\\")>", ' + text[text.index('{"id": 6') :]


@pytest.mark.parametrize("note", ["\n... (truncated)", "\n[Output truncated: 40000 of 90000 characters shown]\n", "\n…\n", "\n"])
def test_a_note_behind_the_break_is_kept_with_what_is_kept(note: str) -> None:
    text = INDENTED[: INDENTED.index('"id": 6') + 20] + note
    assert kept(text, '"id": 3').endswith(f'"<…>"{note}')
    assert kept(text, '"total"').endswith(f'"<…; expand(\\"sp-7\\")>": null{note}')


def test_a_string_that_breaks_off_is_cut_inside() -> None:
    text = FILE[:2000]
    found = layout(text)
    assert found.gaps[-1] == "string"
    assert unit_texts(text, found)[1:3] == ['"path": "a.py", ', '"content": "']
    assert kept(text + "\n... (truncated)", "def f9(").endswith("<…>\n... (truncated)")
    shown = kept(text, "def f9(", '"path"')
    assert shown.startswith('{"path": "a.py", "content": "<…; expand(\\"sp-7\\")>\\n')
    assert json.loads(shown + '"}')["content"].splitlines()[1] in ("def f9(x):", "def f8(x):")


def test_a_break_after_one_record_of_json_lines_concerns_that_one_alone() -> None:
    lines = [json.dumps(record) for record in RECORDS]
    text = "\n".join(lines)[:-30]
    assert unit_texts(text, layout(text))[0] == unit_texts(lines[0] + "\n", layout(lines[0] + "\n"))[0]
    assert kept(text, '"id": 2').splitlines()[1] == lines[2]


def test_records_behind_a_missing_middle_are_found_again() -> None:
    middle = INDENTED.index('"id": 4')
    text = INDENTED[:middle] + "\n\n[... 4000 characters omitted ...]\n\n" + INDENTED[middle + 300 :]
    found = layout(text)
    assert kept(text, '"id": 6').count('"about"') == 1
    assert found.with_needs(next(i for i, piece in enumerate(unit_texts(text, found)) if '"id": 6' in piece)) < set(range(len(found.units)))


def test_what_breaks_off_in_a_text_is_found_behind_the_text() -> None:
    text = "Searching\nResult:\n" + COMPACT[:-200] + "\n... (truncated)\n"
    assert unit_texts(text, layout(text))[:2] == ["Searching\n", "Result:\n["]


def samples() -> list[str]:
    python = str(RECORDS)
    return [COMPACT, INDENTED, FILE, python, "\n".join(map(json.dumps, RECORDS)), f"Result: {COMPACT}\nExit code 0\n", json.dumps(COMPACT)]


@pytest.mark.parametrize("text", samples(), ids=["compact", "indented", "file", "python", "lines", "labelled", "quoted"])
def test_a_text_may_break_off_anywhere(text: str) -> None:
    for end in range(1, 500):
        check_layout(text[:end], layout_of(text[:end], SMALL))
    for end in range(500, len(text), 31):
        check_layout(text[:end], layout_of(text[:end], LIMITS))


@pytest.mark.parametrize("text", samples()[:5], ids=["compact", "indented", "file", "python", "lines"])
def test_wherever_it_breaks_off_it_is_recognised(text: str) -> None:
    for end in range(100, 500):
        layout(text[:end], SMALL)
    for end in range(500, len(text), 31):
        layout(text[:end])


@given(st.integers(600, len(COMPACT) - 1), st.sampled_from(["", "...", "… (truncated)", "\n[truncated]"]), st.data())
def test_complete_records_stay_complete_and_gaps_are_items(end: int, note: str, data: st.DataObject) -> None:
    text = COMPACT[:end] + note
    found = layout(text)
    behind = text.rfind("}, ", 0, end) + 3
    complete = [index for index, unit in enumerate(found.units) if unit.end <= behind]
    chosen: set[int] = set().union(*(found.with_needs(index) for index in data.draw(st.sets(st.sampled_from(complete), min_size=1))))
    shown = rendered(text, found, chosen & set(complete))
    records = json.loads(shown.rstrip(", ") + "]")
    rest = iter(RECORDS)
    assert all(record == "<…>" or "expand" in record or any(record == other for other in rest) for record in records)


@given(st.integers(0, len(INDENTED)), st.text('[]{}",:\\… \nab1', max_size=6), st.integers(0, 40))
def test_damage_anywhere_is_survived(at: int, damage: str, missing: int) -> None:
    text = INDENTED[:at] + damage + INDENTED[at + missing :]
    looks_like_json(text)
    found = split_json(text, LIMITS)
    if found is not None:
        check_layout(text, found)
