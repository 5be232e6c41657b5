"""Outline of code by indentation: the fragments, small enough for a parser, that a long text is made of.

A parser's error recovery can take time and memory that grow with the square of the tokens it cannot make sense of, so it
is given few at once. Where the text is longer, the borders are the items at the smallest indent; an item that is itself too
long is opened: its first line heads whatever is indented deeper. Knows no programming language.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from specprefill_agents.prompt.units.code_comments import CONTINUES
from specprefill_agents.prompt.units.code_lines import BLANK, FRAME, CodeLines
from specprefill_agents.prompt.units.code_literals import INSIDE
from specprefill_agents.types import Span

FRAGMENT_CHARS, FRAGMENT_TOKENS = 4_000, 800
"""What a parser is given at most: some hundred lines, so that few functions are longer. Text made to mislead it then takes a
tenth of a second and some tens of megabytes, where five times as many tokens take seconds and gigabytes."""

_MAX_DEPTH = 32
_TAIL = re.compile(rb"(?:[\s)\]};,]*|end)(?://.*|#.*)?\Z")
_LINE = re.compile(rb"")
_LEADS = re.compile(rb"@|template\b|#\s*!?\[")
_QUOTED = re.compile(rb"\"(?:\\.|[^\"\\])*(?:\"|\Z)|'(?:\\.|[^'\\])*(?:'|\Z)|#.*|//.*")
_NO_BRACKETS = bytes(code for code in range(256) if code not in b"()[]{}")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Lines from `first` to before `last`: a fragment to be parsed, the head or tail of an opened item, or no code (frame).

    `parent` is the index of the head that these lines stand under, -1 at the top. The item of a head ends before line `until`;
    `opens` tells that the head is its first one.
    """

    first: int
    last: int
    parent: int
    part: Literal["fragment", "head", "tail", "frame"] = "fragment"
    until: int = 0
    opens: bool = False


def outline(lines: CodeLines) -> list[Stretch]:
    """Stretches that tile `lines` in their order."""
    stretches: list[Stretch] = []
    for is_frame, run in groupby(range(len(lines)), lambda line: lines.indents[line] == FRAME):
        numbers = list(run)
        span = (numbers[0], numbers[-1] + 1)
        if is_frame:
            stretches.append(Stretch(*span, -1, "frame", span[1]))
            continue
        code = next((line for line in numbers if lines.indents[line] not in (BLANK, INSIDE)), span[1])
        if any(lines.indents[line] == INSIDE for line in range(span[0], code)):  # the end of a literal that began before the text
            stretches.append(Stretch(span[0], code, -1))
            span = (code, span[1])
        if span[0] < span[1]:
            _cut(lines, span, -1, 0, stretches)
    return stretches


def is_fragment(lines: CodeLines, first: int, last: int) -> bool:
    """Whether the lines from `first` to before `last` are few enough to be given to a parser."""
    return lines.size(first, last) <= FRAGMENT_CHARS and lines.tokens[last] - lines.tokens[first] <= FRAGMENT_TOKENS


def _cut(lines: CodeLines, span: Span, parent: int, depth: int, stretches: list[Stretch]) -> None:
    if depth >= _MAX_DEPTH or is_fragment(lines, *span):
        stretches.append(Stretch(*span, parent))
        return
    for item in _packed(lines, _items(lines, span)):
        if is_fragment(lines, *item) or item[1] - item[0] == 1:
            stretches.append(Stretch(*item, parent))
        else:
            _open(lines, item, parent, depth, stretches)


def _items(lines: CodeLines, span: Span) -> Iterator[Span]:
    """Paragraphs at the smallest indent in sight, each with what is indented deeper below it; single lines of a long paragraph.

    Paragraphs begin behind a blank line, a closing bracket or a line that is indented deeper. A definition begins one, so that
    its first line, its decorators and its comments stay together.
    """
    base = _smallest_indent(lines, span)
    for start, end in _parts(lines, span, base, _TAIL):
        if is_fragment(lines, start, end):
            yield start, end
        else:
            yield from _parts(lines, (start, end), base, _LINE)


def _parts(lines: CodeLines, span: Span, base: int, ending: re.Pattern[bytes]) -> Iterator[Span]:
    """New ones begin behind a line at `base` that is an `ending`, or behind what is indented deeper; but a line that goes on with
    the one before it begins none, nor does what stands below a decorator or a comment."""
    start, joins, leads = span[0], False, False
    for line in range(*span):
        if lines.indents[line] != base:
            joins = leads and lines.indents[line] != BLANK
            continue
        if not _continues(lines, line):
            leads = line in lines.comments or bool(_LEADS.match(lines.code_of(line)))
            if line > start and not joins:
                yield start, line
                start = line
        joins = leads or not ending.match(lines.code_of(line))
    yield start, span[1]


def _continues(lines: CodeLines, line: int) -> bool:
    return line not in lines.comments and bool(CONTINUES.match(lines.code_of(line)))


def _packed(lines: CodeLines, items: Iterator[Span]) -> Iterator[Span]:
    """Neighbouring items joined while they fit in a fragment."""
    start, end = next(items)
    for item_start, item_end in items:
        if not is_fragment(lines, start, item_end):
            yield start, end
            start = item_start
        end = item_end
    yield start, end


def _open(lines: CodeLines, item: Span, parent: int, depth: int, stretches: list[Stretch]) -> None:
    """Cut an item into its head, what stands under it, and what continues it at the same indent (`else`, a closing bracket)."""
    base = _smallest_indent(lines, item)
    first_head = head = parent
    for start, stop in _levels(lines, item, base):
        if lines.indents[start] != base:
            _cut(lines, (start, stop), head, depth + 1, stretches)
        elif head != parent and all(_TAIL.match(lines.code_of(line)) for line in range(start, stop)):
            stretches.append(Stretch(start, stop, head, "tail"))
        else:
            code = next((line for line in range(start, stop) if lines.indents[line] != BLANK and line not in lines.comments), stop)
            if code > start:
                stretches.append(Stretch(start, code, parent))
            if code == stop:
                continue
            stretches.append(Stretch(code, stop, first_head, "head", item[1], opens=first_head == parent))
            head = len(stretches) - 1
            first_head = head if first_head == parent else first_head


def _levels(lines: CodeLines, item: Span, base: int) -> Iterator[Span]:
    """Runs of lines at `base`, with the parameters in round brackets that they open, and runs of lines indented deeper.

    Blank lines go with the run before them.
    """
    start, opened = item[0], b""
    for line in range(*item):
        if lines.indents[line] == BLANK:
            continue
        in_signature = opened.endswith(b"(")
        at_base = lines.indents[line] == base or in_signature
        if line > start and at_base != (lines.indents[start] == base):
            yield start, line
            start = line
        if at_base and lines.indents[line] != INSIDE:
            opened = _opened(opened if in_signature else b"", lines.code_of(line))
    yield start, item[1]


def _opened(before: bytes, code: bytes) -> bytes:
    """The brackets that are open behind a line of `code`, the innermost last, where those `before` are open in front of it."""
    stack = bytearray(before)
    for bracket in _QUOTED.sub(b"", code).translate(None, _NO_BRACKETS):
        if bracket in b"([{":
            stack.append(bracket)
        elif stack:
            stack.pop()
    return bytes(stack[-_MAX_DEPTH:])


def _smallest_indent(lines: CodeLines, span: Span) -> int:
    return min((indent for indent in lines.indents[span[0] : span[1]] if indent != BLANK), default=0)
