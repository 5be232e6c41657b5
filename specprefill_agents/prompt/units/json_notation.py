"""How nested values are written: JSON, and what Python and JavaScript print and people type. Patterns only.

Every pattern reads one piece, and reads it in linear time: no two alternatives and no two repetitions in a row accept the
same character.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from specprefill_agents.prompt.units.json_tree import MAX_DEPTH
from specprefill_agents.types import GapForm

_SPACE = r"[ \t\n\r]*"
_PLAIN = r'[^"\\\x00-\x1f]*'
_JSON_CHARS = rf'{_PLAIN}(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{{4}}){_PLAIN})*'
_COMMENT = r"(?://[^\n]*\n|/\*[^*\n]*(?:\*(?!/)[^*\n]*)*\*/)"


@dataclass(frozen=True, slots=True)
class Notation:
    """One way to write nested values.

    `opening` reads the opening of an outermost container, `item` and `member` read the next piece inside a list and inside
    an object: a scalar, an opening or a closing, with key, comma and white space. Their `lastgroup` says which; a scalar
    that is a string is also the group `string`, made of `literal`s. `cut_item` and `cut_member` read a string that lacks
    its closing quote: `before` is its key and its opening quote, and it ends where the line does.
    """

    opening: re.Pattern[str]
    item: re.Pattern[str]
    member: re.Pattern[str]
    literal: re.Pattern[str]
    cut_item: re.Pattern[str]
    cut_member: re.Pattern[str]
    item_gap: GapForm
    member_gap: GapForm
    allows_last_comma: bool

    def begins(self, text: str, at: int = 0) -> bool:
        """Whether a container in this notation seems to begin at `at`, as far as its first scalar or empty container tells."""
        match, depth, piece, cut = self.opening.match(text, at), 0, self.item, self.cut_item
        while match is not None and match.lastgroup == "opening" and depth < MAX_DEPTH:
            depth, piece, cut, at = depth + 1, self.piece_in(match["opening"]), self.cut_in(match["opening"]), match.end()
            match = piece.match(text, at)
        if match is None:
            return depth > 0 and cut.match(text, at) is not None
        if match.lastgroup in SCALAR_ENDS:  # a scalar and no comma: a closing must follow, or nothing at all
            at = match.end()
            match = piece.match(text, at)
            if match is None or match.lastgroup not in ("closing", "closing_comma"):
                return at == len(text)
        if depth > 1 or match.lastgroup != "closing":
            return True
        return match.end() == len(text) or self.opening.match(text, match.end()) is not None

    def piece_in(self, bracket: str) -> re.Pattern[str]:
        """What reads the next piece inside the container that `bracket` opens."""
        return self.member if is_keyed(bracket) else self.item

    def cut_in(self, bracket: str) -> re.Pattern[str]:
        """What reads a string without an end inside the container that `bracket` opens."""
        return self.cut_member if is_keyed(bracket) else self.cut_item


SCALAR_ENDS = (None, "string")
"""`lastgroup` of a scalar that no comma follows."""


def is_keyed(opening: str) -> bool:
    """Whether what stands behind `opening` has keys: objects and the arguments of calls."""
    return opening == "{" or len(opening) > 1


def _piece(key: str, string: str, scalar: str, brackets: tuple[str, str], space: str = _SPACE) -> re.Pattern[str]:
    after = rf"{space}(?P<{{}}>,{space})?"
    value = rf"(?:(?P<string>{string})|{scalar}){after.format('comma')}|(?P<opening>{brackets[0]}){space}"
    return re.compile(rf"{key}(?:{value})|(?P<closing>{brackets[1]}){after.format('closing_comma')}")


def _cut(key: str, quotes: str) -> re.Pattern[str]:
    contents = "|".join(rf"(?<={q})[^{q}\\\n]*(?:\\[^\n][^{q}\\\n]*)*\\?" for q in quotes)
    return re.compile(rf"(?P<before>{key}[{quotes}])(?:{contents})(?=\n|\Z)")


def _json() -> Notation:
    string = f'"{_JSON_CHARS}"'
    scalar = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null|NaN|-?Infinity"
    brackets = (r"[\[{]", r"[\]}]")
    key = rf"{string}{_SPACE}:{_SPACE}"
    return Notation(
        opening=re.compile(rf"{_SPACE}(?P<opening>{brackets[0]}){_SPACE}"),
        item=_piece("", string, scalar, brackets),
        member=_piece(key, string, scalar, brackets),
        literal=re.compile(string),
        cut_item=_cut("", '"'),
        cut_member=_cut(key, '"'),
        item_gap="item",
        member_gap="member",
        allows_last_comma=False,
    )


def _printed() -> Notation:
    space = rf"{_SPACE}(?:{_COMMENT}{_SPACE})*"
    string = "b?(?:" + "|".join(rf"{q}[^{q}\\\n]*(?:\\.[^{q}\\\n]*)*{q}" for q in "'\"") + ")"
    strings = f"{string}(?:{_SPACE}{string})*"  # pretty printers write a long one as several
    number = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?j?"
    name = r"[^\W\d]\w*"
    word = rf"(?:True|False|None|true|false|null|undefined|NaN|NaT|nan|inf|Infinity)\b|-(?:nan|inf|Infinity)\b|{name}(?:\.{name})+(?![\w(])"
    constant = rf"{word}|<[^<>\n]*>"
    brackets = (rf"[\[{{]|(?:{name}(?:\.{name})*)?\(", r"[\]})]")
    key = rf"(?:(?:{string}|{number}|{constant}|{name}){space}:{space}|{name}=)?"
    piece = _piece(key, strings, f"{number}|{constant}", brackets, space)
    cut = _cut(f"{key}b?", "'\"")
    return Notation(
        opening=re.compile(rf"{space}(?P<opening>[\[{{(]){space}"),
        item=piece,
        member=piece,
        literal=re.compile(string),
        cut_item=cut,
        cut_member=cut,
        item_gap="plain",
        member_gap="plain",
        allows_last_comma=True,
    )


QUOTED = re.compile(rf'(?P<before>{_SPACE}"){_JSON_CHARS}(?P<behind>"{_SPACE})')
"""A whole text that is one JSON string."""
JSON = _json()
"""The language of `json.loads`, with its NaN and Infinity; gaps inside it are values themselves, so that it still parses."""
PRINTED = _printed()
"""`str()` of Python's containers and of what is found in them, calls like `Decimal('1.50')` included, and JSON as people write
it, with comments, last commas and keys without quotes; lenient about keys."""
NOTATIONS = (JSON, PRINTED)
"""In the order in which they are tried."""
