"""Source code is cut at statements, and a statement drags the heads along that it stands under."""

from __future__ import annotations

import sys

import pytest

from specprefill_agents.prompt.units import code_languages
from specprefill_agents.prompt.units.code import looks_like_code, split_code
from specprefill_agents.prompt.units.code_layout import STATEMENT_LIFT
from specprefill_agents.prompt.units.layout import Layout, Limits, check_layout
from tests.units.code_samples import CPP, FILES, GO, JAVA, JAVASCRIPT, PYTHON, RUST, TSX, C

LIMITS = Limits()


def cut(text: str, limits: Limits = LIMITS) -> Layout:
    layout = split_code(text, limits)
    assert layout is not None
    check_layout(text, layout)
    assert layout.kind == "code"
    return layout


def units(text: str, layout: Layout) -> list[str]:
    return [text[unit.start : unit.end] for unit in layout.units]


def unit_with(text: str, layout: Layout, words: str) -> int:
    (index,) = [index for index, unit in enumerate(units(text, layout)) if words in unit]
    return index


def kept_with(text: str, words: str, limits: Limits = LIMITS) -> str:
    layout = cut(text, limits)
    return "".join(units(text, layout)[index] for index in sorted(layout.with_needs(unit_with(text, layout, words))))


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_every_language_is_recognised_and_cut_at_line_ends(name: str) -> None:
    text = FILES[name]
    assert looks_like_code(text)
    assert all(unit.endswith("\n") for unit in units(text, cut(text)))


@pytest.mark.parametrize("name", FILES)
def test_what_a_statement_drags_along_is_a_few_short_units(name: str) -> None:
    text = FILES[name]
    layout = cut(text)
    for index, unit in enumerate(layout.units):
        needs = layout.with_needs(index) - {index}
        assert len(needs) <= 6
        assert sum(layout.units[need].end - layout.units[need].start for need in needs) < 300, text[unit.start : unit.end]


def test_a_statement_needs_the_heads_of_all_that_it_stands_in() -> None:
    assert kept_with(PYTHON, "raise ValueError") == (
        '@register("stock")\nclass Stock(Base):\n'
        "    def load(self, path: Path) -> dict[str, int]:\n"
        '        with path.open(newline="", encoding="utf-8") as file:\n'
        '            for article, count in csv.reader(file, delimiter=";"):\n'
        "                if article in counts and int(count) != counts[article]:\n"
        '                    raise ValueError(f"article {article} is listed twice in {path}")\n'
    )


def test_an_else_branch_needs_the_if() -> None:
    text = PYTHON.replace("lines.sort()", "lines.sort(key=lambda line: line[1])\n        lines.append('that is all there is')")
    text = text.replace('return "everything is low"', "LOG.warning('everything is low in this stock, which is odd')\n        return None")
    kept = kept_with(text, "lines.append")
    assert "    if not lines:\n" in kept
    assert "    else:\n" in kept
    assert "everything is low" not in kept


def test_closing_braces_stay_with_the_statement_before_them() -> None:
    layout = cut(JAVA)
    assert units(JAVA, layout)[-1] == "    public int count(String article) {\n        return counts.getOrDefault(article, 0);\n    }\n}\n"
    assert "}\n    }\n\n" in units(JAVA, layout)[unit_with(JAVA, layout, "listener.delivered")]


def test_a_brace_that_goes_on_with_else_begins_the_next_branch() -> None:
    layout = cut(JAVASCRIPT)
    branch = unit_with(JAVASCRIPT, layout, "} else if (store.isClosed) {")
    assert units(JAVASCRIPT, layout)[branch].startswith("  } else if")
    assert layout.needs[branch] == (unit_with(JAVASCRIPT, layout, "if (!store.has"),)


def test_a_small_compound_statement_is_one_unit() -> None:
    text = PYTHON + "\nfor name in names:\n    if name:\n        print(name)\n"
    assert "for name in names:\n    if name:\n        print(name)\n" in units(text, cut(text))


def test_a_statement_of_several_lines_is_whole() -> None:
    call = "result = compute_the_report(\n    stock,\n    articles=['bolt', 'nut', 'washer'],\n    title='what is left of them',\n)\n"
    text = PYTHON + "\n" + call
    assert units(text, cut(text))[-1] == call


def test_a_long_table_is_cut_between_its_rows_and_each_row_needs_its_head() -> None:
    rows = [f'    "article {number}": {{"count": {number}, "price": {number}.50, "place": "shelf"}},\n' for number in range(20)]
    text = (
        "import shop\n\nTABLE = {\n" + "".join(rows) + "}\n\n\ndef total(table):\n    return sum(row['count'] for row in table.values())\n"
    )
    layout = cut(text)
    assert kept_with(text, '"article 7"') == "TABLE = {\n" + rows[7]
    assert units(text, layout)[unit_with(text, layout, '"article 19"')] == rows[19] + "}\n\n\n"


def test_short_statements_are_joined_but_not_across_a_blank_line() -> None:
    text = "import shop\n\na = 1\nb = 2\n\nc = 3\n\n\ndef total():\n    return a + b + c\n"
    assert units(text, cut(text))[1:3] == ["a = 1\nb = 2\n\n", "c = 3\n\n\n"]


def test_docstrings_and_comments_are_apart_from_statements_and_below_them() -> None:
    layout = cut(PYTHON)
    for index, unit in enumerate(units(PYTHON, layout)):
        is_text = unit.lstrip().startswith(('"""', "#", "Counts are")) or unit.startswith(("import", "from"))
        assert layout.lift[index] == (0 if is_text else STATEMENT_LIFT), unit


def test_a_comment_above_a_definition_needs_it_and_shares_its_block() -> None:
    layout = cut(PYTHON)
    comment, head = unit_with(PYTHON, layout, "# Reads what"), unit_with(PYTHON, layout, "class Stock")
    assert layout.needs[comment] == (head,)
    assert layout.blocks[comment] == layout.blocks[head] == layout.blocks[comment - 1] + 1


@pytest.mark.parametrize(("text", "attribute", "definition"), [(RUST, "#[inline]", "pub fn deliver"), (JAVA, "@Override", "void deliver")])
def test_attributes_and_annotations_stay_with_the_signature(text: str, attribute: str, definition: str) -> None:
    layout = cut(text)
    assert unit_with(text, layout, attribute) == unit_with(text, layout, definition)


def test_a_signature_of_several_lines_is_one_unit() -> None:
    assert "static int\nstock_deliver(struct stock *stock, size_t article, int count)\n{\n" in units(C, cut(C))


def test_each_function_is_a_block_and_so_is_a_small_class() -> None:
    layout = cut(PYTHON)
    report = {layout.blocks[unit_with(PYTHON, layout, words)] for words in ("def report", "everything is low", 'return "\\n"')}
    assert len(report) == 1
    stock = {layout.blocks[unit_with(PYTHON, layout, words)] for words in ("class Stock", "columns =", "def load", "def is_low")}
    assert len(stock) == 1
    assert report != stock


def test_a_large_class_is_one_block_per_method() -> None:
    layout = cut(PYTHON, Limits(block_chars=600))
    blocks = [layout.blocks[unit_with(PYTHON, layout, words)] for words in ("class Stock", "def load", "return counts", "def is_low")]
    assert blocks[0] < blocks[1] == blocks[2] < blocks[3]


@pytest.mark.parametrize(
    ("text", "first", "last"), [(PYTHON, "import csv", "from pathlib"), (JAVA, "HashMap;", "Map;"), (GO, "import (", '"os"')]
)
def test_imports_are_a_block(text: str, first: str, last: str) -> None:
    layout = cut(text)
    blocks = [layout.blocks[index] for index, unit in enumerate(units(text, layout)) if first in unit or last in unit]
    assert len(set(blocks)) == 1


def test_an_arrow_function_that_is_given_a_name_is_a_definition() -> None:
    layout = cut(TSX)
    head, body = unit_with(TSX, layout, "export const Row"), unit_with(TSX, layout, "await onOrder")
    assert layout.needs[body] == (head,)
    assert layout.blocks[head] == layout.blocks[body] == layout.blocks[head - 1] + 1


def test_markup_in_code_is_cut_between_elements() -> None:
    text = TSX.replace("<td title", '<td colSpan={2} className="name" title')
    assert any(unit.startswith("      <td colSpan") and unit.endswith("</td>\n") for unit in units(text, cut(text)))


def test_members_of_a_template_stand_under_class_and_namespace() -> None:
    text = CPP.replace("counts_[article] += count;", "counts_[article] += count;\n" + "        log(article, count);\n" * 8)
    kept = kept_with(text, "throw std::length_error")
    assert "template <typename Count>\nclass Stock" in kept
    assert "void deliver(" in kept


def test_deep_nesting_drags_along_a_handful_of_heads() -> None:
    body = "".join(
        "    " * depth + f"if condition_number_{depth}(argument, other_argument) and not is_ready({depth}):\n" for depth in range(1, 30)
    )
    text = "import os\n\n\ndef deep():\n" + body + "    " * 30 + "return 1\n"
    layout = cut(text)
    assert max(len(layout.with_needs(index)) for index in range(len(layout.units))) <= 8


def test_code_with_a_syntax_error_is_still_code() -> None:
    layout = cut(PYTHON.replace("def is_low(self, article: str) -> bool:", "def is_low(self, article: str) -> bool"))
    assert len(set(layout.blocks)) > 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n\n",
        "The shop is open from nine to five. If you want to return an article, bring the receipt with you.\n" * 20,
        "for example:\n\nif you are in doubt, ask. import and export are different things.\n\nwith the following:\n" * 5,
        '{"def": "class", "return": [1, 2, 3], "import": {"from": "here"}}\n' * 30,
        "2024-05-01 10:00:00 ERROR import failed: cannot import name 'x'\n2024-05-01 10:00:01 INFO return code 1\n" * 20,
        "name,count,price\nbolt,4,0.50\nnut,9,0.20\n" * 20,
        "# Heading\n\nSome text about `code`, see [this](there).\n\n* one\n* two\n\n" * 10,
        '[tool]\nname = "x"\nversions = [1, 2]\n\n[other]\nkey = true\n' * 10,
        "name: shop\nservices:\n  web:\n    image: nginx\n    ports:\n      - 80:80\n" * 10,
    ],
)
def test_other_texts_are_not_code(text: str) -> None:
    assert not looks_like_code(text) or split_code(text, LIMITS) is None


def test_without_a_grammar_the_text_is_left_to_other_splitters(monkeypatch: pytest.MonkeyPatch) -> None:
    code_languages.grammar_of.cache_clear()
    monkeypatch.setitem(sys.modules, "tree_sitter_python", None)
    try:
        assert split_code(PYTHON, LIMITS) is None
    finally:
        code_languages.grammar_of.cache_clear()
