"""Whatever is kept of JSON parses again and is part of what was there."""

from __future__ import annotations

import json
from collections.abc import Set

from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.prompt.units.json_notation import JSON, PRINTED
from specprefill_agents.prompt.units.json_scanner import read
from specprefill_agents.prompt.units.json_values import looks_like_json, split_json
from specprefill_agents.prompt.units.layout import Layout, Limits, check_layout

MARK = "… omitted"
LIMITS = st.builds(Limits, min_chars=st.integers(1, 12), max_chars=st.integers(4, 40), block_chars=st.integers(20, 120))

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.text(" .\n\\\"'é𝄞abc", min_size=20, max_size=120),
    st.sampled_from(["ann@example.org", '"],', "… 3 omitted", '": null', "\\", "a, b", "\ud800", "\x1b[31mred\x1b[0m"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=6), st.dictionaries(st.text(max_size=6), inner, max_size=6)),
    max_leaves=40,
)
DOCUMENTS = st.one_of(st.lists(VALUES, max_size=12), st.dictionaries(st.text(max_size=6), VALUES, max_size=8))
STYLES = st.fixed_dictionaries(
    {
        "indent": st.sampled_from([None, None, 0, 2, "\t"]),
        "separators": st.sampled_from([(",", ":"), (", ", ": "), (" ,\r\n", " :\t"), (",\r", ":")]),
        "ensure_ascii": st.booleans(),
    }
)
SPACE = st.sampled_from(["", " ", "\n", "\r\n\t", "  \n\n"])
TEXTS = st.builds(
    lambda before, value, style, after: before + json.dumps(value, **style) + after,
    SPACE,
    DOCUMENTS,
    STYLES,
    SPACE,
)
UGLY = st.sampled_from(
    ["", "\x00", "\r", "\t", "\ud800", "�", "\x1b[0m", "[… 3 lines omitted]", '"', "'", "\\", ",", "]", "}", "(", "\ufeff", "1", "-"]
)


@st.composite
def damaged(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    """A text with something put in the place of a few of its characters, or its end cut off."""
    text = draw(texts)
    start = draw(st.integers(0, len(text)))
    end = draw(st.sampled_from([start, start + 1, start + 3, len(text)]))
    return text[:start] + draw(UGLY) + text[end:]


def render(text: str, layout: Layout, kept: Set[int]) -> str:
    """The kept units, each gap marked as a string in a list, as a member in an object, inside a string, or in words."""
    result, gap = "", []
    for index in range(len(layout.units) + 1):
        if index < len(layout.units) and index not in kept:
            gap.append(index)
            continue
        if gap:
            result += mark(text[layout.units[gap[0]].start : layout.units[gap[-1]].end], layout.gaps[gap[0]])
            gap = []
        if index < len(layout.units):
            result += text[layout.units[index].start : layout.units[index].end]
    return result


def mark(hidden: str, form: str) -> str:
    inked = hidden.strip()
    comma = "," if inked.endswith(",") else ""
    space = hidden[len(hidden.rstrip()) :]
    marks = {"item": f'"{MARK}"{comma}{space}', "member": f'"{MARK}": null{comma}{space}', "string": MARK, "plain": f"[{MARK}]\n"}
    return marks[form]


def some_units(draw: st.DrawFn, layout: Layout) -> set[int]:
    """Any selection of units, and all that they need."""
    chosen = draw(st.sets(st.integers(0, len(layout.units) - 1)))
    return set().union(*(layout.with_needs(index) for index in chosen))


def is_part(kept: object, original: object) -> bool:
    """Whether `kept` is `original` with items, members and parts of strings left out, and marks in their places."""
    if isinstance(kept, dict) and isinstance(original, dict):
        return all(key == MARK or (key in original and is_part(value, original[key])) for key, value in kept.items())
    if isinstance(kept, list) and isinstance(original, list):
        rest = iter(original)
        return all(item == MARK or any(is_part(item, other) for other in rest) for item in kept)
    if isinstance(kept, str) and isinstance(original, str) and MARK in kept:
        return is_made_of(kept.split(MARK), original)
    return repr(kept) == repr(original)  # repr, for NaN equals itself there


def is_made_of(pieces: list[str], original: str) -> bool:
    """Whether `pieces` stand in `original` in this order: the first at its beginning, the last at its end, gaps between."""
    first, *inner, last = pieces
    at = len(first)
    for piece in inner:
        at = original.find(piece, at + 1) + len(piece)
        if at < len(piece):
            return False
    return original.startswith(first) and original.endswith(last) and at + len(last) < len(original)


@given(TEXTS, LIMITS, st.data())
def test_every_selection_with_its_needs_parses_and_is_part_of_the_document(text: str, limits: Limits, data: st.DataObject) -> None:
    layout = split_json(text, limits)
    assert layout is not None
    check_layout(text, layout)
    kept = render(text, layout, data.draw(st.composite(some_units)(layout)))
    assert json.loads(kept) == MARK or is_part(json.loads(kept), json.loads(text))


@given(TEXTS, LIMITS)
def test_every_single_unit_with_its_needs_parses(text: str, limits: Limits) -> None:
    layout = split_json(text, limits)
    assert layout is not None
    for index in range(len(layout.units)):
        assert is_part(json.loads(render(text, layout, layout.with_needs(index))), json.loads(text))


@given(TEXTS, LIMITS)
def test_a_document_of_which_nothing_is_kept_is_a_mark_that_parses(text: str, limits: Limits) -> None:
    layout = split_json(text, limits)
    assert layout is not None
    assert json.loads(render(text, layout, set())) == MARK


@given(st.lists(DOCUMENTS.map(json.dumps), min_size=2, max_size=4), LIMITS, st.sampled_from(["\n", "\r\n", "\n\n"]), st.data())
def test_every_line_kept_of_json_lines_parses(lines: list[str], limits: Limits, newline: str, data: st.DataObject) -> None:
    text = newline.join(lines) + newline
    layout = split_json(text, limits)
    assert layout is not None
    check_layout(text, layout)
    kept = render(text, layout, data.draw(st.composite(some_units)(layout)))
    records = [json.loads(line) for line in kept.split("\n") if line.strip() and line != f"[{MARK}]"]
    rest = iter(lines)
    assert all(any(is_part(record, json.loads(line)) for line in rest) for record in records)


@given(st.one_of(damaged(TEXTS), st.text(max_size=60), st.text('[]{}",:1e-. \\u0\n', max_size=20)))
def test_the_same_texts_are_read_as_by_json_loads(text: str) -> None:
    try:
        parses = isinstance(json.loads(text), (list, dict))
    except ValueError:
        parses = False
    reading = read(text, 0, JSON, leaf_chars=10, string_chars=20)
    assert parses == (len(reading.roots) == 1 and reading.end == len(text) and not reading.has_commas)


@given(st.one_of(damaged(TEXTS), damaged(DOCUMENTS.map(str)), st.text(max_size=200)), LIMITS)
def test_damaged_text_is_split_or_refused_but_never_raises(text: str, limits: Limits) -> None:
    looks_like_json(text)
    layout = split_json(text, limits)
    if layout is not None:
        check_layout(text, layout)
        assert any(bracket in text for bracket in '[{("')


@given(DOCUMENTS)
def test_whatever_python_prints_is_read(value: object) -> None:
    assert read(str(value), 0, PRINTED, leaf_chars=10, string_chars=20).end == len(str(value))
    assert looks_like_json(str(value))


@given(TEXTS)
def test_every_document_looks_like_json(text: str) -> None:
    assert looks_like_json(text)
