"""Tables: a row is never cut, the header goes with every row, footers stand alone."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.prompt.units.layout import Layout, Limits, check_layout
from specprefill_agents.prompt.units.table import looks_like_table, split_table
from tests.strategies import TEXTS
from tests.units.damage import damaged

LIMITS = Limits()

CSV = 'id,name,comment\n1,Ann,"hello, world"\n2,Bob,"two\nlines"\n3,Cid,"a ""quoted"" word"\n(3 rows)\n'
SEMICOLONS = "Name;Preis;Ort\nBrot;1,20;Ulm\nMilch;0,99;Bonn\nKaffee;5,49;Kiel\n"
TABS = "sample\tcount\nfirst\t12\nsecond\t7\nthird\t1\n"
PIPES = "id|name|place\n1|Ann|Ulm\n2|Bob|Bonn\n3|Cid|Kiel\n"
PSQL = """\
 id | name  | note
----+-------+------
  1 | Ann   | a  +
    |       | b
  2 | Bob   | c
(2 rows)

"""
MYSQL = """\
+----+-------+
| id | name  |
+----+-------+
|  1 | Ann   |
|  2 | Bob   |
|  3 | Cid   |
|  4 | Dora  |
+----+-------+
4 rows in set (0.00 sec)
"""
BOXES = """\
┌────┬───────┐
│ id │ name  │
├────┼───────┤
│  1 │ Ann   │
│    │ Smith │
├────┼───────┤
│  2 │ Bob   │
└────┴───────┘
"""
MARKDOWN = "| name | place |\n|:-----|------:|\n| Ann | Ulm |\n| Bob | Bonn |\n| Cid | Kiel |\n"
DASHES = "Package    Version\n---------- -------\nnumpy      1.26.0\npandas     2.0.1\n"
KUBECTL = """\
NAME                      READY   STATUS             RESTARTS   AGE
pod/web-7d4b9c6f5-abcde   1/1     Running            0          5d
pod/db-7d4b9c6f5-abcde    1/1     CrashLoopBackOff   12         5d

NAME          TYPE        CLUSTER-IP   EXTERNAL-IP   PORT(S)   AGE
service/web   ClusterIP   10.0.0.1     <none>        80/TCP    5d
service/db    ClusterIP   10.0.0.2     <none>        5432/TCP  5d
"""
DF = """\
Filesystem      Size  Used Avail Use% Mounted on
/dev/sda1        50G   20G   30G  40% /
tmpfs           7.8G     0  7.8G   0% /dev/shm
/dev/sdb1       100G   50G   50G  50% /data
"""
PS = """\
USER         PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND
root           1  0.0  0.1 168936 11872 ?        Ss   Jan01   0:12 /sbin/init
root           2  0.0  0.0      0     0 ?        S    Jan01   0:00 [kthreadd]
bob         1234  1.5  2.0 999999 99999 pts/0    Sl+  10:00   1:23 python -m http.server
"""
KINDS = [CSV, SEMICOLONS, TABS, PIPES, PSQL, MYSQL, BOXES, MARKDOWN, DASHES, KUBECTL, DF, PS]
NO_MERGING = Limits(min_chars=1)


def layout_of(text: str, limits: Limits = LIMITS) -> Layout:
    layout = split_table(text, limits)
    assert layout is not None
    check_layout(text, layout)
    return layout


def pieces(text: str, limits: Limits = NO_MERGING) -> list[str]:
    return [text[unit.start : unit.end] for unit in layout_of(text, limits).units]


@pytest.mark.parametrize("text", KINDS)
def test_tables_are_recognized(text: str) -> None:
    assert looks_like_table(text)
    assert looks_like_table(text.replace("\n", "\r\n"))


@pytest.mark.parametrize("text", KINDS)
def test_the_first_unit_is_the_header_and_all_rows_need_it(text: str) -> None:
    layout = layout_of(text.split("\n\n")[0].replace("rows", "x"), NO_MERGING)
    assert layout.needs[0] == ()
    assert set(layout.needs[1:]) <= {(0,), ()}
    assert layout.needs[1:3] == ((0,), (0,))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\n",
        "It was late, and it rained.\nNobody came, nobody called.\nThe end, at last.\nReally, it was.\nYes, it was.\n",
        "".join(f"Ann, the {n}th, came. She sat down, and left. Nobody saw.\n\n" for n in range(9)),
        "".join(f"Élise, {n} ans, est venue. Elle est partie, seule.\n\n" for n in range(9)),
        "2024-01-02 03:04:05,678 - INFO - started\n" * 9,
        "     1\timport os\n     2\timport sys\n     3\timport re\n",
        '"a": 1,\n"b": 2,\n"c": 3,\n"d": 4,\n"e": 5,\n',
        "f(a, b)\nf(c, d)\nf(e, f)\nf(g, h)\n",
        "AUTHORS.rst    LICENSE\nCHANGES.rst    README\nCODE.md        NOTICE\n",
        "Title\n-----\n\nSome words.\n\nOther\n-----\n\nMore words.\n",
    ],
)
def test_prose_logs_and_code_are_no_tables(text: str) -> None:
    assert not looks_like_table(text)
    assert split_table(text, LIMITS) is None


def test_a_row_with_line_breaks_in_a_quoted_cell_is_one_row() -> None:
    assert pieces(CSV) == [
        "id,name,comment\n",
        '1,Ann,"hello, world"\n',
        '2,Bob,"two\nlines"\n',
        '3,Cid,"a ""quoted"" word"\n',
        "(3 rows)\n",
    ]


def test_a_quote_that_is_never_closed_does_not_swallow_the_rows_after_it() -> None:
    text = "id,name,size\n" + '1,"x,5\n' + "2,y,6\n" * 300
    assert pieces(text)[1:3] == ['1,"x,5\n', "2,y,6\n"]


def test_blank_lines_between_rows_belong_to_the_row_before() -> None:
    assert pieces("id,name\n\n1,Ann\n\n2,Bob\n\n3,Cid\n\n4,Dora\n")[:2] == ["id,name\n\n", "1,Ann\n\n"]


def test_separators_inside_colour_codes_separate_no_cells() -> None:
    assert len(pieces("\x1b[1;31mid,name,place\x1b[0m\n" + "\x1b[1;31m1,Ann,Ulm\x1b[0m\n" * 5)) == 6
    assert split_table("\x1b[1;31ma;b;c\x1b[0m\n" * 9, LIMITS) is None


def test_negative_figures_make_a_table() -> None:
    assert len(pieces("x,y,z\n" + "-1.5,-2,-3\n" * 5)) == 6


def test_figures_are_no_header() -> None:
    assert set(layout_of("1,2,3\n4,5,6\n7,8,9\n", NO_MERGING).needs) == {()}


def test_values_that_come_again_are_no_header() -> None:
    assert set(layout_of("M\ta\nA\tb\nM\tc\n", NO_MERGING).needs) == {()}


def test_a_header_takes_its_rules_along_and_a_footer_stands_alone() -> None:
    assert pieces(MYSQL)[0] == "+----+-------+\n| id | name  |\n+----+-------+\n"
    assert pieces(MYSQL)[-1] == "+----+-------+\n4 rows in set (0.00 sec)\n"
    assert pieces(PSQL)[-1] == "(2 rows)\n\n"
    assert pieces(MARKDOWN)[0] == "| name | place |\n|:-----|------:|\n"


def test_wrapped_cells_stay_in_their_row() -> None:
    assert "  1 | Ann   | a  +\n    |       | b\n" in pieces(PSQL)
    assert "│  1 │ Ann   │\n│    │ Smith │\n├────┼───────┤\n" in pieces(BOXES)


def test_each_table_has_its_own_header() -> None:
    layout = layout_of(KUBECTL)
    assert layout.needs == ((), (0,), (0,), (), (3,), (3,))
    assert layout.blocks == (0, 0, 0, 1, 1, 1)


def test_short_rows_are_put_together_up_to_the_minimum() -> None:
    text = "id,name\n" + "".join(f"{number:04d},x\n" for number in range(20))
    assert [len(piece) for piece in pieces(text, LIMITS)] == [8, 49, 49, 42]


def test_a_header_as_large_as_a_block_is_not_dragged_along() -> None:
    names = ",".join(f"column{number}" for number in range(300))
    values = ",".join(map(str, range(300)))
    assert set(layout_of(f"{names}\n{values}\n{values}\n{values}\n").needs) == {()}


CELLS = st.text(st.sampled_from('ab1 ,;"\n|é語'), max_size=8)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=8, max_size=30), st.sampled_from(",;\t"))
def test_units_of_a_written_csv_parse_to_its_rows(rows: list[tuple[str, ...]], delimiter: str) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([("first", "second", "third"), *rows])
    text = buffer.getvalue()
    layout = split_table(text, NO_MERGING)
    assert layout is not None
    read = [row for piece in pieces(text) for row in csv.reader(io.StringIO(piece, newline=""), delimiter=delimiter)]
    assert read == [["first", "second", "third"], *map(list, rows)]
    assert len(layout.units) == len(rows) + 1


LINES = st.sampled_from([line for text in KINDS for line in text.splitlines(keepends=True)])
TABLES = st.one_of(
    st.sampled_from(KINDS), st.lists(LINES, max_size=30).map("".join), st.lists(st.sampled_from(KINDS), max_size=3).map("\n".join)
)
LIMIT_SETS = st.sampled_from([LIMITS, Limits(1, 2, 3), Limits(10, 20, 60), Limits(200, 800, 4000)])


@given(st.one_of(damaged(TABLES), TEXTS), LIMIT_SETS)
def test_any_text_gets_a_layout_or_none_with_short_needs(text: str, limits: Limits) -> None:
    layout = split_table(text, limits)
    if layout is not None:
        check_layout(text, layout)
        assert all(len(layout.with_needs(index)) <= 2 for index in range(len(layout.units)))
        assert looks_like_table(text)


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3\n" * 100_000,
        "a,b,c\n" * 10 + "a,b," + "x" * 1_000_000 + "\n",
        "a,b,c\n" * 10 + '"x,b,c\n' * 100_000,
        "x" * 1_000_000,
        "|" * 1_000_000,
        "|-" * 500_000,
        MARKDOWN + "| Ann | Ulm |\n" * 50_000,
        MYSQL + "+---+\n" * 50_000,
        KUBECTL + "\n" * 100_000,
        PS + PS.splitlines(keepends=True)[1] * 10_000,
    ],
)
def test_huge_texts_are_split_or_refused(text: str) -> None:
    layout = split_table(text, LIMITS)
    assert (layout is not None) == looks_like_table(text) == ("\n" in text)
    if layout is not None:
        check_layout(text, layout)
