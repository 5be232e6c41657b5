"""What a statement stands under is found where lines mislead: long heads, comments at the left margin, views from any line on."""

from __future__ import annotations

import pytest

from specprefill_agents.prompt.units.code import split_code
from specprefill_agents.prompt.units.code_languages import likely_languages
from specprefill_agents.prompt.units.code_lines import BLANK, read_lines
from specprefill_agents.prompt.units.code_literals import INSIDE, without_literals
from specprefill_agents.prompt.units.code_outline import FRAGMENT_CHARS
from specprefill_agents.prompt.units.layout import Layout, Limits, check_layout

LIMITS = Limits()
METHODS = "".join(
    f"    def method_{number}(self, values):\n        self.count += {number}\n        return [value * self.count for value in values]\n\n"
    for number in range(60)
)
"""Methods of a class, longer than a fragment."""


def cut(text: str) -> Layout:
    layout = split_code(text, LIMITS)
    assert layout is not None
    check_layout(text, layout)
    return layout


def kept_with(text: str, words: str) -> str:
    layout = cut(text)
    pieces = [text[unit.start : unit.end] for unit in layout.units]
    (index,) = [index for index, piece in enumerate(pieces) if words in piece]
    return "".join(pieces[at] for at in sorted(layout.with_needs(index)))


def numbered(text: str, first: int) -> str:
    return "".join(f"{number}:{line}\n" for number, line in enumerate(text.rstrip("\n").split("\n"), first))


@pytest.mark.parametrize(
    ("opener", "branch", "last"),
    [
        ("if kind == 'none':\n    size = None", "elif kind == 'kind {}':", "else:"),
        ("try:\n    size = read()", "except Error{}:", "finally:"),
    ],
)
def test_a_short_branch_in_a_long_row_is_kept_with_its_own_head(opener: str, branch: str, last: str) -> None:
    branches = "".join(f"{branch.format(number)}\n    size = compute_the_size(table, {number})\n" for number in range(12))
    text = f"import sizes\n\n{opener}\n{branches}{last}\n    size = compute_the_size(table)\n"
    assert kept_with(text, "(table, 7)") == f"{opener.split(chr(10))[0]}\n{branch.format(7)}\n    size = compute_the_size(table, 7)\n"
    assert kept_with(text, "(table)\n") == f"{opener.split(chr(10))[0]}\n{last}\n    size = compute_the_size(table)\n"


def test_the_head_of_a_branch_is_whole_where_its_condition_is_long() -> None:
    condition = "".join(f"        {'or' if number else '  '} state.distribution == Distribution.SORT_{number}\n" for number in range(7))
    body = "        value = value.moved_to(state.device)\n        broadcast(value, 0)\n        value = value.moved_back()\n"
    text = (
        f"import state\n\n\ndef move(value):\n    if value is None:\n{body}    elif (\n{condition}    ):\n{body.replace('value', 'other')}"
    )
    text += body.replace("value", "third").replace("        ", "    ")
    assert kept_with(text, "broadcast(other, 0)").startswith("def move(value):\n    if value is None:\n    elif (\n")


def test_a_comment_inside_a_condition_does_not_end_it() -> None:
    condition = """(data.is_record(value) and
            not isinstance(value, type) and
            # Only what was generated can be shown.
            hasattr(value.__repr__, '__wrapped__') and
            'create' in value.__repr__.__wrapped__.__qualname__):
"""
    body = "        show_record(value, stream, context, level=context.level + 1)\n        del context[id(value)]\n"
    text = f"import data\n\n\ndef show(value, context, stream):\n    if value is None:\n        return 1\n    elif {condition}{body}"
    kept = kept_with(text, "del context")
    assert kept.startswith("def show(value, context, stream):\n    if value is None:\n    elif (data.is_record(value) and\n")
    assert "__qualname__):\n" in kept


def test_a_comment_above_the_first_statement_of_a_body_is_apart_from_the_head() -> None:
    text = (
        "import a\n\n\ndef deliver(stock):\n    # Whatever arrives is counted twice, by two people who do not know one another.\n"
        + "".join(f"    stock.count('article {number}', by=first, checked_by=second)\n" for number in range(8))
    )
    assert "# Whatever" not in kept_with(text, "'article 5'")


@pytest.mark.parametrize(
    "head",
    [
        "@register(\n    name='stock',\n    about='''\n    Counts are whole.\n\n    None is below zero.\n    ''',\n)\nclass Long(Base):\n",
        "@register(name='stock',\n          about='counts of articles')\nclass Long(Base):\n",
        "class Long(  # one of many\n    Base,\n    Other,\n    metaclass=Meta,\n):\n",
        "class Long(Base,\n           Other[int]):\n",
    ],
)
def test_the_first_line_of_a_head_of_several_lines_is_kept_with_a_method_of_a_long_class(head: str) -> None:
    text = f"import os\n\nLIMIT = 3\n\n\n{head}{METHODS}\n\ndef after():\n    return Long(LIMIT)\n"
    assert len(METHODS) > FRAGMENT_CHARS
    kept = kept_with(text, "self.count += 41\n")
    assert kept.startswith(head.split("\n")[0] + "\n")
    assert "class Long(" in kept
    assert kept_with(text, "return Long(") == "def after():\n    return Long(LIMIT)\n"


@pytest.mark.parametrize("comment", ["##  def old(self):\n##      return 1\n\n", "# if all else fails\n", "#\n# elif\n#\n"])
def test_a_comment_at_the_left_margin_does_not_end_the_class_around_it(comment: str) -> None:
    others = METHODS.replace("method", "other").replace("count", "other")
    text = f"import os\n\n\nclass Long(Base):\n{METHODS}{comment}{others}"
    assert kept_with(text, "self.other += 41\n").startswith("class Long(Base):\n    def other_41(self, values):\n")


def test_a_comment_above_an_else_does_not_part_it_from_the_if_in_long_code() -> None:
    body = "".join(f"            self.value_{number} = compute_the_value(first, second, {number})\n" for number in range(80))
    text = (
        f"import os\n\n\ndef long(values, first, second):\n    for value in values:\n        if value:\n{body}"
        f"        # undecided yet\n        # elif value is None:\n        #     pass\n        else:\n{body.replace('value_', 'other_')}"
    )
    kept = kept_with(text, "self.other_41 =")
    assert kept.startswith("def long(values, first, second):\n    for value in values:\n        if value:\n")
    assert "        else:\n" in kept


def test_no_unit_is_blank_below_a_comment_longer_than_a_fragment() -> None:
    comment = "".join(
        f"# The value {number} is computed from the first and the second one, and from what came before.\n" for number in range(60)
    )
    methods = METHODS.replace("    def", "    async def")
    text = f"import os\n\n\ndef before(values):\n    return values\n\n\n{comment}\ndef after(values):\n{methods}"
    assert len(comment) > FRAGMENT_CHARS
    assert not any(text[unit.start : unit.end].isspace() for unit in cut(text).units)


def test_a_string_that_goes_on_at_the_left_margin_does_not_end_the_function_around_it() -> None:
    body = "".join(f"    value_{number} = compute_the_value(first, second, {number})\n" for number in range(60))
    string = '    text = "shape of \\\n{first} and \\\n{second}"\n'
    text = f"import os\n\n\ndef long(first, second):\n{body}{string}{body.replace('value_', 'other_')}"
    assert kept_with(text, "other_41 =").startswith("def long(first, second):\n")
    assert '    text = "shape of' in kept_with(text, '{second}"')


def test_items_in_brackets_need_the_statement_they_are_in_however_deep_it_stands() -> None:
    heads = "".join("    " * depth + f"if condition_number_{depth}(argument):\n" for depth in range(1, 9))
    arguments = "".join("    " * 10 + f"argument_{number}=compute_the_argument(first, second),\n" for number in range(12))
    text = f"import os\n\n\ndef deep(argument):\n{heads}{'    ' * 9}call(\n{arguments}{'    ' * 9})\n"
    kept = kept_with(text, "argument_7=")
    assert "    call(\n" in kept
    assert kept.startswith("def deep(argument):\n    if condition_number_1(argument):\n")
    layout = cut(text)
    assert max(len(layout.with_needs(index)) for index in range(len(layout.units))) <= 8


EXAMPLE = "".join(f"        class Article{number}(Base):\n            def count(self):\n                return 1\n" for number in range(5))


@pytest.mark.parametrize("first", [0, 995])
@pytest.mark.parametrize(
    ("text", "last"),
    [
        ('Counts are whole,\nand so on.\n"""\nimport os\n\n\ndef f(x):\n    """Do it.\n\n    Or not."""\n    return x\n', 3),
        ('\nand so on.\n"""\nvalue = 1\nother = f"{value}"\nself.value = 1\nself.other = 1\n', 3),
        (f'"""Articles."""\n\nclass Base:\n    """What there is.\n\n{EXAMPLE}    """\n\n    limit = 3\n', 0),
        (f'"""Articles.\n\n{EXAMPLE}\'\'\'\n"""\n\nclass Base:\n    limit = 3\n', 0),
    ],
)
def test_where_the_literal_ends_that_a_text_begins_inside_is_told_from_both_readings(text: str, last: int, first: int) -> None:
    lines = read_lines(numbered(text, first) if first else text)
    indents = without_literals(lines, likely_languages(text)[0]).indents
    assert [indent for indent in indents[:last] if indent != BLANK] == [INSIDE] * len([line for line in text.split("\n")[:last] if line])
    assert indents[last] != INSIDE


@pytest.mark.parametrize("blank", ["", "\n"])
def test_a_numbered_view_that_begins_inside_a_docstring_keeps_code_under_its_heads(blank: str) -> None:
    other = 'class Other(Base):\n    """Another one.\n\n    It has no columns.\n    """\n\n'
    view = f'{blank}    Counts are whole numbers.\n    """\n\n{METHODS}\n{other}'
    text = numbered(view + METHODS.replace("method", "other").replace("count", "other"), first=995)
    head = f"{995 + view.split(chr(10)).index('class Other(Base):')}:class Other(Base):\n"
    assert kept_with(text, "self.other += 41\n").startswith(head)
    assert "class Other" not in kept_with(text, "self.count += 41\n")
    assert "def method_41(self, values):" in kept_with(text, "self.count += 41\n")


@pytest.mark.parametrize(
    "begin",
    [
        "        else:\n            value = (first, second)\n        return value\n    elif kind == Kind.SECOND:\n        return 2\n",
        "        except KeyError as error:\n            raise ValueError(key) from error\n        return 2\n",
        "            return 2\n        except KeyError as error:\n            raise ValueError(key) from error\n        return 2\n",
    ],
)
def test_a_view_that_begins_in_a_branch_keeps_what_follows_under_its_heads(begin: str) -> None:
    text = f'{begin}\n\nclass After(Base):\n    """What comes after."""\n\n    limit: int = 3\n\n{METHODS[:2000]}\n'
    assert kept_with(text, "limit: int").startswith("class After(Base):\n")
    assert kept_with(text, "self.count += 7\n").startswith("class After(Base):\n    def method_7(self, values):\n")


def test_the_marks_of_a_cursor_part_nothing_from_its_heads() -> None:
    lines = [f"{number}:{line}\n" for number, line in enumerate(METHODS.rstrip("\n").split("\n"), 2)]
    at = next(index for index, line in enumerate(lines) if "self.count += 41" in line)
    lines[at:at] = ["<<<<< START CURSOR >>>>>\n"]
    lines[at + 3 : at + 3] = ["<<<<< END CURSOR >>>>>\n"]
    text = "1:class Long(Base):\n" + "".join(lines)
    assert kept_with(text, "self.count += 41\n").startswith(f"1:class Long(Base):\n{lines[at - 1]}")
    assert kept_with(text, "self.count += 42\n").startswith("1:class Long(Base):\n")
