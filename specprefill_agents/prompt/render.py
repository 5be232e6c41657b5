"""Kept spans -> text with gap marks. Pure; the same original, spans, forms and marks always give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from specprefill_agents.config import CompressionConfig
from specprefill_agents.types import GapForm, Kind, MarkStyle, Span


@dataclass(frozen=True, slots=True)
class GapMarks:
    """How a gap reads: `line` is a template for gaps of several whole lines, `text` stands for any other gap.

    An empty `line` means `text` everywhere, two empty ones no marks. With `silent_when_empty` a text of which nothing
    is kept shows nothing at all. Inside JSON the same words are a string.
    """

    line: str
    text: str
    silent_when_empty: bool = False


def gap_marks(config: CompressionConfig, kind: Kind, style: MarkStyle) -> GapMarks:
    """The marks for a segment of `kind`; a document of which nothing is kept vanishes, a tool result never does."""
    if style == "none":
        return GapMarks("", "")
    return GapMarks(config.line_mark if style == "full" else "", config.text_mark, silent_when_empty=kind == "document")


def render(original: str, spans: Sequence[Span], marks: GapMarks, forms: Sequence[GapForm] = ()) -> str:
    """The kept `spans` (sorted, disjoint) of `original` in order, each gap replaced by a mark.

    `forms` says for each gap, in order, how it is marked; none means plain. Everything kept gives `original` itself.
    """
    if not spans and marks.silent_when_empty:
        return ""
    return "".join(_pieces(original, spans, marks, forms))


def gaps_between(length: int, spans: Sequence[Span]) -> list[Span]:
    """What `spans` (sorted, disjoint) leave out of a text of `length` characters."""
    starts = [0, *(end for _, end in spans)]
    ends = [*(start for start, _ in spans), length]
    return [(start, end) for start, end in zip(starts, ends, strict=True) if start < end]


def _pieces(original: str, spans: Sequence[Span], marks: GapMarks, forms: Sequence[GapForm]) -> Iterator[str]:
    position = 0
    for number, gap in enumerate(gaps_between(len(original), spans)):
        yield original[position : gap[0]]
        form = forms[number] if forms else "plain"
        yield _plain_mark(original, gap, marks) if form == "plain" else _json_mark(original, gap, marks, form)
        position = gap[1]
    yield original[position:]


def _plain_mark(original: str, gap: Span, marks: GapMarks) -> str:
    start, end = gap
    hidden = original[start:end]
    starts_line = start == 0 or original[start - 1] == "\n"
    newline = "\n" if hidden.endswith("\n") else ""
    whole_lines = starts_line and (end == len(original) or hidden.endswith("\n"))
    words = _words(original, gap, marks) if whole_lines else marks.text
    if not words:
        return ""
    # Inside a line the mark stands apart from the words around it.
    before = "" if starts_line or original[start - 1].isspace() else " "
    after = newline or (" " if end < len(original) else "")
    return before + words + after


def _json_mark(original: str, gap: Span, marks: GapMarks, form: GapForm) -> str:
    """A string in the place of array items, or a member in the place of object members, with their comma and white space."""
    hidden = original[gap[0] : gap[1]]
    inked = hidden.rstrip()
    value = json.dumps(_words(original, gap, marks), ensure_ascii=False) + (": null" if form == "member" else "")
    return value + ("," if inked.endswith(",") else "") + hidden[len(inked) :]


def _words(original: str, gap: Span, marks: GapMarks) -> str:
    """What a mark says: how many lines it stands for when those are several."""
    start, end = gap
    lines = original.count("\n", start, end) + (0 if original[start:end].rstrip(" \t").endswith("\n") else 1)
    if lines < 2 or not marks.line:
        return marks.text
    first = original.count("\n", 0, start) + 1
    return marks.line.format(count=lines, first=first, last=first + lines - 1)


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
