"""Statements of one fragment of code, read off its syntax tree: where each begins, and under which head it stands.

A mark is put at the start of a line, never inside one. Knows no language: `code_nodes` says what each sort of node is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from specprefill_agents.prompt.units.code_nodes import (
    ATTRIBUTES,
    BODIES,
    CLAUSES,
    CLOSERS,
    TRANSPARENT,
    Role,
    is_bracketed,
    is_definition,
    role_of,
)
from specprefill_agents.prompt.units.code_parse import Fragment, Parsed
from specprefill_agents.prompt.units.layout import Limits

if TYPE_CHECKING:
    from tree_sitter import Node

_MAX_DEPTH = 48
_MAX_HEADS = 5
_NOT_ITEMS = TRANSPARENT | CLOSERS
_OPENED = BODIES | CLAUSES | TRANSPARENT
_PARTS = (BODIES | CLAUSES) - TRANSPARENT


class Mark(NamedTuple):
    """A piece of code begins at the start of `line` and stands under the mark with index `parent` (-1: under none).

    Its statement ends before line `until`; `opens` tells that it is a definition, to be kept or dropped as one. (Marks are
    tuples, since a text may have a hundred thousand.)
    """

    line: int
    parent: int
    role: Role = "statement"
    until: int = 0
    opens: bool = False


@dataclass(slots=True)
class Marks:
    """Marks in the order of their lines; a line has one mark at most."""

    marks: list[Mark] = field(default_factory=list)

    def add(self, mark: Mark) -> int:
        """The index of `mark`, or of the one that stands at its line already; plain text gives way."""
        if self.marks and mark.line == self.marks[-1].line and self.marks[-1].role == "text":
            self.marks[-1] = mark
        elif not self.marks or mark.line > self.marks[-1].line:
            self.marks.append(mark)
        return len(self.marks) - 1


def mark_statements(parsed: Parsed, fragment: Fragment, limits: Limits, marks: Marks) -> None:
    """Add a mark for every statement that may be kept or dropped on its own."""
    walk = _Walk(parsed, fragment, limits, marks)
    walk.inside(parsed.root, _Open(fragment.heads), _Place())


@dataclass(slots=True)
class _Open:
    """A statement that is being cut, and how far it has come.

    It stands under the marks `outer`; `first` is its own mark, None for what began before the fragment; `head` is the mark
    that its next inner statement stands under, at first its own. `whole` is the mark of the statement that it is an item in
    the brackets of, its own where it is no such item. `tail` is the row where a closing bracket after the last
    inner statement begins a line, when nothing but closing brackets followed so far.
    """

    outer: tuple[int, ...]
    first: int | None = None
    head: int | None = None
    whole: int | None = None
    after_inner: bool = False
    tail: int | None = None

    @property
    def heads(self) -> tuple[int, ...]:
        """The marks that the next inner statement stands under, the outermost first."""
        return self.outer if self.head is None else (*self.outer, self.head)


@dataclass(frozen=True, slots=True)
class _Place:
    """How deep a node is, whether a definition that is a block of its own is around it, whether brackets may be cut inside,
    whether it is an item in such brackets."""

    depth: int = 0
    in_block: bool = False
    cut_brackets: bool = False
    in_brackets: bool = False


@dataclass(frozen=True, slots=True)
class _Walk:
    parsed: Parsed
    fragment: Fragment
    limits: Limits
    marks: Marks

    def inside(self, node: Node, around: _Open, place: _Place) -> None:
        """Mark the statements inside `node`; what lies between them is head or tail of the statement `around`."""
        is_body = node.type in BODIES
        cuts = not is_body and place.cut_brackets and is_bracketed(node)
        is_body = is_body or cuts
        has_head = not is_body and any(child.type in _PARTS for child in node.children)  # which is cut by lines, if at all
        deeper = _Place(place.depth + 1, place.in_block, place.cut_brackets, cuts)
        shift, margins = self.parsed.shift, self.fragment.margins
        attribute: int | None = None
        comments: list[tuple[Node, int]] = []  # of a head, unless its body follows
        for child in node.children:
            kind = child.type
            row, column = child.start_point
            row -= shift
            starts_line = row < 0 or (row < len(margins) and column == margins[row])
            if starts_line and "comment" in kind and not is_body and not around.after_inner:
                comments.append((child, row))
                continue
            if kind in _OPENED:
                for comment, comment_row in comments:
                    self.statement(comment, comment_row, around, deeper)
            comments.clear()
            if starts_line and kind in ATTRIBUTES:
                attribute = row if attribute is None else attribute
            elif starts_line and kind not in _NOT_ITEMS and ((is_body and child.is_named) or "comment" in kind):
                self.statement(child, row if attribute is None else attribute, around, deeper)
                attribute = None
            elif place.depth < _MAX_DEPTH and (kind in _OPENED or (not has_head and self._is_long(child))):
                self.inside(child, around, deeper)
            elif around.after_inner:
                self.between(kind, row if starts_line else None, around)

    def statement(self, node: Node, row: int, around: _Open, place: _Place) -> None:
        """Mark a statement and, when it is long, what is inside it."""
        around.after_inner, around.tail = True, None
        if row < 0:  # the context's own statement, around the fragment
            self.inside(node, _Open(around.heads), place)
            return
        role = role_of(node)
        size = node.end_byte - node.start_byte
        defined = role == "statement" and not place.in_block and is_definition(node)
        until = self.fragment.line + min(self._row_of_end(node) + 1, len(self.fragment.margins))
        whole = around.whole if place.in_brackets else None
        parent = innermost(around.heads) if whole is None or len(around.heads) <= _MAX_HEADS else whole
        mark = self.marks.add(Mark(self.fragment.line + row, parent, role, until, defined))
        if role == "statement" and size > self.limits.max_chars and node.child_count and place.depth < _MAX_DEPTH:
            in_block = place.in_block or (defined and size <= self.limits.block_chars)
            place = _Place(place.depth, in_block, cut_brackets=size > 2 * self.limits.max_chars)
            self.inside(node, _Open(around.heads, mark, mark, mark if whole is None else whole), place)

    def between(self, kind: str, row: int | None, around: _Open) -> None:
        """A token after an inner statement, which begins the line of `row` or none: closing brackets stay with that statement,
        anything else heads what follows."""
        if around.tail is None:
            around.tail = row
        if around.tail is None or kind in CLOSERS:
            return
        parent = innermost(around.outer) if around.first is None else around.first
        head = self.marks.add(Mark(self.fragment.line + around.tail, parent))
        around.head = None if around.first is None else head
        around.after_inner, around.tail = False, None

    def _row_of_end(self, node: Node) -> int:
        row, column = node.end_point
        return row - self.parsed.shift - (column == 0)

    def _is_long(self, node: Node) -> bool:
        return node.end_byte - node.start_byte > self.limits.max_chars and node.child_count > 0


def innermost(heads: Sequence[int]) -> int:
    """The head that a statement under all these `heads` needs, -1 for none: the innermost, unless it is nested too deeply."""
    return heads[min(len(heads), _MAX_HEADS) - 1] if heads else -1
