"""Nested values read into positions in one pass, whatever their notation; also those that break off.

Strict and iterative: reading goes on until a piece does not fit, at any depth of nesting. No value is ever built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from specprefill_agents.prompt.units.json_notation import SCALAR_ENDS, Notation, is_keyed
from specprefill_agents.prompt.units.json_tree import MAX_DEPTH, Value
from specprefill_agents.types import Span

MAX_NESTING = 10_000
"""Reading stops at a container nested deeper: nothing writes that, and a million brackets would take a second."""

_CLOSINGS = {"[": "]", "{": "}", "(": ")"}
_SPACE = re.compile(r"\s*")
_LONGEST_TAIL = 400
"""Characters that may follow the last readable piece on its line, unless they are a string without an end."""
_FEWEST_SCALARS = 2
"""What breaks off holds as many, or containers that are complete, or it may as well be something else."""


class Reading(NamedTuple):
    """Outermost containers one behind the other, the `end` of the last one, and where reading `stopped`.

    `rest` is a last container that breaks off, complete as far as it could be read, with what follows on the line as its
    last part; None when nothing of it could be read. `has_commas` tells of commas between the containers.
    """

    roots: list[Value]
    end: int
    stopped: int
    rest: Value | None
    has_commas: bool


class _Open(NamedTuple):
    """A container whose closing is still to come: where it starts, where its opening ends, and what it holds so far."""

    start: int
    body: int
    parts: list[Value]


class _Nesting:
    """What stands in what. `piece` reads what may come next, `parts` is where a scalar goes."""

    def __init__(self, notation: Notation, leaf_chars: int) -> None:
        self.roots: list[Value] = []
        self.parts = self.roots
        self.piece = notation.opening
        self.brackets: list[str] = []
        self._open: list[_Open] = []  # of the containers down to the first that is too deep to have parts
        self.notation = notation
        self.leaf_chars = leaf_chars

    def begin(self, bracket: str, start: int, body: int) -> None:
        """A container starts at `start` and its contents at `body`."""
        self.brackets.append(bracket)
        self.piece = self.notation.piece_in(bracket)
        if len(self.brackets) <= MAX_DEPTH + 1:
            self._open.append(_Open(start, body, []))
            self.parts = self._open[-1].parts

    def finish(self, closing: str, close: int, end: int) -> bool:
        """The innermost container closes at `close` and what follows its closing bracket begins at `end`; False if it cannot."""
        bracket = self.brackets[-1]
        if closing != _CLOSINGS[bracket[-1]]:
            return False
        self.brackets.pop()
        if len(self.brackets) <= MAX_DEPTH:
            self._leave(bracket, close, end)
        self.piece = self.notation.piece_in(self.brackets[-1]) if self.brackets else self.notation.opening
        return True

    def break_off(self, tail: Value) -> Value:
        """The outermost container, when all that are open end with `tail`."""
        if tail.end > tail.start:
            self.parts.append(tail)
        for bracket in self.brackets[MAX_DEPTH::-1]:
            self._leave(bracket, tail.end, tail.end)
        return self.roots.pop()

    @property
    def says_little(self) -> bool:
        """Whether what is open holds too little to tell what it is."""
        parts = [part for container in self._open for part in container.parts[:_FEWEST_SCALARS]]
        return len(parts) < _FEWEST_SCALARS and not any(part.parts for part in parts)

    def _leave(self, bracket: str, close: int, end: int) -> None:
        start, body, parts = self._open.pop()
        is_leaf = len(self._open) == MAX_DEPTH or end - start <= self.leaf_chars or not parts
        self.parts = self._open[-1].parts if self._open else self.roots
        if is_leaf:
            self.parts.append(Value(start, end))
        elif is_keyed(bracket):
            self.parts.append(Value(start, end, body, close, parts, "members", self.notation.member_gap))
        else:
            self.parts.append(Value(start, end, body, close, parts, "items", self.notation.item_gap))


def read(text: str, at: int, notation: Notation, leaf_chars: int, string_chars: int) -> Reading:
    """What can be read of `text` from `at` on, one outermost container after the other.

    Containers up to `leaf_chars` long, and those nested deeper than `MAX_DEPTH`, are reported without parts; strings longer
    than `string_chars` are reported with what stands between their quotes as their part.
    """
    nesting = _Nesting(notation, leaf_chars)
    end, has_commas, may_begin, may_close = at, False, True, False
    while at < len(text):
        match = nesting.piece.match(text, at)
        if match is None or len(nesting.brackets) > MAX_NESTING:
            break
        what, after = match.lastgroup, match.end()
        if what == "closing" or what == "closing_comma":
            if not may_close or not nesting.finish(match["closing"], at, after):
                break
            if not nesting.brackets:
                end = after
                has_commas = has_commas or what == "closing_comma"
        elif not may_begin:
            break
        elif what == "opening":
            nesting.begin(match["opening"], at, after)
        elif after - at > string_chars and match.end("string") - match.start("string") > string_chars:
            nesting.parts.append(_long_string(text, (at, after), match.span("string"), nesting))
        else:
            nesting.parts.append(Value(at, after))
        at = after
        ends_value = what in SCALAR_ENDS or what == "closing"  # without a comma
        may_begin = not ends_value or not nesting.brackets
        may_close = ends_value or what == "opening" or notation.allows_last_comma
    tail = _tail(text, at, nesting, string_chars, may_begin) if nesting.brackets else None
    return Reading(nesting.roots, end, at, nesting.break_off(tail) if tail else None, has_commas)


def _long_string(text: str, value: Span, string: Span, nesting: _Nesting) -> Value:
    """A string as a value that may be cut: between its quotes, or where it is written as several strings, between those."""
    start, end = value
    literals = [match.span() for match in nesting.notation.literal.finditer(text, *string)]
    if len(literals) > 1:
        parts = [Value(*part) for part in _filled([literal[0] for literal in literals[1:]], string, nesting.leaf_chars)]
        return Value(start, end, *string, parts, "text", nesting.notation.item_gap)
    body, close = string[0] + (2 if text[string[0]] == "b" else 1), string[1] - 1
    return Value(start, end, body, close, [Value(body, close)], "string", "string")


def _filled(borders: Sequence[int], span: Span, longest: int) -> Iterator[Span]:
    """Pieces that tile `span` and end at `borders`: as many as fit into `longest` characters."""
    start = reached = span[0]
    for border in (*borders, span[1]):
        if border - start > longest and reached > start:
            yield start, reached
            start = reached
        reached = border
    yield start, reached


def _tail(text: str, at: int, nesting: _Nesting, string_chars: int, may_begin: bool) -> Value | None:
    """What stands from `at` to the end of the line, where reading stopped; None when that makes no broken-off value of it."""
    cut = nesting.notation.cut_in(nesting.brackets[-1]).match(text, at) if may_begin else None
    if cut is not None and cut.end() - cut.end("before") > string_chars:
        body, close = cut.end("before"), cut.end()
        return Value(at, _end_of_all(text, close), body, close, [Value(body, close)], "string", "string")
    line_end = text.find("\n", at, at + _LONGEST_TAIL + 1)
    end = len(text) if line_end < 0 else line_end
    is_short = end - at <= _LONGEST_TAIL or cut is not None
    return Value(at, _end_of_all(text, end)) if is_short and not nesting.says_little else None


def _end_of_all(text: str, at: int) -> int:
    """The end of `text` when only white space is left behind `at`, otherwise `at`."""
    space = _SPACE.match(text, at)
    return len(text) if space and space.end() == len(text) else at
