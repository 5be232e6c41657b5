"""Search results and file lists: files are blocks, hits are whole, names stay with what stands below them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.prompt.units.grep import HIT_LIFT, looks_like_grep, split_grep
from specprefill_agents.prompt.units.layout import Layout, Limits, check_layout
from tests.strategies import TEXTS
from tests.units.damage import damaged

LIMITS = Limits()

NUMBERED = """\
src/app/main.py:12:def main(argv: list[str]) -> int:
src/app/main.py:40:    sys.exit(main(sys.argv[1:]))  # at 10:30:00
src/app/util.py:3:from app import main
src/app/util.py:9:x
src/app/util.py:10:y
Makefile:7:	python -m app.main
Binary file src/app/main.pyc matches
"""
CONTEXT = """\
src/my-file-2.py-10-import os
src/my-file-2.py:11:import main
src/my-file-2.py-12-src/other.py:13:a trap
--
src/my-file-2.py-80-def f():
src/my-file-2.py:81:    main()
--
lib/b.py-1-import main2
lib/b.py:2:import main
"""
PLAIN = """\
src/a.c:#include <stdio.h>
src/a.c:  printf("hello: %s", main);
include/b.h:int main(void);
"""
HEADED = """\
src/app/main.py
12:def main(argv):
40:    sys.exit(main(sys.argv[1:]))

src/app/util.py
3:from app import main
9-    context
"""
INDENTED = """\
Found 3 matches
/srv/app/x.py:
  Line 12: foo = 1
  Line 40: bar = foo

/srv/app/y.py:
  Line 3: import foo
"""
FOUND = """\
./src/app/main.py
./src/app/util.py
./src/lib/a file.py
./README.md
./docs
"""
LISTED = """\
.:
README.md
src

./src:
main.py
util.py
"""
LONG = """\
total 48
drwxr-xr-x 5 root root 4096 Jan  1 12:00 .
-rw-r--r-- 1 root root  123 Jan  1 12:00 README.md
-rw-r--r-- 1 root root 4523 Jan  1 12:00 setup.py
"""
KINDS = [NUMBERED, CONTEXT, PLAIN, HEADED, INDENTED, FOUND, LISTED, LONG]


def layout_of(text: str, limits: Limits = LIMITS) -> Layout:
    layout = split_grep(text, limits)
    assert layout is not None
    check_layout(text, layout)
    return layout


def blocks_of(text: str, limits: Limits = LIMITS) -> list[list[str]]:
    layout = layout_of(text, limits)
    blocks: list[list[str]] = [[] for _ in range(layout.blocks[-1] + 1)]
    for unit, block in zip(layout.units, layout.blocks, strict=True):
        blocks[block].append(text[unit.start : unit.end])
    return blocks


@pytest.mark.parametrize("text", KINDS)
def test_search_results_and_file_lists_are_recognized(text: str) -> None:
    assert looks_like_grep(text)
    assert looks_like_grep(text.replace("\n", "\r\n"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "He said: go and see.\nShe said: no and/or yes.\nThey said: why?\n",
        "12:30:45 foo bar\n12:31:45 foo bar\n12:32:45 foo bar\n",
        "src/app/main.py\n1:import os\n2:import sys\n3:\n4:def f():\n5:    return\n",
        "a.py:12: error: bad thing\na.py:13: error: bad thing\nb.py:13:5: error: bad thing\n",
        "name: x\nvalue: y\nother.key: z\n",
        "https://a.example/x\nhttps://b.example/y\nhttps://c.example/z\n",
        "apple\npear\nplum\n",
    ],
)
def test_prose_logs_listings_and_compilers_are_no_search_results(text: str) -> None:
    assert not looks_like_grep(text)
    assert split_grep(text, LIMITS) is None


def test_the_hits_of_a_file_are_a_block_and_short_ones_of_it_one_unit() -> None:
    lines = NUMBERED.splitlines(keepends=True)
    assert blocks_of(NUMBERED) == [lines[:2], ["".join(lines[2:4]), lines[4]], [lines[5]], [lines[6]]]


def test_lines_beside_a_hit_belong_to_its_file_however_it_is_named() -> None:
    assert ["".join(block) for block in blocks_of(CONTEXT)] == [CONTEXT[: CONTEXT.index("lib")], CONTEXT[CONTEXT.index("lib") :]]


def test_a_hit_is_lifted_over_the_lines_beside_it() -> None:
    layout = layout_of(CONTEXT)
    lifts = {CONTEXT[unit.start : unit.end]: lift for unit, lift in zip(layout.units, layout.lift, strict=True)}
    assert lifts["src/my-file-2.py:11:import main\n"] == HIT_LIFT
    assert lifts["src/my-file-2.py-10-import os\n"] == 0
    assert set(layout_of(NUMBERED).lift) == {0.0}


def test_hits_without_line_numbers_are_grouped_by_file() -> None:
    assert [len(block) for block in blocks_of(PLAIN)] == [1, 1]


@pytest.mark.parametrize("text", [HEADED, INDENTED, LISTED])
def test_what_stands_below_a_name_needs_the_name(text: str) -> None:
    layout = layout_of(text)
    for unit, needs in zip(layout.units, layout.needs, strict=True):
        piece = text[unit.start : unit.end]
        is_name = piece.startswith(("src/", "/srv", "./", ".:", "Found"))
        assert len(needs) == (0 if is_name else 1)
        assert all(layout.units[need].end <= unit.start for need in needs)


def test_a_name_and_its_hits_are_a_block() -> None:
    assert ["".join(block) for block in blocks_of(HEADED)] == [
        HEADED[: HEADED.index("src/app/util")],
        HEADED[HEADED.index("src/app/util") :],
    ]


def test_paths_are_grouped_by_folder() -> None:
    assert [block[0].split("\n")[0] for block in blocks_of(FOUND)] == ["./src/app/main.py", "./src/lib/a file.py", "./README.md"]


def test_a_very_long_hit_is_cut_and_its_pieces_need_the_one_with_the_path() -> None:
    layout = layout_of(NUMBERED + "dist/min.js:1:" + "var a = 1; " * 200 + "\n")
    first = layout.units.index(next(unit for unit in layout.units if unit.start == len(NUMBERED)))
    assert set(layout.needs[first + 1 :]) == {(first,)}


def test_coloured_hits_are_recognized() -> None:
    line = "\x1b[35msrc/a.py\x1b[0m\x1b[36m:\x1b[0m\x1b[32m{}\x1b[0m\x1b[36m:\x1b[0mfrom \x1b[1;31mapp\x1b[0m import main\n"
    text = "".join(line.format(number) for number in (3, 9, 27))
    assert blocks_of(text) == [text.splitlines(keepends=True)]


def test_windows_paths_are_paths() -> None:
    text = "C:\\src\\a.py:3:from app import main and other things\nC:\\src\\a.py:9:main()\nC:\\src\\b.py:1:main()\n"
    assert [len(block) for block in blocks_of(text)] == [2, 1]


LINES = st.sampled_from([line for text in KINDS for line in text.splitlines(keepends=True)])
RESULTS = st.one_of(
    st.sampled_from(KINDS),
    st.lists(LINES, max_size=30).map("".join),
    st.lists(st.sampled_from(["a/b.py:1:x\n", "a/b.py-2-y\n", "--\n", "\n", "c.py:3:\n", "a/b.py\n", "4:z\n", "dir:\n"]), max_size=30).map(
        "".join
    ),
)
LIMIT_SETS = st.sampled_from([LIMITS, Limits(1, 2, 3), Limits(10, 20, 60), Limits(200, 800, 4000)])


@given(st.one_of(damaged(RESULTS), TEXTS), LIMIT_SETS)
def test_any_text_gets_a_layout_or_none_with_short_needs(text: str, limits: Limits) -> None:
    layout = split_grep(text, limits)
    assert (layout is not None) == looks_like_grep(text)
    if layout is not None:
        check_layout(text, layout)
        assert all(len(layout.with_needs(index)) <= 3 for index in range(len(layout.units)))


@given(damaged(RESULTS))
def test_units_are_whole_lines_unless_a_line_is_long(text: str) -> None:
    layout = split_grep(text, LIMITS)
    for unit in layout.units if layout else ():
        line = text[text.rfind("\n", 0, unit.end - 1) + 1 : (text.find("\n", unit.end - 1) + 1) or len(text)]
        assert text.endswith("\n", 0, unit.end) or unit.end == len(text) or len(line) > LIMITS.max_chars


@pytest.mark.parametrize(
    "text",
    [
        NUMBERED + "src/app/main.py:99:" + "a" * 1_000_000,
        NUMBERED + "src/app/main.py" + "-1" * 500_000,
        NUMBERED + "\n" * 100_000,
        "a/b:1:x\n" * 100_000,
        "".join(f"dir{number}/f.py:1:x\n" for number in range(50_000)),
        "/".join(map(str, range(50_000))).replace("/", "\n/"),
        HEADED + "7:y\n" * 100_000,
    ],
)
def test_huge_results_are_split(text: str) -> None:
    layout_of(text)
