"""JSON, and what Python prints for lists, dictionaries and other values, read into positions in one pass.

Strict and iterative: a text is read to its end or not at all, at any depth of nesting. No value is ever built.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from specprefill_agents.prompt.units.json_tree import MAX_DEPTH, Value
from specprefill_agents.types import GapForm

_SPACE = r"[ \t\n\r]*"
_CLOSINGS = {"[": "]", "{": "}", "(": ")"}


@dataclass(frozen=True, slots=True)
class Notation:
    """One way to write nested values.

    `opening` reads the opening of an outermost container, `item` and `member` read the next piece inside a list and
    inside an object: a scalar, an opening or a closing, with key, comma and white space. Their `lastgroup` says which.
    """

    opening: re.Pattern[str]
    item: re.Pattern[str]
    member: re.Pattern[str]
    item_gap: GapForm
    member_gap: GapForm
    allows_last_comma: bool

    def begins(self, text: str) -> bool:
        """Whether `text` starts like a container in this notation, as far as its first scalar or empty container tells."""
        match, depth, piece = self.opening.match(text), 0, self.item
        while match is not None and match.lastgroup == "opening" and depth < MAX_DEPTH:
            depth, piece = depth + 1, self.piece_in(_is_keyed(match["opening"]))
            match = piece.match(text, match.end())
        if match is not None and match.lastgroup is None:  # a scalar and no comma: a closing must follow
            match = piece.match(text, match.end())
            if match is not None and match.lastgroup not in ("closing", "closing_comma"):
                return False
        if match is None or depth > 1 or match.lastgroup != "closing":
            return match is not None
        return match.end() == len(text) or self.opening.match(text, match.end()) is not None

    def piece_in(self, keyed: bool) -> re.Pattern[str]:
        """What reads the next piece inside a container."""
        return self.member if keyed else self.item


def _piece(key: str, scalar: str, opening: str, closing: str) -> re.Pattern[str]:
    after = rf"{_SPACE}(?P<{{}}>,{_SPACE})?"
    value = rf"(?:{scalar}){after.format('comma')}|(?P<opening>{opening}){_SPACE}"
    return re.compile(rf"{key}(?:{value})|(?P<closing>{closing}){after.format('closing_comma')}")


def _json() -> Notation:
    plain = r'[^"\\\x00-\x1f]*'
    string = rf'"{plain}(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{{4}}){plain})*"'
    number = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
    scalar = f"{string}|{number}|true|false|null|NaN|-?Infinity"
    brackets = (r"[\[{]", r"[\]}]")
    return Notation(
        opening=re.compile(rf"{_SPACE}(?P<opening>{brackets[0]}){_SPACE}"),
        item=_piece("", scalar, *brackets),
        member=_piece(f"{string}{_SPACE}:{_SPACE}", scalar, *brackets),
        item_gap="item",
        member_gap="member",
        allows_last_comma=False,
    )


def _python() -> Notation:
    string = "b?(?:" + "|".join(rf"{q}[^{q}\\\n]*(?:\\.[^{q}\\\n]*)*{q}" for q in "'\"") + ")"
    strings = f"{string}(?:{_SPACE}{string})*"  # pretty printers write a long one as several
    number = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?j?"
    name = r"[^\W\d]\w*"
    constant = rf"True|False|None|-?(?:nan|inf)|NaT|{name}(?:\.{name})+(?![\w(])|<[^<>\n]*>"
    brackets = (rf"[\[{{]|(?:{name}(?:\.{name})*)?\(", r"[\]})]")
    key = rf"(?:(?:{string}|{number}|{constant}){_SPACE}:{_SPACE}|{name}=)?"
    piece = _piece(key, f"{strings}|{number}|{constant}", *brackets)
    return Notation(
        opening=re.compile(rf"{_SPACE}(?P<opening>[\[{{(]){_SPACE}"),
        item=piece,
        member=piece,
        item_gap="plain",
        member_gap="plain",
        allows_last_comma=True,
    )


JSON = _json()
"""The language of `json.loads`, with its NaN and Infinity; gaps inside it are values themselves, so that it still parses."""
PYTHON = _python()
"""`str()` of built-in containers and of what is found in them, calls like `Decimal('1.50')` included; lenient about keys."""


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
        self._notation = notation
        self._leaf_chars = leaf_chars

    def begin(self, bracket: str, start: int, body: int) -> None:
        """A container starts at `start` and its contents at `body`."""
        self.brackets.append(bracket)
        self.piece = self._notation.piece_in(_is_keyed(bracket))
        if len(self.brackets) <= MAX_DEPTH + 1:
            self._open.append(_Open(start, body, []))
            self.parts = self._open[-1].parts

    def finish(self, closing: str, close: int, end: int) -> bool:
        """The innermost container closes at `close` and what follows its closing bracket begins at `end`; False if it cannot."""
        bracket = self.brackets.pop()
        depth = len(self.brackets)
        if closing != _CLOSINGS[bracket[-1]]:
            return False
        if depth <= MAX_DEPTH:
            container = self._open.pop()
            self.parts = self._open[-1].parts if self._open else self.roots
            is_leaf = depth == MAX_DEPTH or end - container.start <= self._leaf_chars
            self.parts.append(Value(container.start, end) if is_leaf else self._cut(container, bracket, close, end))
        self.piece = self._notation.piece_in(_is_keyed(self.brackets[-1])) if depth else self._notation.opening
        return True

    def _cut(self, container: _Open, bracket: str, close: int, end: int) -> Value:
        if _is_keyed(bracket):
            return Value(container.start, end, container.body, close, container.parts, "members", self._notation.member_gap)
        return Value(container.start, end, container.body, close, container.parts, "items", self._notation.item_gap)


def scan(text: str, notation: Notation, leaf_chars: int) -> list[Value] | None:
    """The outermost containers of `text`, which tile it, or None when there is anything else in it.

    Containers up to `leaf_chars` long, and those nested deeper than `MAX_DEPTH`, are reported without parts.
    """
    nesting = _Nesting(notation, leaf_chars)
    at, may_begin, may_close = 0, True, False
    while at < len(text):
        match = nesting.piece.match(text, at)
        if match is None:
            return None
        what, start, at = match.lastgroup, at, match.end()
        if what == "closing" or what == "closing_comma":
            if not may_close or not nesting.finish(match["closing"], start, at):
                return None
            if what == "closing_comma" and not nesting.brackets:
                return None
        elif not may_begin:
            return None
        elif what == "opening":
            nesting.begin(match["opening"], start, at)
        else:
            nesting.parts.append(Value(start, at))
        ends_value = what is None or what == "closing"  # without a comma
        may_begin = not ends_value or not nesting.brackets
        may_close = ends_value or what == "opening" or notation.allows_last_comma
    return None if nesting.brackets else nesting.roots


def _is_keyed(opening: str) -> bool:
    """Whether what stands behind `opening` has keys: objects and the arguments of calls."""
    return opening == "{" or len(opening) > 1
