"""Code as tools show it: with line numbers, between notes of the tool, from any line of the file on, in long files."""

from __future__ import annotations

import pytest

from specprefill_agents.prompt.units.code import split_code
from specprefill_agents.prompt.units.code_lines import BLANK, FRAME, read_lines
from specprefill_agents.prompt.units.code_outline import FRAGMENT_CHARS, outline
from specprefill_agents.prompt.units.layout import Layout, Limits, check_layout
from tests.units.code_samples import FILES, JAVA, JAVASCRIPT, PYTHON, numbered

LIMITS = Limits()

INSIDE = {
    "python": "raise ValueError",
    "javascript": "isClosed",
    "tsx": "await onOrder",
    "java": "listener.delivered",
    "go": "strings.Cut",
    "rust": "*known += count;",
    "c": "return -1;",
    "cpp": "throw std",
}
HEADS = {
    "python": ["class Stock(Base):", "def load(self, path: Path) -> dict[str, int]:"],
    "javascript": ["export async function count(request, response) {"],
    "tsx": ["export const Row: React.FC<Props> = ({ article, onOrder }) => {"],
    "java": ["public class Stock extends Base {", "for (Listener listener : listeners) {"],
    "go": ["func (s *Stock) Load(path string) error {"],
    "rust": ["impl Stock {", "match self.counts.get_mut(article) {"],
    "c": ["stock_deliver(struct stock *stock, size_t article, int count)"],
    "cpp": ["namespace shop {", "class Stock : public Base<Count> {"],
}
"""A statement of each file, and heads that it stands under."""


def cut(text: str) -> Layout:
    layout = split_code(text, LIMITS)
    assert layout is not None
    check_layout(text, layout)
    return layout


def units(text: str) -> list[str]:
    return [text[unit.start : unit.end] for unit in cut(text).units]


def kept_with(text: str, words: str) -> str:
    layout, pieces = cut(text), units(text)
    (index,) = [index for index, piece in enumerate(pieces) if words in piece]
    return "".join(pieces[at] for at in sorted(layout.with_needs(index)))


@pytest.mark.parametrize("mark", ["\t", "→", ":", ": ", " | ", "  "])
@pytest.mark.parametrize("name", FILES)
def test_line_numbers_do_not_hide_what_a_statement_stands_under(name: str, mark: str) -> None:
    text = FILES[name]
    shown = numbered(text, first=997, mark=mark)
    starts = {unit.start for unit in cut(shown).units}
    assert all(start == 0 or shown[start - 1] == "\n" for start in starts)
    kept = kept_with(shown, INSIDE[name])
    for number, line in enumerate(text.split("\n"), 997):
        if line.strip() in HEADS[name]:
            assert f"{number:6d}{mark}{line}\n" in kept


def test_notes_of_the_tool_are_units_and_blocks_of_their_own() -> None:
    shown = "".join(f"{number}:{line}\n" for number, line in enumerate(PYTHON.rstrip("\n").split("\n"), 1))
    text = f"[File: /src/stock.py (40 lines total)]\n{shown}(Open file: /src/stock.py)\n$ "
    pieces, layout = units(text), cut(text)
    assert pieces[0] == "[File: /src/stock.py (40 lines total)]\n"
    assert pieces[-1] == "(Open file: /src/stock.py)\n$ "
    assert layout.blocks[0] < layout.blocks[1]
    assert layout.blocks[-1] > layout.blocks[-2]


def test_notes_are_known_without_line_numbers_too() -> None:
    text = f"[File: /src/stock.py (40 lines total)]\n(120 more lines above)\n{PYTHON}(3 more lines below)\n"
    assert units(text)[0] == "[File: /src/stock.py (40 lines total)]\n(120 more lines above)\n"
    assert units(text)[-1] == "(3 more lines below)\n"


def test_the_fences_of_a_block_are_not_code() -> None:
    text = f"```python\n{PYTHON}```\n"
    assert units(text)[0] == "```python\n"
    assert units(text)[-1] == "```\n"


def test_blank_lines_with_a_number_end_the_unit_before_them() -> None:
    text = numbered(PYTHON)
    assert not any(unit.lstrip(" 0123456789\t").startswith("\n") for unit in units(text))


def test_a_view_that_begins_inside_nested_blocks_goes_back_to_the_outer_ones() -> None:
    lines = PYTHON.split("\n")
    begin = next(index for index, line in enumerate(lines) if line.lstrip().startswith("raise"))
    text = numbered("\n".join(lines[begin:]), first=begin)
    kept = kept_with(text, "return self.counts.get")
    assert "def is_low" in kept
    assert "raise" not in kept


def test_a_view_that_begins_inside_a_docstring_takes_the_code_below_it_for_code() -> None:
    text = PYTHON[PYTHON.index("Counts are whole") :]
    assert any(unit.startswith("    columns = ") for unit in units(text))
    assert kept_with(text, "raise ValueError").startswith("    def load")


def test_a_view_that_begins_inside_a_comment_takes_the_code_below_it_for_code() -> None:
    text = "the counts of articles,\n   none of them below zero, if they can be counted at all\n */\n" + JAVA[JAVA.index("@Service") :]
    assert kept_with(text, "throw new StockException").startswith("@Service\npublic class Stock")


@pytest.mark.parametrize(
    ("text", "begin", "words", "head"), [(JAVA, "throw new", "listener.delivered", "for ("), (JAVASCRIPT, "return;", "503", "")]
)
def test_a_view_may_close_braces_that_it_does_not_open(text: str, begin: str, words: str, head: str) -> None:
    view = text[text.rindex("\n", 0, text.index(begin)) + 1 :]
    assert head in kept_with(view, words)


def test_a_long_class_keeps_its_methods_under_its_head() -> None:
    methods = "".join(
        f"    def method_{number}(self):\n        self.count += {number}\n        return self.count\n\n" for number in range(200)
    )
    text = f"import os\n\n\nclass Long(Base):\n{methods}\n\ndef after():\n    return Long()\n"
    assert len(text) > 3 * FRAGMENT_CHARS
    assert kept_with(text, "self.count += 137\n").startswith("class Long(Base):\n    def method_137")
    assert kept_with(text, "return Long()") == "def after():\n    return Long()\n"


def test_methods_of_a_long_script_class_are_no_calls_with_a_block_behind() -> None:
    log = "      this.emit('adding', value, options.reason);\n      this.log.info('something is about to be added');\n"
    body = f"    if (!options.silent) {{\n{log}      options.silent = this.wasTold(value);\n    }}\n"
    methods = "".join(f"  add{number}(value, options = {{}}) {{\n{body}    this.count += {number};\n  }}\n\n" for number in range(60))
    text = f"import {{ Base }} from './base.js';\n\nexport class Long extends Base {{\n{methods}}}\n"
    assert kept_with(text, "this.count += 41;") == (
        "export class Long extends Base {\n  add41(value, options = {}) {\n    this.count += 41;\n  }\n\n"
    )
    view = text[text.index("    this.count += 7;") : text.index("  add12(")]
    assert kept_with(view, "this.count += 9;") == "  add9(value, options = {}) {\n    this.count += 9;\n  }\n\n"


def test_a_string_at_the_left_margin_does_not_end_the_class_around_it() -> None:
    methods = "".join(f"    def method_{number}(self):\n        return self.count * {number} + len(self.names)\n\n" for number in range(80))
    query = '    def query(self):\n        return """\\\nselect count(*)\n\nfrom articles\nwhere count > 0\n"""\n\n'
    text = f"import os\n\n\nclass Long(Base):\n{methods}{query}{methods.replace('method', 'other')}"
    assert kept_with(text, "def other_41").startswith("class Long(Base):\n")
    assert "from articles\n" in kept_with(text, "select count(*)")


def test_a_signature_of_a_long_function_is_its_head() -> None:
    body = "".join(f"    value_{number} = compute_the_value(first, second, {number})\n" for number in range(120))
    text = f"import os\n\n\ndef long(\n    first: int,\n    second: int,\n) -> int:\n{body}    return value_7\n"
    assert kept_with(text, "value_99 =") == (
        "def long(\n    first: int,\n    second: int,\n) -> int:\n    value_99 = compute_the_value(first, second, 99)\n"
    )


def test_part_of_a_text_that_makes_no_sense_is_cut_by_lines() -> None:
    methods = "".join(f"def function_{number}(argument):\n    return argument * {number}\n\n\n" for number in range(300))
    prose = "These words ) are ( not code ] at all, however [ one reads them } from here { on.\n" * 60
    text = methods + prose + methods.replace("function", "other")
    assert any(unit.startswith("These words") for unit in units(text))
    assert kept_with(text, "def other_250(").endswith("    return argument * 250\n\n\n")


def test_lines_know_their_gutter_indent_and_frames() -> None:
    lines = read_lines("header\n 9\tdef f():\n10\t    return 1\n11\t\n12\t\treturn 2\n")
    assert lines.indents == [FRAME, 0, 4, BLANK, 8]
    assert lines.code(1, 4) == b"def f():\n    return 1\n\n"


def test_numbers_that_do_not_count_up_are_no_line_numbers() -> None:
    assert read_lines("12: a\n40: b\n7: c\n9: d\n").gutters == [0, 0, 0, 0]


def test_letters_of_other_scripts_and_control_characters_keep_their_places() -> None:
    text = "名前 = 'ü'\x00\x1b[31mred\x1b[0m\r\nx = 1\rnext \ud800\n"
    plain = read_lines(text).plain
    assert len(plain) == len(text)
    assert plain.startswith(b"xx = 'x'      red    \r\nx = 1 next x\n")


def test_fragments_are_small_and_tile_the_lines() -> None:
    text = (PYTHON * 12).replace('"""Stock of a shop."""\n', "")
    lines = read_lines(text)
    stretches = outline(lines)
    assert [stretch.first for stretch in stretches] == [0, *(stretch.last for stretch in stretches[:-1])]
    assert stretches[-1].last == len(lines)
    assert all(lines.size(stretch.first, stretch.last) <= FRAGMENT_CHARS for stretch in stretches)
