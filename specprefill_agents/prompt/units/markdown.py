"""Markdown: sections of paragraphs, lists, fenced blocks, tables and quotes.

What a unit drags along is the nearest heading when that is short, and inside larger things what they cannot be read without:
the two fences of a code block, the header of a table, the item that a nested item stands under.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from specprefill_agents.prompt.units.filled_blocks import FilledBlocks
from specprefill_agents.prompt.units.layout import Layout, LayoutBuilder, Limits
from specprefill_agents.prompt.units.lines import split_lines
from specprefill_agents.prompt.units.long_sentences import cut_long
from specprefill_agents.prompt.units.markdown_parts import Part, markdown_parts
from specprefill_agents.prompt.units.paragraphs import gathered, lines
from specprefill_agents.prompt.units.sentences import sentence_units, weight
from specprefill_agents.types import Span

_SHORT = 80
"""A heading or an item of at most so many characters is dragged along by what stands under it."""

_DEEPEST = 4
"""Items nested deeper drag along what the item above them does, so that no item drags a long chain along."""

_SAMPLE_CHARS = 8_000
_WORDY_SPACES = 3
_ENOUGH_EVIDENCE = 3
_EVIDENCE = (  # what is looked for, what each find says, how many finds count
    (re.compile(r"^# \S[^\n]*\n(?!#)", re.MULTILINE), 2, 1),
    (re.compile(r"^(##{1,5}) \S[^\n]*\n(?!\1 )", re.MULTILINE), 2, 3),
    (re.compile(r"\n[ \t]*\|?[ \t]*:?-{2,}:?[ \t]*\|[-:| \t]*(?:\n|\Z)"), 3, 1),
    (re.compile(r"^[ \t]*(?:[-*+]|\d{1,3}[.)]) \S", re.MULTILINE), 1, 3),
    (re.compile(r"\]\([^()\s]+\)"), 1, 3),
    (re.compile(r"\*\*[^*\s][^*\n]*\*\*"), 1, 2),
    (re.compile(r"^> \S", re.MULTILINE), 1, 2),
    (re.compile(r"(?<!`)`[^`\n]+`(?!`)"), 1, 1),
)
_FENCED = re.compile(r"^[ \t]*(```|~~~)[^`\n]*\n(?:.*?^[ \t]*\1[ \t]*$|.*)", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} \S", re.MULTILINE)
_MARKED = re.compile(r"[ \t]*(?:#{1,6} |[-*+>|] ?|\d{1,3}[.)] )")
_NO_MARKDOWN = re.compile(  # a line of a diff, or one with which only a program begins a line
    r"^(?:@@ |diff --git |\+\+\+ \S|#!|#(?:include|define|ifndef)\b|[ \t]*/\*|\"\"\"|(?:async )?def \w+\(|class \w+[(:])"
    r"|^(?:import [\w.]+;?$|from [\w.]+ import\b)",
    re.MULTILINE,
)
_SETTING = re.compile(r"[ \t]*(?:- )?[\w.-]+(?::(?:\s|\Z)|=)")
_CODE = re.compile(
    r"[;{}][ \t]*\Z"
    r"|^[ \t]*(?:(?:async[ ])?def|class|function|func|fn|return|import|from|elif|else)\b[^,]*(?:[(:;]|\bimport\b|\Z)"
    r"|^[ \t]*[\w.\[\]]+(?::[ ]\w+)? [-+*/|]?= \S"
    r"|^[ \t]*[\w.]+\([^)]*\)[ \t]*\Z"
)


def split_markdown(text: str, limits: Limits) -> Layout:
    """Sections begin blocks; in them, each paragraph, list, table or fence is one unless it is very short or too long."""
    writer = _Writer(text, limits)
    for (kind, indent), run in groupby(markdown_parts(text), key=lambda part: (part.kind, part.indent if part.kind == "paragraph" else 0)):
        if kind == "item":
            writer.add_list(list(run))
        elif kind == "paragraph":
            writer.add_paragraphs([(part.start, part.end) for part in run], indent)
        else:
            for part in run:
                writer.add(part)
    return writer.builder.build()


class _Writer:
    """Writes parts into a layout. Remembers the heading above, and the items that are open, from the outermost inwards."""

    def __init__(self, text: str, limits: Limits) -> None:
        self.builder = LayoutBuilder("markdown")
        self._text = text
        self._limits = limits
        self._blocks = FilledBlocks(self.builder, limits)
        self._heading: tuple[int, ...] = ()
        self._after_heading = False
        self._open_items: list[tuple[int, tuple[int, ...]]] = []  # indent, and what stands under the item needs

    def add(self, part: Part) -> None:
        """A heading, table, fence or quote."""
        if part.kind == "heading":
            self._add_heading(part)
            return
        self._after_heading = False
        needs = self._around(part.indent)
        self._blocks.open_for(part.end)
        if part.kind == "table":
            self._add_table(part, needs)
        elif part.kind == "fence":
            self._add_fence(part, needs)
        else:
            self._add_lines(part.end, needs)

    def add_paragraphs(self, paragraphs: Sequence[Span], indent: int) -> None:
        """Paragraphs that follow each other, indented alike: very short ones share a unit."""
        self._after_heading = False
        needs = self._around(indent)
        for start, end in gathered(self._text, paragraphs, self._limits):
            self._blocks.open_for(end)
            self._blocks.add_all(sentence_units(self._text, start, end, self._limits), needs)

    def add_list(self, items: Sequence[Part]) -> None:
        """Items that follow each other: short ones of the same parent, or with their parent, share a unit."""
        self._after_heading = False
        self._blocks.open_for(items[-1].end)
        at = 0
        while at < len(items):
            behind = self._behind_group(items, at)
            self._add_group(items[at:behind])
            at = behind

    def _behind_group(self, items: Sequence[Part], first: int) -> int:
        start, indent = items[first].start, items[first].indent
        for at in range(first + 1, len(items)):
            item = items[at]
            is_enough = weight(self._text, start, item.start) >= self._limits.min_chars
            if is_enough or item.end - start > self._limits.max_chars or item.indent < indent:
                return at
        return len(items)

    def _add_group(self, items: Sequence[Part]) -> None:
        needs = self._around(items[0].indent)
        start, end = items[0].start, items[-1].end
        index = self._blocks.next_index
        ends = [end] if end - start <= self._limits.max_chars else sentence_units(self._text, start, end, self._limits)
        self._blocks.add_all(ends, needs)
        is_parent = ends[0] - start <= _SHORT and len(self._open_items) < _DEEPEST
        for item in items:
            self._around(item.indent)
            self._open_items.append((item.indent, (index,) if is_parent else needs))

    def _around(self, indent: int) -> tuple[int, ...]:
        """What a part indented like this needs; open items that it does not stand under are closed."""
        while self._open_items and self._open_items[-1][0] >= indent:
            self._open_items.pop()
        return self._open_items[-1][1] if self._open_items else self._heading

    def _add_heading(self, part: Part) -> None:
        if not self._after_heading:
            self._blocks.begin()
        index = self._blocks.next_index
        self._blocks.add_all(sentence_units(self._text, part.start, part.end, self._limits))
        self._heading = (index,) if part.end - part.start <= _SHORT else ()
        self._open_items.clear()
        self._after_heading = True

    def _add_table(self, part: Part, needs: tuple[int, ...]) -> None:
        if part.end - part.start <= self._limits.max_chars:
            self._blocks.add(part.end, needs)
            return
        behind_rows = part.start + len(self._text[part.start : part.end].rstrip())
        rows = [end for _, end in gathered(self._text, lines(self._text, part.head_end, behind_rows), self._limits)]
        head_end = part.head_end if rows else part.end
        if head_end - part.start <= 2 * self._limits.max_chars:
            needs = (self._blocks.add(head_end, needs),)
        else:
            self._add_lines(head_end, needs)
        for end in [*rows[:-1], part.end] if rows else []:
            self._add_row(end, needs)

    def _add_row(self, end: int, needs: tuple[int, ...]) -> None:
        if end - self._blocks.end <= self._limits.block_chars:
            self._blocks.add(end, needs)
        else:
            self._blocks.add_all(cut_long(self._text, self._blocks.end, end, self._limits.max_chars), needs)

    def _add_fence(self, part: Part, needs: tuple[int, ...]) -> None:
        opening, closing = part.head_end - part.start, part.end - part.tail_start
        if part.end - part.start <= 2 * self._limits.max_chars:
            self._blocks.add(part.end, needs)
        elif opening > _SHORT or closing > _SHORT or part.head_end >= part.tail_start:
            self._add_lines(part.end, needs)
        else:
            first = self._blocks.add(part.head_end, needs)
            last = first + 1 + self._add_lines(part.tail_start, (first,))
            if closing:
                self._blocks.add(part.end, [first])
                for index in range(first, last):
                    self.builder.also_needs(index, [last])

    def _add_lines(self, end: int, needs: tuple[int, ...]) -> int:
        """Whole lines up to `end` as units, sentences only in long ones; returns how many units."""
        start = self._blocks.end
        units = split_lines(self._text[start:end], self._limits.min_chars, self._limits.max_chars)
        self._blocks.add_all((start + unit.end for unit in units), needs)
        return len(units)


def looks_like_markdown(text: str) -> bool:
    """Whether a sample shows at least two marks of Markdown and its other lines are words, not code, settings or a diff."""
    outside, fences = _outside_fences(text)
    found = _evidence(outside)
    return found >= 0 and 3 * fences + found >= _ENOUGH_EVIDENCE


def looks_like_fenced_markdown(text: str) -> bool:
    """Whether a sample is Markdown with a heading that shows code in fences: more code than words, it may be."""
    outside, fences = _outside_fences(text)
    return fences > 0 and _evidence(outside) > 0 and _HEADING.search(outside) is not None


def _outside_fences(text: str) -> tuple[str, int]:
    """What a sample holds outside fences, and how many of them there are."""
    sample = text if len(text) <= _SAMPLE_CHARS else text[:_SAMPLE_CHARS] + text[-_SAMPLE_CHARS // 4 :]
    return _FENCED.subn("", sample)


def _evidence(outside: str) -> int:
    """How much speaks for Markdown; -1 where the lines are not words, or a program's or a diff's."""
    if _NO_MARKDOWN.search(outside):
        return -1
    written = [line for line in outside.splitlines() if line and not line.isspace()]
    foreign = sum(_CODE.search(line) is not None or _SETTING.match(line) is not None for line in written)
    wordy = sum(line.count(" ") >= _WORDY_SPACES or not line.isascii() or _MARKED.match(line) is not None for line in written)
    if 4 * foreign > len(written) or 5 * wordy < 3 * len(written):
        return -1
    return sum(weight * min(len(sign.findall(outside)), most) for sign, weight, most in _EVIDENCE)
