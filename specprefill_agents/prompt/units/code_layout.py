"""Marks in source code -> its layout: short neighbours joined, long pieces cut by lines, definitions made blocks.

A statement needs the first line of each definition and compound statement around it, up to a handful. Closing brackets on
lines of their own belong to the statement before them, so that they cost no gap of their own. Comments and docstrings are
units apart from statements, and statements are lifted over them: a comment says in the words of a question what the code
beside it does, and would win over that code otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace

from specprefill_agents.prompt.units.code_lines import BLANK, CodeLines
from specprefill_agents.prompt.units.code_nodes import Role
from specprefill_agents.prompt.units.code_tree import Mark
from specprefill_agents.prompt.units.layout import Layout, LayoutBuilder, Limits
from specprefill_agents.prompt.units.lines import split_lines

STATEMENT_LIFT = 0.1
"""Puts a statement before a comment that scores about the same."""

_PROSE: frozenset[Role] = frozenset(["comment", "docstring", "text", "frame"])
_LIFTED: frozenset[Role] = frozenset(["statement", "frame"])
_CLOSING = re.compile(r"[\W\d_]*\Z")
_CLOSING_CHARS = 24


@dataclass(frozen=True, slots=True)
class _Piece:
    """The lines from `first` to before `last` that one mark or several short ones cover; `mark` is the first one's index.

    Its statement ends before line `until`. A piece that `leads` is a comment right above a definition, and goes with it.
    """

    first: int
    last: int
    mark: int
    until: int
    leads: bool = False


def code_layout(text: str, lines: CodeLines, marks: Sequence[Mark], limits: Limits) -> Layout:
    """The layout of `text`, which `lines` are the lines of; `marks` are in order, and the first covers what is before it."""
    pieces = _with_leads(lines, marks, list(_pieces(lines, marks, limits)))
    writer = _Writer(text, lines, marks, limits)
    for piece in pieces:
        writer.add(piece)
    return writer.builder.build()


def _pieces(lines: CodeLines, marks: Sequence[Mark], limits: Limits) -> Iterator[_Piece]:
    """One piece per mark, per run of short neighbours of the same sort under the same head, or per head with its short body."""
    heads = {mark.parent for mark in marks}
    held: _Piece | None = None
    index = 0
    while index < len(marks):
        after = _branch_end(lines, marks, heads, index, limits)
        mark = marks[index]
        last = marks[after].line if after < len(marks) else len(lines)
        piece = _Piece(mark.line if index else 0, last, index, mark.until)
        if held is None:
            held = piece
        elif _are_alike(lines, marks[held.mark], mark) and not {held.mark, index} & heads and _fit(lines, held, piece, mark.role, limits):
            held = _Piece(held.first, last, held.mark, max(held.until, mark.until))
        else:
            yield held
            held = piece
        index = after
    if held is not None:
        yield held


def _branch_end(lines: CodeLines, marks: Sequence[Mark], heads: Set[int], index: int, limits: Limits) -> int:
    """The mark after a head and all simple statements under it, when they fit in one unit; otherwise the next mark.

    A head that is also that of an `else` stays alone, so that the `else` does not drag the first branch along.
    """
    line = marks[index].line
    after = index + 1
    while after < len(marks) and marks[after].parent == index and marks[after].role == "statement" and after not in heads:
        after += 1
        if lines.size(line, marks[after - 1].line) > limits.max_chars:
            break
    end = marks[after].line if after < len(marks) else len(lines)
    goes_on = after < len(marks) and marks[after].parent == index
    is_whole = end == len(lines) or (0 <= lines.indents[end] <= lines.indents[line] and not goes_on)
    return after if is_whole and lines.size(line, end) <= limits.max_chars else index + 1


def _are_alike(lines: CodeLines, one: Mark, other: Mark) -> bool:
    """Whether two marks are of one sort and suite, so that their pieces may be joined: an `else` is not of the suite before it."""
    if one.opens or other.opens or lines.indents[one.line] != lines.indents[other.line]:
        return False
    return one.role == other.role and one.parent == other.parent


def _fit(lines: CodeLines, held: _Piece, piece: _Piece, role: Role, limits: Limits) -> bool:
    """Whether two neighbours are short enough to be one unit, with no blank line between them."""
    enough = limits.max_chars if role in _PROSE else limits.min_chars
    is_short = lines.size(held.first, held.last) < enough and lines.size(held.first, piece.last) <= limits.max_chars
    return is_short and lines.indents[held.last - 1] != BLANK


def _with_leads(lines: CodeLines, marks: Sequence[Mark], pieces: Sequence[_Piece]) -> list[_Piece]:
    """`pieces`, with each comment found out that stands right above a definition."""
    found: list[_Piece] = []
    for piece in reversed(pieces):
        after = found[-1] if found else None
        is_above = after is not None and (after.leads or marks[after.mark].opens) and marks[after.mark].parent == marks[piece.mark].parent
        leads = is_above and marks[piece.mark].role == "comment" and lines.indents[piece.last - 1] != BLANK
        found.append(replace(piece, leads=True) if leads else piece)
    return found[::-1]


class _Writer:
    """Writes pieces into a layout: their units, and where blocks begin."""

    def __init__(self, text: str, lines: CodeLines, marks: Sequence[Mark], limits: Limits) -> None:
        self.builder = LayoutBuilder("code")
        self._text = text
        self._lines = lines
        self._marks = marks
        self._limits = limits
        self._units: dict[int, int] = {}
        self._leads: list[int] = []
        self._block_first = 0
        self._sort: Role = "statement"
        self._ends: list[int] = []

    def add(self, piece: _Piece) -> None:
        """Add the units of `piece`, the next one in the text."""
        mark = self._marks[piece.mark]
        if self._begins_block(piece, mark):
            self.builder.begin_block()
            self._block_first = piece.first
        needs = (self._units[mark.parent],) if mark.parent >= 0 else ()
        first = self._units[piece.mark] = len(self.builder)
        for end in self._cuts(piece, mark.role):
            self.builder.add(end, needs=needs, lift=STATEMENT_LIFT if mark.role in _LIFTED else 0.0)
            needs = needs if mark.role in _PROSE else (first,)
        if piece.leads:
            self._leads.extend(range(first, len(self.builder)))
        else:
            for lead in self._leads:
                self.builder.also_needs(lead, (first,))
            self._leads.clear()

    def _begins_block(self, piece: _Piece, mark: Mark) -> bool:
        """Whether a definition begins or has ended, the sort of text changes, or the statement would make the block too long."""
        ended = bool(self._ends) and self._ends[-1] <= piece.first
        while self._ends and self._ends[-1] <= piece.first:
            self._ends.pop()
        if mark.opens:
            self._ends.append(piece.until)
        sort: Role = mark.role if mark.role == "frame" or (mark.role == "import" and mark.parent < 0) else "statement"
        turns, self._sort = sort != self._sort, sort
        used = self._lines.size(self._block_first, piece.first)
        is_full = used + self._size(piece) > self._limits.block_chars
        return not self._leads and (ended or mark.opens or piece.leads or turns or is_full)

    def _size(self, piece: _Piece) -> int:
        """Characters of the statement that the piece begins, as far as they count for a block."""
        return min(self._lines.size(piece.first, max(piece.until, piece.last)), self._limits.block_chars)

    def _cuts(self, piece: _Piece, role: Role) -> list[int]:
        """Ends of the units of `piece`: one, unless it is long; then paragraphs, which blank lines end, are cut by lines."""
        starts, limits = self._lines.starts, self._limits
        whole, least = (limits.max_chars, limits.max_chars // 2) if role in _PROSE else (2 * limits.max_chars, limits.min_chars)
        if self._lines.size(piece.first, piece.last) <= whole:
            return [starts[piece.last]]
        ends: list[int] = []
        for first, filled, last in self._paragraphs(piece):
            units = split_lines(self._text[starts[first] : starts[filled]], least, limits.max_chars)
            ends.extend(starts[first] + unit.end for unit in units)
            ends[-1] = starts[last]
        if len(ends) > 1 and ends[-1] - ends[-2] <= _CLOSING_CHARS and _CLOSING.match(self._text, ends[-2], ends[-1]):
            del ends[-2]  # a closing quote or bracket is no unit
        return ends

    def _paragraphs(self, piece: _Piece) -> Iterator[tuple[int, int, int]]:
        """The first line of each paragraph, the line after its last one that is not blank, and that of the next paragraph."""
        first = filled = piece.first
        for line in range(piece.first, piece.last):
            if self._lines.indents[line] != BLANK:
                filled = line + 1
            if line + 1 == piece.last or (filled <= line and self._lines.indents[line + 1] != BLANK):
                yield first, max(filled, first + 1), line + 1
                first = line + 1
