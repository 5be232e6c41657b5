"""What the benchmark of well-formed outputs reads of texts: marks, statements of code, tables."""

from __future__ import annotations

import json

import pytest

from benchmarks.made import made_text
from benchmarks.wellformed.marks import MarkReader, marks_in
from benchmarks.wellformed.syntax import pieces_of
from benchmarks.wellformed.tables import tables_in
from specprefill_agents import CompressionConfig
from tests.wellformed_samples import PYTHON, TABLE


@pytest.mark.parametrize(("template", "inside"), [("{}", ""), ('"{}",\n', ""), ('"{}": null,\n', ""), ("{}", '"')])
def test_a_mark_is_read_in_each_of_its_forms(template: str, inside: str) -> None:
    reader = MarkReader(CompressionConfig())
    words = '[… lines 3-9 omitted; full text: expand("sp-abcdefgh")]'
    text = "ab " + template.format(json.dumps(words, ensure_ascii=False)[1:-1] if inside or template != "{}" else words) + " cd"
    mark = reader.at(text, 3)
    assert mark is not None
    assert (mark.lines, mark.original_id) == ((3, 9), "sp-abcdefgh")
    assert text[mark.end :].strip() == "cd"
    assert reader.at(text, 0) is None
    assert reader.around("one […] two") == ["one ", " two"]
    assert [found.lines for found in marks_in("a\n[… lines 2-3 omitted]\nd\n", "a\nb\nc\nd\n", [(0, 2), (6, 8)], reader)] == [(2, 3)]


def test_statements_of_python_have_their_own_lines_and_heads() -> None:
    pieces = pieces_of(PYTHON)
    assert pieces is not None
    lines = PYTHON.split("\n")
    shown = {lines[piece.lines[0]].strip(): piece for piece in pieces}

    def heads(of: str) -> list[str]:
        return [lines[pieces[head].lines[0]].strip() for head in shown[of].heads]

    assert [lines[line] for line in shown["@cached"].lines] == ["@cached", "def price_of(kind, *, base):"]
    assert shown['"""What a kind costs.'].is_text
    assert not any("usual" in lines[line] for piece in pieces for line in piece.lines), "comments are nobody's own"
    assert heads("price = base * 3") == ["@cached", 'if kind == "lantern":', "elif kind in ("]
    assert heads("price = fetch(") == ["@cached", 'if kind == "lantern":', "else:"]
    assert heads('elif kind == "ferry": price = 2') == ["@cached", 'if kind == "lantern":']
    assert heads("pass") == ["@cached", "try:", "except ValueError:"]
    assert heads("close(); log()") == ["@cached", "try:", "finally:"]
    assert heads("return price") == ["@cached", "match price:", "case _:"]
    assert len(shown["elif kind in ("].lines) == len(shown["price = fetch("].lines) == 4


def numbered(text: str, first: int) -> str:
    """The lines of `text` from `first` on, as an editor shows them."""
    return "".join(f"{number}:{line}\n" for number, line in enumerate(text.split("\n")[first:-1], start=first + 1))


@pytest.mark.parametrize(
    ("view", "begins"),
    [
        ("```python\n" + PYTHON + "```\n", "import os"),
        ("[File: /x.py (40 lines total)]\n" + numbered(PYTHON, 0) + "(Open file: /x.py)\n", "1:import os"),
        (numbered(PYTHON + "x = 1\n", 7), f"{PYTHON.count(chr(10)) + 1}:x = 1"),
        (numbered(PYTHON + "if price(", 0), "1:import os"),
        (PYTHON.replace("\n", "\r\n"), "import os\r"),
    ],
)
def test_a_view_of_python_is_read_without_what_a_tool_added_and_what_it_cuts(view: str, begins: str) -> None:
    pieces = pieces_of(view)
    assert pieces is not None
    assert view.split("\n")[pieces[0].lines[0]] == begins


@pytest.mark.parametrize("kind", ["typescript", "go", "c"])
def test_statements_of_other_languages_are_the_smallest_ones(kind: str) -> None:
    text = made_text(kind, 2_000)
    pieces = pieces_of(text)
    assert pieces is not None
    lines = text.split("\n")
    assert any("total" in lines[piece.lines[0]] and len(piece.lines) == 1 for piece in pieces)
    assert all(len(piece.lines) < 12 for piece in pieces)


def test_text_that_is_no_code_has_no_statements() -> None:
    assert pieces_of("The ferry was sold (before winter.\nAnd so on.\n") is None
    assert pieces_of("a = 1\rb = 2\r") is None


@pytest.mark.parametrize(
    ("text", "header", "rows"),
    [
        (TABLE, "id,place,count,note\n", 30),
        ("a | b\n---+---\n1 | 2\n3 | 4\n(2 rows)\n", "a | b\n---+---\n", 2),
        ("+---+---+\n| a | b |\n+---+---+\n| 1 | 2 |\n| 3 | 4 |\n+---+---+\n", "+---+---+\n| a | b |\n+---+---+\n", 2),
        ("| a | b |\n| --- | ---: |\n| 1 | 2 |\n", "| a | b |\n| --- | ---: |\n", 1),
        ("NAME     AGE\nharbour  3d\nferry    4d\n", "NAME     AGE\n", 2),
        ("1,2,3\n4,5,6\n7,8,9\n", None, 3),
    ],
)
def test_tables_are_found_with_their_headers(text: str, header: str | None, rows: int) -> None:
    (table,) = tables_in(text)
    assert (text[slice(*table.header)] if table.header else None) == header
    assert len(table.rows) == rows
