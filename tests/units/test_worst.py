"""Texts made to keep a splitter busy have a layout like any other; each of these took seconds or minutes once, or might."""

from __future__ import annotations

import pytest

from specprefill_agents.prompt.units import DEFAULT_LIMITS, layout_of
from specprefill_agents.prompt.units.layout import check_layout

CHARS = 150_000
REPEATED = [
    *"|-#<>\"'\\:` \n\r\t7あx.,;{[()}]/*=_@\0\ufffd\ud800",
    "あ。",
    "กา ",
    "e\u0301",
    "👩\u200d",
    "a: ",
    "a:b ",
    "<a>",
    "</a>",
    "<!--",
    "/*",
    '"""',
]
STARTS = {
    "python": "import os\n\n\ndef f(x):\n    return g(x)\n\n",
    "javascript": "import a from 'b';\nconst x = 1;\nfunction f() {\n  return 1;\n}\n",
    "tsx": "import a from 'b';\nexport const A = () => {\n  return <div/>;\n};\n",
    "c": "#include <a.h>\nint f(void) {\n    return 1;\n}\n",
    "java": "import java.util.List;\npublic class A {\n  private int a;\n}\n",
    "rust": "use std::io;\nfn main() {\n    let x = 1;\n}\n",
}
HOSTILE = ["*x=" * 12 + "\n", "+a(" * 12 + "\n", "=>fn " * 15 + "\n", "case 1:\n", "    elif x:\n        pass\n", "`/*[{\n"]
NESTED = [
    ("[", "]"),
    ("{", "}"),
    ("(", ")"),
    ("<div>", "</div>"),
    ("<a1>", "</a1>"),
    ('{"a":', "}"),
    ("> ", ""),
    ("- ", ""),
    ("“", "”"),
    ("<ul><li>", "</li></ul>"),
]


def check(text: str) -> None:
    layout = layout_of.__wrapped__(text, DEFAULT_LIMITS)
    check_layout(text, layout)
    assert all(len(layout.with_needs(index)) <= 40 for index in range(0, len(layout.units), 997))


@pytest.mark.parametrize("token", REPEATED)
def test_one_token_again_and_again(token: str) -> None:
    check((token * (CHARS // len(token) + 1))[:CHARS])
    if "\n" not in token:
        check(f"{token}\n" * (CHARS // (len(token) + 1)))


@pytest.mark.parametrize("language", STARTS)
def test_code_that_misleads_a_parser(language: str) -> None:
    for line in HOSTILE:
        check(40 * STARTS[language] + line * (20_000 // len(line)))


@pytest.mark.parametrize(("opens", "closes"), NESTED)
def test_nesting_thirty_thousand_deep(opens: str, closes: str) -> None:
    check(opens * 30_000 + "1" + closes * 30_000)
    check(f"{opens}\n" * 10_000 + f"{closes}\n" * 10_000)


@pytest.mark.parametrize("line", ["x{}:", "{}- a b c", "{}a: 1", "{}{{", "{}<b>"])
def test_a_thousand_steps_of_indent(line: str) -> None:
    check("".join(f"{' ' * depth}{line.format('')}\n" for depth in range(1_000)))


@pytest.mark.parametrize("line", ["x\n", "a = f(1)\n", "Ann: a\nBob: b\n", "a\n\n", " \n", "1\tx\n", "{\n"])
def test_hundreds_of_thousands_of_short_lines(line: str) -> None:
    check(line * (2 * CHARS // len(line)))


def test_many_lines_shown_with_their_numbers() -> None:
    check("".join(f"{number}\tx\n" for number in range(60_000)))
    check("".join(f"{number}:def f():\n" for number in range(20_000)))
