"""Lines inside strings and comments that run over several lines: their indent says nothing about the structure of the code.

A text may begin inside such a literal, since tools show files from any line on. Quotes look the same at both ends; so both
readings are tried, and the one is right that takes fewer lines of code for text; among equals, the one that leaves no
literal without its other end.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace

from specprefill_agents.prompt.units.code_languages import Language
from specprefill_agents.prompt.units.code_lines import BLANK, FRAME, CodeLines
from specprefill_agents.types import Span

INSIDE = 1_000_000
"""The indent of a line that begins inside a literal: deeper than any other."""

_COMPARED_CHARS = 20_000
_HASH_COMMENT, _SLASH_COMMENT = r"#[^\n]*", r"//[^\n]*"
_SHORT_STRINGS = r'"(?:\\(?s:.)|[^"\\\n])*"|' + r"'(?:\\(?s:.)|[^'\\\n])*'"


def without_literals(lines: CodeLines, language: Language) -> CodeLines:
    """`lines`, where those that begin inside a literal of `language` count as indented deeper than any other."""
    indents = list(lines.indents)
    for start, end in _literals(lines, language):
        if lines.plain.find(b"\n", max(start, 0), end) < 0:
            continue
        for line in range(bisect_right(lines.starts, start), bisect_right(lines.starts, end - 1)):
            if indents[line] not in (BLANK, FRAME):
                indents[line] = INSIDE
    return replace(lines, indents=indents)


def _literals(lines: CodeLines, language: Language) -> list[Span]:
    """Literals from their opening to behind their closing mark, by the likelier reading of how the text begins."""
    plain = lines.plain
    head = lines.blanked(bisect_right(lines.starts, _COMPARED_CHARS) - 1).decode("ascii")
    telling = [match.start() for match in language.telling.finditer(head)]

    def faults(closing: bytes) -> tuple[int, int]:
        return _covered(telling, _read(plain, language, closing)), _torn(plain, language, closing)

    return list(_read(plain, language, min([b"", *_closings(plain, language)], key=faults)))


def _closings(plain: bytes, language: Language) -> list[bytes]:
    """Marks that may end a literal that began before the text: there is no word behind them, and no other quote before them."""
    found = [(plain.find(closes), closes, opens == closes) for opens, closes in _marks(language)]
    first = min((at for at, _, is_quote in found if is_quote and at >= 0), default=-1)
    return [
        mark
        for at, mark, is_quote in found
        if at >= 0 and not plain[at + len(mark) : at + len(mark) + 1].isalnum() and (at == first or not is_quote)
    ]


def _torn(plain: bytes, language: Language, closing: bytes) -> int:
    """Of how many sorts a literal lacks its other end, when the text begins inside one that ends with `closing` unless that is empty."""
    torn = 0
    for opens, closes in _marks(language):
        first = plain.find(closes)
        lacks = plain.count(opens) % 2 == 1 if opens == closes else first >= 0 and plain.find(opens, 0, first) < 0
        torn += lacks != (closes == closing)
    return torn


def _marks(language: Language) -> list[tuple[bytes, bytes]]:
    return [(opens.encode(), closes.encode()) for opens, closes in language.literals]


def _read(plain: bytes, language: Language, closing: bytes) -> Iterator[Span]:
    """Literals in the order of the text, which begins inside one (from -1 on) that ends with `closing` unless that is empty."""
    closes = dict(_marks(language))
    marks = "|".join(re.escape(opens) for opens, _ in language.literals)
    comment = _HASH_COMMENT if language.name == "python" else _SLASH_COMMENT
    token = re.compile(f"(?P<mark>{marks})|{comment}|{_SHORT_STRINGS}".encode())
    at = 0
    if closing:
        at = plain.find(closing) + len(closing)
        yield -1, at
    unclosed: set[bytes] = set()
    while (match := token.search(plain, at)) is not None:
        at = match.end()
        mark = match["mark"]
        if mark is None or mark in unclosed:
            if b"\n" in match.group():
                yield match.span()
            continue
        end = plain.find(closes[mark], at)
        if end < 0:
            unclosed.add(mark)
        else:
            at = end + len(closes[mark])
            yield match.start(), at


def _covered(positions: list[int], spans: Iterator[Span]) -> int:
    """How many of `positions` lie inside `spans`; both are in order. Takes no more spans than it needs."""
    count = 0
    start = end = -1
    for position in positions:
        while end <= position and (found := next(spans, None)) is not None:
            start, end = found
        count += start < position < end
    return count
