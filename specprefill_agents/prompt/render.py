"""Kept spans -> text with gap marks. Pure; the same original, spans and marks always give the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from specprefill_agents.config import CompressionConfig
from specprefill_agents.types import Kind, MarkStyle, Span


@dataclass(frozen=True, slots=True)
class GapMarks:
    """How a gap reads: `line` is a template for gaps of several whole lines, `text` stands for any other gap.

    An empty `line` means `text` everywhere, two empty ones no marks. With `silent_when_empty` a text of which nothing
    is kept shows nothing at all.
    """

    line: str
    text: str
    silent_when_empty: bool = False


def gap_marks(config: CompressionConfig, kind: Kind, style: MarkStyle) -> GapMarks:
    """The marks for a segment of `kind`; a document of which nothing is kept vanishes, a tool result never does."""
    if style == "none":
        return GapMarks("", "")
    return GapMarks(config.line_mark if style == "full" else "", config.text_mark, silent_when_empty=kind == "document")


def render(original: str, spans: Sequence[Span], marks: GapMarks) -> str:
    """The kept `spans` (sorted, disjoint) of `original` in order, each gap replaced by a mark.

    Everything kept gives `original` itself.
    """
    if not spans and marks.silent_when_empty:
        return ""
    return "".join(_pieces(original, spans, marks))


def _pieces(original: str, spans: Sequence[Span], marks: GapMarks) -> Iterator[str]:
    position = 0
    for start, end in spans:
        if start > position:
            yield _mark(original, (position, start), marks)
        yield original[start:end]
        position = end
    if position < len(original):
        yield _mark(original, (position, len(original)), marks)


def _mark(original: str, gap: Span, marks: GapMarks) -> str:
    start, end = gap
    starts_line = start == 0 or original[start - 1] == "\n"
    ends_line = end == len(original) or original[end - 1] == "\n"
    hidden = original[start:end]
    newline = "\n" if hidden.endswith("\n") else ""
    lines = hidden.count("\n") + (0 if newline else 1)
    if starts_line and ends_line and lines > 1 and marks.line:
        first = original.count("\n", 0, start) + 1
        return marks.line.format(count=lines, first=first, last=first + lines - 1) + newline
    if not marks.text:
        return ""
    # Inside a line the mark stands apart from the words around it.
    before = "" if starts_line or original[start - 1].isspace() else " "
    after = newline or (" " if end < len(original) else "")
    return before + marks.text + after


def merge_spans(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Join spans that touch: sorted, disjoint spans -> the fewest spans that cover the same characters."""
    merged: list[Span] = []
    for start, end in spans:
        if start == end:
            continue
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return tuple(merged)
