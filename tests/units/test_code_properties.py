"""What holds for the layout of any code, whole or damaged, and for any other text that is taken for code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.prompt.units.code import looks_like_code, split_code
from specprefill_agents.prompt.units.code_languages import LANGUAGES
from specprefill_agents.prompt.units.code_lines import read_lines
from specprefill_agents.prompt.units.code_literals import without_literals
from specprefill_agents.prompt.units.code_outline import outline
from specprefill_agents.prompt.units.layout import Layout, Limits, check_layout
from tests.strategies import TEXTS
from tests.units.code_samples import CODE, FILES, PYTHON_FILES, numbered
from tests.units.damage import damaged

LIMITS = st.sampled_from([Limits(), Limits(1, 4, 10), Limits(20, 80, 300), Limits(48, 192, 10**6)])
VIEWS = st.builds(numbered, CODE, st.integers(1, 99_999), st.sampled_from(["\t", ":", " | "]))
MOST_NEEDS = 14
HEAD_CHARS = 400


def check_code(text: str, limits: Limits) -> Layout | None:
    layout = split_code(text, limits)
    if layout is not None:
        check_layout(text, layout)
        assert all(len(layout.with_needs(index)) <= MOST_NEEDS for index in range(len(layout.units)))
    return layout


@given(CODE, LIMITS)
def test_code_is_tiled_by_units_with_few_needs(text: str, limits: Limits) -> None:
    check_code(text, limits)


@given(damaged(CODE), LIMITS)
def test_damaged_code_is_tiled_too(text: str, limits: Limits) -> None:
    check_code(text, limits)


@given(damaged(VIEWS), LIMITS)
def test_damaged_views_with_line_numbers_are_tiled_too(text: str, limits: Limits) -> None:
    check_code(text, limits)


@given(TEXTS, LIMITS)
def test_any_text_is_tiled_or_refused(text: str, limits: Limits) -> None:
    check_code(text, limits)


@given(TEXTS)
def test_any_text_has_an_outline_and_plain_letters_in_the_same_places(text: str) -> None:
    lines = read_lines(text)
    assert len(lines.plain) == len(text) == lines.starts[-1]
    for language in LANGUAGES:
        stretches = outline(without_literals(lines, language))
        assert [stretch.first for stretch in stretches] + [len(lines)] == [0, *(stretch.last for stretch in stretches)]


@given(PYTHON_FILES)
def test_units_end_with_a_line_and_begin_with_code(text: str) -> None:
    layout = check_code(text, Limits())
    for unit in layout.units if layout else ():
        assert text[unit.start : unit.end].endswith("\n")
        assert unit.start == 0 or not text[unit.start : unit.end].startswith("\n")


@given(CODE)
def test_a_needed_unit_is_short_and_stands_before_all_but_comments(text: str) -> None:
    layout = check_code(text, Limits())
    for index, needs in enumerate(layout.needs if layout else ()):
        for need in needs:
            assert layout is not None
            assert layout.units[need].end - layout.units[need].start <= HEAD_CHARS
            assert need < index or text[layout.units[index].start :].lstrip().startswith(("#", "/"))


@given(CODE)
def test_the_same_text_has_the_same_layout(text: str) -> None:
    assert split_code(text, Limits()) == split_code(text, Limits())


WORST = {
    "one line": "def f(): return g(1); " * 45_000,
    "one long word": "import os\n\ndef f():\n    return 1\n" + "x" * 1_000_000,
    "a million lines": "x\n" * 1_000_000,
    "many statements": "import a\n" * 60_000,
    "deep blocks": "".join(" " * depth + f"if x{depth}:\n" for depth in range(800)),
    "deep braces": "int f() {\n  return 1;\n}\n" * 3 + "".join(" " * (depth % 300) + "{\n" for depth in range(20_000)),
    "open brackets": "int f() {\n  return 1;\n}\n" * 3 + "{" * 500_000,
    "closing brackets": "int f() {\n  return 1;\n}\n" * 3 + "}\n" * 50_000,
    "long else chain": "def f(x):\n    if x == 0:\n        return 0\n"
    + "".join(f"    elif x == {n}:\n        return {n}\n" for n in range(5_000)),
    "quotes": "import os\n\ndef f():\n    return 1\n" * 3 + '"""\n' * 20_000,
    "comments that never close": "int f() {\n  return 1;\n}\n" * 3 + "/*\n" * 5_000,
    "generics": "import java.util.List;\npublic class A {\n  private int a;\n}\n" * 3 + "a<" * 20_000 + "\n" + "*x=\n" * 4_000,
}

JAVA_START = "import java.util.List;\npublic class A {\n  private int a;\n}\n" * 300
RUST_START = "use std::io;\nfn main() {\n    let x = 1;\n}\n" * 300
C_START = "#include <a.h>\nint f(void) {\n    return 1;\n}\n" * 300
WORST |= {
    "Java that misleads a parser": JAVA_START + ("*x=" * 20 + "\n") * 400,
    "Rust that misleads a parser": RUST_START + ("+a(" * 20 + "\n") * 400,
    "C that misleads a parser": C_START + ("=>fn " * 15 + "\n") * 400,
}
"""The last three send a parser on a search that, without bounds, takes minutes and gigabytes."""


@pytest.mark.parametrize("name", WORST)
def test_the_worst_texts_are_cut_or_refused(name: str) -> None:
    check_worst(WORST[name])


def check_worst(text: str) -> None:
    assert looks_like_code(text) or split_code(text, Limits()) is None
    layout = split_code(text, Limits())
    if layout is not None:
        check_layout(text, layout)
        assert all(len(layout.with_needs(index)) <= MOST_NEEDS for index in range(0, len(layout.units), 97))


def test_a_megabyte_of_code_is_cut_like_its_parts() -> None:
    part = FILES["python"].replace('"""Stock of a shop."""\n', "")
    few, many = split_code(part * 3, Limits()), split_code(part * 600, Limits())
    assert few is not None
    assert many is not None
    check_layout(part * 600, many)
    assert abs(len(many.units) / 600 - len(few.units) / 3) < 2
