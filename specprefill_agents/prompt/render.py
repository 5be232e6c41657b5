"""Kept spans -> text with gap marks. Pure; the same original, spans, forms and marks always give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from specprefill_agents.config import CompressionConfig
from specprefill_agents.types import GapForm, Kind, MarkStyle, Span


@dataclass(frozen=True, slots=True)
class GapMarks:
    """How a gap reads: `line` is a template for gaps of several whole lines, `text` stands for any other gap.

    An empty `line` means `text` everywhere, two empty ones no marks. `note` stands where the templates have `{original}`,
    in the first mark of a text only: how to get the rest. With `silent_when_empty` a text of which nothing is kept shows
    nothing at all. Inside JSON the same words are a string.
    """

    line: str
    text: str
    note: str = ""
    silent_when_empty: bool = False

    def words(self, lines: int, first: int, is_first: bool) -> str:
        """What a gap of `lines` lines from line `first` says."""
        template = self.line if lines > 1 and self.line else self.text
        return template.format(count=lines, first=first, last=first + lines - 1, original=self.note if is_first else "")


@dataclass(frozen=True, slots=True)
class RepeatMarks(GapMarks):
    """How a gap reads that hides nothing but what an earlier text shows, which is called `source`."""

    source: str = ""

    def words(self, lines: int, first: int, is_first: bool) -> str:
        """What a gap of `lines` lines from line `first` says."""
        return self.line.format(count=lines, first=first, last=first + lines - 1, source=self.source)


_NO_OTHERS: Mapping[int, GapMarks] = MappingProxyType({})


def gap_marks(config: CompressionConfig, kind: Kind, style: MarkStyle, original_id: str = "") -> GapMarks:
    """The marks for a segment of `kind`; a document of which nothing is kept vanishes, a tool result never does.

    Full marks name the original by `original_id`, when there is one; brief ones have no room for it.
    """
    if style == "none":
        return GapMarks("", "")
    note = config.original_note.format(id=original_id) if style == "full" and original_id else ""
    return GapMarks(config.line_mark if style == "full" else "", config.text_mark, note, silent_when_empty=kind == "document")


def render(
    original: str, spans: Sequence[Span], marks: GapMarks, forms: Sequence[GapForm] = (), others: Mapping[int, GapMarks] = _NO_OTHERS
) -> str:
    """The kept `spans` (sorted, disjoint) of `original` in order, each gap replaced by a mark.

    `forms` says for each gap, in order, how it is marked; none means plain. Gaps with a number among `others`, from 0, have
    marks of their own. Everything kept gives `original` itself.
    """
    if not spans and marks.silent_when_empty:
        return ""
    return "".join(_pieces(original, spans, marks, forms, others))


def gaps_between(length: int, spans: Sequence[Span]) -> list[Span]:
    """What `spans` (sorted, disjoint) leave out of a text of `length` characters."""
    starts = [0, *(end for _, end in spans)]
    ends = [*(start for start, _ in spans), length]
    return [(start, end) for start, end in zip(starts, ends, strict=True) if start < end]


def _pieces(
    original: str, spans: Sequence[Span], marks: GapMarks, forms: Sequence[GapForm], others: Mapping[int, GapMarks]
) -> Iterator[str]:
    position = 0
    line = 1
    is_first = True
    for number, gap in enumerate(gaps_between(len(original), spans)):
        yield original[position : gap[0]]
        line += original.count("\n", position, gap[0])
        form = forms[number] if forms else "plain"
        yield _MARKS[form](original, gap, others.get(number, marks), line, is_first)
        is_first = is_first and number in others
        line += original.count("\n", *gap)
        position = gap[1]
    yield original[position:]


def _plain_mark(original: str, gap: Span, marks: GapMarks, line: int, is_first: bool) -> str:
    start, end = gap
    hidden = original[start:end]
    starts_line = start == 0 or original[start - 1] == "\n"
    newline = "\n" if hidden.endswith("\n") else ""
    is_whole = starts_line and (end == len(original) or newline == "\n")
    words = marks.words(_lines(hidden) if is_whole else 1, line, is_first)
    if not words:
        return ""
    # Inside a line the mark stands apart from the words around it.
    before = "" if starts_line or original[start - 1].isspace() else " "
    after = newline or (" " if end < len(original) else "")
    return before + words + after


def _item_mark(original: str, gap: Span, marks: GapMarks, line: int, is_first: bool, value: str = "") -> str:
    """A string in the place of array items, with their comma and white space."""
    hidden = original[slice(*gap)]
    inked = hidden.rstrip()
    words = json.dumps(marks.words(_lines(hidden), line, is_first), ensure_ascii=False)
    return words + value + ("," if inked.endswith(",") else "") + hidden[len(inked) :]


def _member_mark(original: str, gap: Span, marks: GapMarks, line: int, is_first: bool) -> str:
    """A member without a value in the place of object members."""
    return _item_mark(original, gap, marks, line, is_first, ": null")


def _string_mark(original: str, gap: Span, marks: GapMarks, line: int, is_first: bool) -> str:
    """Words inside a JSON string, as a line of their own where an escaped line break ends before them or is hidden."""
    words = json.dumps(marks.words(1, line, is_first), ensure_ascii=False)[1:-1]
    if not words:
        return ""
    start, end = gap
    before = "" if _is_border(original, start - 1) else " "
    if original[end - 1] == "n" and _is_escaped(original, end - 1):
        return before + words + "\\n"
    ends_string = original[end : end + 1] in ("", '"', "'", "\n")  # a quote of its own would be escaped, as a line break would
    return before + words + ("" if ends_string else " ")


def _is_border(original: str, at: int) -> bool:
    """Whether the character at `at` ends white space, which may be escaped, or opens a string."""
    character = original[at : at + 1]
    if character in ("n", "t", "r"):
        return _is_escaped(original, at)
    return character.isspace() or (character in ('"', "'") and not _is_escaped(original, at))


def _is_escaped(original: str, at: int) -> bool:
    """Whether an odd number of backslashes stands before the character at `at`."""
    before = at
    while before and original[before - 1] == "\\":
        before -= 1
    return (at - before) % 2 == 1


_MARKS: dict[GapForm, Callable[[str, Span, GapMarks, int, bool], str]] = {
    "plain": _plain_mark,
    "item": _item_mark,
    "member": _member_mark,
    "string": _string_mark,
}


def _lines(hidden: str) -> int:
    """How many lines a gap hides, a begun one included."""
    return hidden.count("\n") + (0 if hidden.rstrip(" \t").endswith("\n") else 1)


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
