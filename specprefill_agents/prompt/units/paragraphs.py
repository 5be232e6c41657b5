"""Paragraphs: what blank lines divide, and in long stretches without them what line breaks divide."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from specprefill_agents.prompt.units.layout import Limits
from specprefill_agents.prompt.units.sentences import WRAP_WIDTHS, weight
from specprefill_agents.types import Span

_BREAK = r"(?:\r\n|\n|\r(?!\n))"
_BLANK_LINES = re.compile(rf"(?:\n|\r(?!\n))[^\S\r\n]*{_BREAK}(?:[^\S\r\n]*{_BREAK})*")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")


def paragraphs(text: str, start: int, end: int) -> Iterator[Span]:
    """Paragraphs that tile `text[start:end]`, each with the blank lines that follow it; none is blank unless all is."""
    at = start
    for blank in _BLANK_LINES.finditer(text, start, end):
        if not text[at : blank.end()].isspace() and blank.end() < end:
            yield at, blank.end()
            at = blank.end()
    if at < end:
        yield at, end


def lines(text: str, start: int, end: int) -> Iterator[Span]:
    """Lines that tile `text[start:end]`, each with its line break, whichever of the three it is."""
    return (match.span() for match in _LINE.finditer(text, start, end))


def gathered(text: str, parts: Iterable[Span], limits: Limits) -> Iterator[Span]:
    """The same `parts`, where neighbours that are all shorter than `limits.min_chars` are joined until they are not."""
    held: Span | None = None
    for part in parts:
        if held is None:
            held = part
        elif max(weight(text, *held), weight(text, *part)) < limits.min_chars:
            held = (held[0], part[1])
        else:
            yield held
            held = part
    if held is not None:
        yield held


def unwrapped(text: str, start: int, end: int, limits: Limits) -> Iterator[Span]:
    """Parts that tile a long paragraph and end where lines end: where some lines are too long to have been wrapped, each of
    those is a paragraph of its own; otherwise the paragraph is one part.
    """
    at = start
    for line, line_end in lines(text, start, end):
        if line_end - line > max(limits.max_chars, WRAP_WIDTHS[-1]):
            if line > at:
                yield at, line
            yield line, line_end
            at = line_end
    if at < end:
        yield at, end
