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

from specprefill_agents.prompt.units.code_lines import BLANK, FRAME, CodeLines
from specprefill_agents.types import Span

FRAGMENT_CHARS, FRAGMENT_TOKENS = 4_000, 800
"""What a parser is given at most: some hundred lines, so that few functions are longer. Text made to mislead it then takes a
tenth of a second and some tens of megabytes, where five times as many tokens take seconds and gigabytes."""

_MAX_DEPTH = 32
_TAIL = re.compile(rb"(?:[\s)\]};,]*|end)(?://.*|#.*)?\Z")
_CONTINUES = re.compile(
    rb"[)\]}{.,]|#\s*(?:if|el|end)|(?:else|elif|except|finally|catch|then|rescue|ensure|end)\b"
    rb"|(?:public|private|protected)\b.*:\Z"
)
_LEADS = re.compile(rb"@|//|template\b|#(?!\s*(?:if|el|end|include|define|pragma))")
_COMMENT = re.compile(rb"//|#(?!\s*\[|\s*(?:if|el|end|include|define|pragma))")


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
        else:
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

    A definition begins a paragraph, so that its first line, its decorators and its comments stay together.
    """
    base = _smallest_indent(lines, span)
    for start, end in _paragraphs(lines, span, base):
        if is_fragment(lines, start, end):
            yield start, end
        else:
            yield from _lines_at(lines, (start, end), base)


def _paragraphs(lines: CodeLines, span: Span, base: int) -> Iterator[Span]:
    """New ones begin behind a blank line, a closing bracket or a line that is indented deeper."""
    start, joins = span[0], False
    for line in range(*span):
        if lines.indents[line] != base:
            joins = False
            continue
        code = lines.code_of(line)
        if line > start and not joins and not _CONTINUES.match(code):
            yield start, line
            start = line
        joins = not _TAIL.match(code)
    yield start, span[1]


def _lines_at(lines: CodeLines, span: Span, base: int) -> Iterator[Span]:
    """Each line at `base` with what is indented deeper below it; decorators and comments right above a line belong to it."""
    start, joins = span[0], False
    for line in range(*span):
        if lines.indents[line] != base:
            joins = joins and lines.indents[line] != BLANK
            continue
        code = lines.code_of(line)
        if line > start and not joins and not _CONTINUES.match(code):
            yield start, line
            start = line
        joins = bool(_LEADS.match(code))
    yield start, span[1]


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
            code = next((line for line in range(start, stop) if not _COMMENT.match(lines.code_of(line))), stop - 1)
            if code > start:
                stretches.append(Stretch(start, code, parent))
            stretches.append(Stretch(code, stop, first_head, "head", item[1], opens=first_head == parent))
            head = len(stretches) - 1
            first_head = head if first_head == parent else first_head


def _levels(lines: CodeLines, item: Span, base: int) -> Iterator[Span]:
    """Runs of lines at `base`, with the parameters in round brackets that they open, and runs of lines indented deeper.

    Blank lines go with the run before them.
    """
    start, in_signature = item[0], False
    for line in range(*item):
        if lines.indents[line] == BLANK:
            continue
        at_base = lines.indents[line] == base or in_signature
        if line > start and at_base != (lines.indents[start] == base):
            yield start, line
            start = line
        if lines.indents[line] == base:
            in_signature = lines.code_of(line).endswith(b"(")
    yield start, item[1]


def _smallest_indent(lines: CodeLines, span: Span) -> int:
    return min((indent for indent in lines.indents[span[0] : span[1]] if indent != BLANK), default=0)
