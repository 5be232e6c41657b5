"""The parts of a Markdown text, line by line: what they are, where they begin and end. Knows no units.

A part ends with the blank lines and thematic breaks that follow it. Inline markup is not looked at. Where a text breaks the
rules, the reading that hides least is taken: a fence that nothing closes runs to the end, an unknown line is a paragraph.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from specprefill_agents.prompt.units.paragraphs import lines

PartKind: TypeAlias = Literal["heading", "paragraph", "item", "quote", "fence", "table"]

_LINE = re.compile(
    r"(?P<blank>\s*\Z)"
    r"|(?P<heading> {0,3}#{1,6}(?=\s|\Z))"
    r"|(?P<rule> {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})[\r\n]*\Z)"
    r"|(?P<item>[ \t]*(?:[-*+•]|\d{1,9}[.)])(?:[ \t]+(?=\S)|(?=[\r\n]*\Z)))"
    r"|(?P<quote> {0,3}>)"
    r"|(?P<fence>[ \t]*(?:`{3,}(?=[^`]*\Z)|~{3,}))"
    r"|(?P<text>)"
)
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+)[ \t]*[\r\n]*\Z")
_DELIMITERS = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*[\r\n]*\Z")
_MATTER_KEY = re.compile(r"[\w-]{1,40}[ \t]*[:=]")
_TAB_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class Part:
    """`text[start:end]`, indented by so many columns. A fence opens up to `head_end` and closes from `tail_start` on, a table's
    header ends at `head_end`; of other parts, and where a fence is not closed, these two are `start` and `end`.
    """

    kind: PartKind
    start: int
    end: int
    head_end: int
    tail_start: int
    indent: int


def markdown_parts(text: str) -> Iterator[Part]:
    """Parts that tile `text`, in order."""
    return _Reader(text).parts()


class _Reader:
    """Reads one text; a line is known by its number."""

    def __init__(self, text: str) -> None:
        self._lines = [text[start:end] for start, end in lines(text, 0, len(text))]
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))
        self._kinds = [_kind(line) for line in self._lines]

    def parts(self) -> Iterator[Part]:
        first = self._past(0, lambda at: self._kinds[at] == "blank")
        start = 0
        while start < self._starts[-1]:
            kind, head, tail, behind = self._read(min(first, len(self._lines) - 1))
            behind = self._past(behind, lambda at: self._kinds[at] in ("blank", "rule"))
            end = self._starts[behind]
            head_end = self._starts[head] if head > first else start
            yield Part(kind, start, end, head_end, self._starts[tail] if tail < behind else end, self._indent(first))
            start, first = end, behind

    def _read(self, first: int) -> tuple[PartKind, int, int, int]:
        """One part: its kind, the line behind its head, the line its tail begins with, and the line behind it all."""
        kind = self._kinds[first]
        if first == 0 and (closing := self._front_matter_end()):
            return "fence", 1, closing, closing + 1
        if kind == "fence":
            closing = self._fence_end(first)
            return "fence", first + 1, closing, min(closing + 1, len(self._lines))
        if kind == "heading":
            return "heading", first, first + 1, first + 1
        if kind == "quote":
            behind = self._past(first, lambda at: self._kinds[at] == "quote")
            return "quote", first, behind, behind
        if self._is_table(first):
            behind = self._past(first + 2, lambda at: self._kinds[at] != "blank" and "|" in self._lines[at])
            return "table", first + 2, behind, behind
        if kind == "text" and self._is_underlined(first):
            return "heading", first, first + 2, first + 2
        behind = self._past(first + 1, lambda at: self._kinds[at] == "text" and not self._is_table(at))
        return "item" if kind == "item" else "paragraph", first, behind, behind

    def _past(self, at: int, belongs: Callable[[int], bool]) -> int:
        while at < len(self._lines) and belongs(at):
            at += 1
        return at

    def _front_matter_end(self) -> int:
        """The line that closes the front matter of the text, or 0 when it has none."""
        fence = self._lines[0].strip()
        if fence not in ("---", "+++") or len(self._lines) < 3 or not _MATTER_KEY.match(self._lines[1]):
            return 0
        closing = self._past(1, lambda at: self._lines[at].strip() not in (fence, "..."))
        return closing if closing < len(self._lines) else 0

    def _fence_end(self, first: int) -> int:
        """The line that closes the fence opened on line `first`, or the number of lines."""
        opening = self._lines[first].lstrip()
        mark = opening[: len(opening) - len(opening.lstrip(opening[0]))]
        return self._past(first + 1, lambda at: not _closes(self._lines[at], mark))

    def _is_table(self, first: int) -> bool:
        if "|" not in self._lines[first] or first + 1 == len(self._lines):
            return False
        return "|" in self._lines[first + 1] and _DELIMITERS.match(self._lines[first + 1]) is not None

    def _is_underlined(self, first: int) -> bool:
        return first + 1 < len(self._lines) and _UNDERLINE.match(self._lines[first + 1]) is not None

    def _indent(self, first: int) -> int:
        if first >= len(self._lines):
            return 0
        line = self._lines[first].expandtabs(_TAB_COLUMNS) if self._lines[first][:1] in " \t" else self._lines[first]
        return len(line) - len(line.lstrip(" "))


def _kind(line: str) -> str:
    found = _LINE.match(line)
    return str(found.lastgroup) if found else "text"


def _closes(line: str, mark: str) -> bool:
    bare = line.strip()
    return len(bare) >= len(mark) and not bare.strip(mark[0])
