"""HTML and XML: elements as units, larger ones divided where their children or sentences end.

What is promised: no tag and no comment is cut; rows drag the header of their table along, and the contents of an XML element or
of an HTML list its opening tag when that is short. What is not: a closing tag stands with the last thing inside its
element and goes when that goes, so what is kept is to be read, not to be parsed.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from specprefill_agents.prompt.units.layout import Layout, Limits
from specprefill_agents.prompt.units.lines import split_lines
from specprefill_agents.prompt.units.markup_pieces import SHORT_OPENING, Pieces
from specprefill_agents.prompt.units.markup_tags import Tag, tags
from specprefill_agents.prompt.units.markup_tree import HTML_NAMES, Element, elements
from specprefill_agents.prompt.units.sentences import sentence_units

_TELLING = frozenset({"table", "ul", "ol", "dl", "select", "pre", "blockquote"})
_GATHERED = frozenset({"tr", "li", "dt", "dd", "option"})
_DEEPEST = 6
"""Elements nested deeper drag along what the element around them does, so that no unit drags a long chain along."""

_SAMPLE_TAGS = 200
_HEADER_CELL = re.compile(r"<th[\s>]", re.IGNORECASE)
_NOT_BLANK = re.compile(r"\S")


def split_markup(text: str, limits: Limits) -> Layout | None:
    """Small elements are units, short siblings share one. Blocks are the largest elements that fit into one; None without a tag."""
    found = list(tags(text))
    if not found:
        return None
    html = _is_html(text, found)
    writer = _Writer(text, limits, [tag for tag in found if tag.kind != "raw"], html=html)
    writer.write(elements(text, found, html=html))
    return writer.pieces.layout()


def _is_html(text: str, found: Sequence[Tag]) -> bool:
    if text.lstrip("\ufeff \t\r\n").startswith("<?xml"):
        return any(tag.name.lower() == "html" for tag in found[:_SAMPLE_TAGS])
    names = [tag.name.lower() for tag in found[:_SAMPLE_TAGS] if tag.name]
    return 2 * sum(name in HTML_NAMES for name in names) >= len(names)


@dataclass(slots=True)
class _Table:
    rows: int = 0
    header: tuple[int, ...] = ()


@dataclass(slots=True)
class _Container:
    """An element that is being written: its number, what stands around it, what its contents need."""

    number: int
    parent: int
    end: int
    close_start: int
    needs: tuple[int, ...] = ()
    depth: int = 0
    table: _Table | None = None


class _Writer:
    """Writes elements into pieces, from the outermost inwards, and remembers those that it is inside of."""

    def __init__(self, text: str, limits: Limits, inline: Sequence[Tag], *, html: bool) -> None:
        self.pieces = Pieces(text, limits)
        self._text = text
        self._limits = limits
        self._html = html
        self._tags = inline
        self._tag_starts = [tag.start for tag in inline]
        self._inside = [_Container(-1, -1, len(text), len(text))]
        self._block_until = 0

    def write(self, found: Sequence[Element]) -> None:
        """Everything, given all elements in order."""
        for number, element in enumerate(found):
            if element.start >= self.pieces.end:
                self._leave(element.start)
                self._add_text(element.start)
                self._add(number, element)
        self._leave(len(self._text))
        self._add_text(len(self._text))

    def _leave(self, at: int) -> None:
        """Close the elements that end at or before `at`."""
        while len(self._inside) > 1 and self._inside[-1].end <= at:
            left = self._inside[-1]
            self._add_text(left.close_start)
            self._inside.pop()
            if self.pieces.end < left.end:
                self.pieces.close(left.end, left.parent)

    def _add_text(self, end: int) -> None:
        if _NOT_BLANK.search(self._text, self.pieces.end, end):
            self._place(end, end)
            self._add_run(end, self._inside[-1].number, self._inside[-1].needs)

    def _add(self, number: int, element: Element) -> None:
        inside = self._inside[-1]
        is_row = element.name in ("tr", "thead") and inside.table is not None
        self._place(element.end, element.open_end, element.name)
        if is_row and element.end - self.pieces.end <= 2 * self._limits.max_chars:
            self._add_row(number, element, inside)
        elif element.end - self.pieces.end <= self._limits.max_chars:
            self.pieces.add(element.end, inside.number, inside.needs)
        elif element.has_children and (self._html or not element.is_mixed):
            self._enter(number, element, inside)
        elif self._is_telling(element) and element.open_end < element.close_start:
            needs = self._open(number, element, inside)
            self._add_run(element.end, number, needs, by_lines=element.name == "pre")
        else:
            self._add_run(element.end, inside.number, inside.needs, by_lines=element.is_raw and bool(element.name))

    def _place(self, end: int, open_end: int, name: str = "") -> None:
        """Choose the block for what ends at `end`, unless something around it has one already."""
        if self.pieces.end < self._block_until:
            return
        if end - self.pieces.end <= self._limits.block_chars:
            self.pieces.open_for(end, self._limits.block_chars if name in _GATHERED else self._limits.max_chars)
            self._block_until = end
        elif self.pieces.ends_in_opening:
            self.pieces.open_for(open_end, self._limits.block_chars)
        else:
            self.pieces.begin_block()

    def _add_row(self, number: int, element: Element, inside: _Container) -> None:
        table = inside.table
        assert table is not None
        table.rows += 1
        if table.rows == 1 and _HEADER_CELL.search(self._text, element.start, element.end):
            table.header = (self.pieces.add(element.end, inside.number, inside.needs, alone=True),)
        else:
            self.pieces.add(element.end, inside.number, table.header or inside.needs)

    def _enter(self, number: int, element: Element, inside: _Container) -> None:
        needs = self._open(number, element, inside)
        depth = inside.depth + (needs != inside.needs)
        table = inside.table
        if self._html and element.name == "table":
            table = _Table()
        elif element.name == "tr" and table is not None:
            table.rows += 1
            needs = table.header or needs
        self._inside.append(_Container(number, inside.number, element.end, element.close_start, needs, depth, table))

    def _open(self, number: int, element: Element, inside: _Container) -> tuple[int, ...]:
        """The opening tag; what the contents of `element` need."""
        is_needed = self._is_telling(element) and inside.depth < _DEEPEST
        opening = self.pieces.add_opening(element.open_end, inside.number, number, inside.needs, is_needed=is_needed)
        return (opening,) if is_needed else inside.needs

    def _is_telling(self, element: Element) -> bool:
        """Whether the opening tag says what the contents are, in few words."""
        is_named = element.name in _TELLING if self._html else bool(element.name)
        return is_named and not element.is_raw and element.open_end - element.start <= SHORT_OPENING

    def _add_run(self, end: int, parent: int, needs: tuple[int, ...], *, by_lines: bool = False) -> None:
        """Text, with the tags in it: one piece, or several that end where sentences or lines do."""
        start = self.pieces.end
        if end - start <= self._limits.max_chars:
            self.pieces.add(end, parent, needs)
        elif by_lines:
            units = split_lines(self._text[start:end], self._limits.min_chars, self._limits.max_chars)
            self.pieces.add_long(self._outside_tags([start + unit.end for unit in units]), parent, needs)
        else:
            self.pieces.add_long(self._outside_tags(sentence_units(self._text, start, end, self._limits)), parent, needs)

    def _outside_tags(self, cuts: Sequence[int]) -> list[int]:
        """The `cuts`, those inside a tag moved behind it; the last is the end of what is cut and stays."""
        moved: list[int] = []
        for cut in cuts[:-1]:
            before = bisect_left(self._tag_starts, cut) - 1
            outside = max(cut, self._tags[before].end) if before >= 0 else cut
            if outside < cuts[-1] and (not moved or outside > moved[-1]):
                moved.append(outside)
        return [*moved, cuts[-1]]


_SAMPLE_CHARS = 4_000
_CHARS_PER_TAG = 300
_TAG_LIKE = re.compile(r"<(/?)([A-Za-z][\w:.-]*)(?:[ \t\r\n/][^<>]*)?>")
_PROGRAM_LINE = re.compile(r"[;{}][ \t]*\r?$|^[ \t]*(?://|/?\*)|^(?:import|export|const|from|def|class|func|package)\b", re.MULTILINE)


def looks_like_markup(text: str) -> bool:
    """Whether a sample is a document's beginning, or has tags all through, opening and closing ones, and is no program."""
    head = text[:_SAMPLE_CHARS].lstrip("\ufeff \t\r\n")
    if head[:15].lower().startswith(("<!doctype html", "<?xml", "<html")):
        return True
    sample = head if len(text) <= _SAMPLE_CHARS else head + text[-_SAMPLE_CHARS // 4 :]
    found = list(_TAG_LIKE.finditer(sample))
    closing = sum(match[1] == "/" for match in found)
    least = 4 if head.startswith("<") else 10
    if len(found) < least or 6 * closing < len(found) or len(found) * _CHARS_PER_TAG < len(sample):
        return False
    return head.startswith("<") or 20 * len(_PROGRAM_LINE.findall(sample)) <= sample.count("\n") + 1
