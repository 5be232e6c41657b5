"""Lines inside strings and comments that run over several lines: their indent says nothing about the structure of the code.

A text may begin inside such a literal, since tools show files from any line on. Quotes look the same at both ends; so both
readings are tried, and the one that takes fewer lines of code for text is right.
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
_SHORT_STRINGS = r'"(?:\\.|[^"\\\n])*"|' + r"'(?:\\.|[^'\\\n])*'"


def without_literals(lines: CodeLines, language: Language) -> CodeLines:
    """`lines`, where those that begin inside a literal of `language` count as indented deeper than any other."""
    indents = list(lines.indents)
    for start, end in _literals(lines.plain, language):
        if lines.plain.find(b"\n", start, end) < 0:
            continue
        for line in range(bisect_right(lines.starts, start), bisect_right(lines.starts, end - 1)):
            if indents[line] not in (BLANK, FRAME):
                indents[line] = INSIDE
    return replace(lines, indents=indents)


def _literals(plain: bytes, language: Language) -> list[Span]:
    """Literals from their opening to behind their closing mark, by the likelier reading of how the text begins."""
    head = plain[:_COMPARED_CHARS].decode("ascii")
    telling = [match.start() for match in language.telling.finditer(head)]
    closings = [b"", *(close.encode() for _, close in language.literals)]
    return list(_read(plain, language, min(closings, key=lambda closing: _covered(telling, _read(plain, language, closing)))))


def _read(plain: bytes, language: Language, closing: bytes) -> Iterator[Span]:
    """Literals in the order of the text, which begins inside one that ends with `closing` unless that is empty."""
    closes = {opens.encode(): closes.encode() for opens, closes in language.literals}
    marks = "|".join(re.escape(opens) for opens, _ in language.literals)
    comment = _HASH_COMMENT if language.name == "python" else _SLASH_COMMENT
    token = re.compile(f"(?P<mark>{marks})|{comment}|{_SHORT_STRINGS}".encode())
    at = 0
    if closing:
        at = plain.find(closing) + len(closing)
        if at >= len(closing):
            yield 0, at
    unclosed: set[bytes] = set()
    while (match := token.search(plain, at)) is not None:
        at = match.end()
        mark = match["mark"]
        if mark is None or mark in unclosed:
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
