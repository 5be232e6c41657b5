"""What tools print is taken for what it is, with line numbers before it or without."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.prompt.units import DEFAULT_LIMITS, layout_of
from specprefill_agents.prompt.units.layout import check_layout
from tests.kinds import BY_KIND
from tests.units.damage import damaged
from tests.units.tool_outputs import JSX, OUTPUTS

CASES = [pytest.param(kind, text, id=f"{kind}: {name}") for kind, texts in OUTPUTS.items() for name, text in texts.items()]
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
NUMBERINGS: dict[str, Callable[[int, str], str]] = {
    "cat": lambda number, line: f"{number:6d}\t{line}",
    "colon": lambda number, line: f"{number}:{line}",
    "colon and space": lambda number, line: f"{number}: {line}",
    "colon after spaces": lambda number, line: f"{number:5d}: {line}",
    "bar": lambda number, line: f"{number:4d} | {line}",
    "arrow": lambda number, line: f"{number:6d}→{line}",
    "space": lambda number, line: f"{number:4d} {line}",
}


def numbered(text: str, numbering: Callable[[int, str], str], first: int = 1) -> str:
    return "".join(numbering(number, line) for number, line in enumerate(_LINE.findall(text), first))


@pytest.mark.parametrize(("kind", "text"), CASES)
def test_what_a_tool_prints_is_taken_for_what_it_is(kind: str, text: str) -> None:
    layout = layout_of(text, DEFAULT_LIMITS)
    check_layout(text, layout)
    assert layout.kind == kind


@pytest.mark.parametrize(("kind", "text"), CASES)
def test_carriage_returns_before_line_breaks_change_nothing(kind: str, text: str) -> None:
    assert (
        layout_of(text.replace("\r", "").replace("\n", "\r\n"), DEFAULT_LIMITS).kind
        == layout_of(text.replace("\r", ""), DEFAULT_LIMITS).kind
    )


@pytest.mark.parametrize("numbering", NUMBERINGS)
@pytest.mark.parametrize("first", [1, 96, 9_995])
def test_markup_in_code_is_no_log_behind_line_numbers(numbering: str, first: int) -> None:
    text = numbered(JSX, NUMBERINGS[numbering], first)
    assert layout_of(text, DEFAULT_LIMITS).kind == "code"
    check_layout(text, layout_of(text, DEFAULT_LIMITS))


@pytest.mark.parametrize("numbering", NUMBERINGS)
@pytest.mark.parametrize("kind", ["markdown", "log", "table", "markup", "diff", "json", "code"])
def test_a_file_shown_with_line_numbers_is_of_the_kind_that_it_is_without(kind: str, numbering: str) -> None:
    for text in OUTPUTS[kind].values():
        if text.count("\n") > 2 and "\r" not in text:
            shown = numbered(text, NUMBERINGS[numbering])
            assert layout_of(shown, DEFAULT_LIMITS).kind == kind
            check_layout(shown, layout_of(shown, DEFAULT_LIMITS))


def test_the_file_s_name_and_a_note_around_numbered_lines_change_nothing() -> None:
    text = (
        "[File: /srv/log.txt (90 lines total)]\n" + numbered(OUTPUTS["log"]["stack trace"], NUMBERINGS["cat"]) + "(69 more lines below)\n"
    )
    layout = layout_of(text, DEFAULT_LIMITS)
    check_layout(text, layout)
    assert layout.kind == "log"


@pytest.mark.parametrize("kind", BY_KIND)
@given(data=st.data())
def test_no_number_is_parted_from_its_line(kind: str, data: st.DataObject) -> None:
    text = data.draw(BY_KIND[kind].filter(lambda text: text.count("\n") > 2))
    numbering = NUMBERINGS[data.draw(st.sampled_from(sorted(NUMBERINGS)))]
    shown = numbered(text, numbering)
    layout = layout_of(shown, DEFAULT_LIMITS)
    check_layout(shown, layout)
    cuts = {unit.end for unit in layout.units}
    start = 0
    for number, line in enumerate(_LINE.findall(text), 1):
        bare = start + len(numbering(number, line)) - len(line)
        assert not cuts & set(range(start + 1, bare + 1))
        start = bare + len(line)


@given(damaged(st.sampled_from([text for texts in OUTPUTS.values() for text in texts.values()])), st.sampled_from(sorted(NUMBERINGS)))
def test_damaged_outputs_have_a_layout_too(text: str, numbering: str) -> None:
    for shown in (text, numbered(text, NUMBERINGS[numbering])):
        check_layout(shown, layout_of(shown, DEFAULT_LIMITS))
