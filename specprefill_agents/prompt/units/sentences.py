"""Sentences of any language, and units made of them. Knows no paragraphs, no markup and no list of languages.

Marks that need no space after them (。！？ । ؟ ۔ ...) end a sentence where they stand; . ! ? … end one before white space
that no lower-case letter follows. In scripts that mark neither words nor sentences (Thai, Lao, Khmer, Burmese) a space is
the border of a phrase. A line break ends a sentence unless the line was wrapped. In doubt two sentences stay together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from specprefill_agents.prompt.units.layout import Limits
from specprefill_agents.prompt.units.long_sentences import cut_long, is_inside_character
from specprefill_agents.types import Span

WRAP_WIDTHS = range(40, 201)
"""Widths to which people and programs wrap lines, in columns."""

_SPACED = ".!?…‽"
_UNSPACED = "。！？．｡।॥۔؟։።፧།។៕။"
_QUOTES = "\"'”’“‘„»«›‹"
_OPENERS = _QUOTES + "([{（「『【〈《¿¡*_-"
# Quotation marks, brackets, emphasis, footnote marks and closing tags that belong to the sentence they close; “ and « close
# in some languages and open in others.
_CLOSING = r"(?:[\"'”’»›)\]}）」』】〉》〕*_]|[“‘«‹](?=\s)|[ \u00a0\u202f]»(?=\s)|\[\d{1,3}\]|</\w{1,12}>)*"
_MARKS = _SPACED + _UNSPACED
# Every alternative matches wherever its first character stands: nothing is read twice, whatever the text.
_BORDER = re.compile(rf"[{_MARKS}\r\n](?:(?<![\r\n])[{_MARKS}]*{_CLOSING})?\s*")
_PHRASES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_PHRASE_SCRIPT = re.compile(f"[{_PHRASES}]")
_PHRASE_BORDER = re.compile(rf"(?:{_BORDER.pattern})|(?<=[{_PHRASES}])[ \u00a0\u3000]+(?=[{_PHRASES}])(?!ๆ)")

_WIDE = re.compile("[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\U00020000-\U0003ffff]+")
_BULLET = re.compile(r"\s*(?:[-*+•–]|\d{1,3}[.)])\s")
_EMPTY_LINE = re.compile(r"\n[^\S\r\n]*\r?\n|\r[^\S\r\n]*\r")
_FIRST_WORD = re.compile(r"\s*\S{0,200}")

_BEFORE_NAMES = frozenset(
    "mr mrs ms mx dr prof st gen col maj capt lt sgt rev hon gov sen rep pres sr sra mme mlle hr fr vs cf viz al approx ca bzw vgl".split()
)
_BEFORE_NUMBERS = frozenset(
    "no nos nr num fig figs eq eqs sec sect ch chap vol art abs p pp ed op ref tab jan feb mar apr jun jul aug sep sept oct nov dec".split()
)


def weight(text: str, start: int, end: int) -> int:
    """Length in characters, where one of Chinese, Japanese or Korean counts as two: it says as much."""
    piece = text[start:end]
    return len(piece) if piece.isascii() else len(piece) + sum(map(len, _WIDE.findall(piece)))


def sentences(text: str, start: int, end: int) -> Iterator[Span]:
    """Sentences that tile `text[start:end]` (one paragraph), each with the white space that follows it."""
    pattern = _PHRASE_BORDER if _PHRASE_SCRIPT.search(text, start, end) else _BORDER
    width = _wrap_width(text, start, end)
    at = line = start
    for match in pattern.finditer(text, start, end):
        border = _after_line_break(match)
        if border is None:
            border = match.end()
            is_end = _ends_sentence(text, at, match)
        else:
            wrapped = width > 0 and _was_wrapped(text, (line, match.end()), border, width)
            line = border
            is_end = (not wrapped or _ends_sentence(text, at, match)) and not text[at:border].isspace()
        if is_end and border < end and not is_inside_character(text, border):
            yield at, border
            at = border
    if at < end:
        yield at, end


def sentence_units(text: str, start: int, end: int, limits: Limits) -> list[int]:
    """Where the units of `text[start:end]` (one paragraph) end: whole sentences, short ones merged, long ones cut.

    A sentence is cut only when it is longer than twice `limits.max_chars`.
    """
    units: list[Span] = []
    held = start
    for piece, piece_end in sentences(text, start, end):
        if piece > held and (piece_end - held > limits.max_chars or weight(text, held, piece) >= limits.min_chars):
            _append(units, text, (held, piece), limits)
            held = piece
        if piece_end - piece > 2 * limits.max_chars:
            for cut in cut_long(text, piece, piece_end, limits.max_chars):
                _append(units, text, (held, cut), limits)
                held = cut
    if held < end:
        _append(units, text, (held, end), limits)
    return [unit_end for _, unit_end in units]


def _append(units: list[Span], text: str, unit: Span, limits: Limits) -> None:
    """Add `unit`, to the one before it when it is short and both fit together."""
    if units and unit[1] - units[-1][0] <= limits.max_chars and weight(text, *unit) < limits.min_chars:
        unit = (units.pop()[0], unit[1])
    units.append(unit)


def _after_line_break(match: re.Match[str]) -> int | None:
    """Where the line after the border's last line break begins, or None when it holds none; indentation stays with its line."""
    found = match.group()
    last = max(found.rfind("\n"), found.rfind("\r"))
    return None if last < 0 else match.start() + last + 1


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    mark, found = match.group()[0], match.group()
    if mark.isspace():
        return mark not in "\r\n"
    following = text[match.end() : match.end() + 8].lstrip(_OPENERS)[:1]
    if mark in _UNSPACED:
        is_quotation_inside = found[-1] in "」』" and following in ("と", "っ")
        return not is_quotation_inside and not (mark == "．" and following.isdigit())
    if not found[-1].isspace() or following.islower():
        return False
    return mark != "." or found[1:2] == "." or not _is_abbreviation(text, start, match.start(), following)


def _is_abbreviation(text: str, start: int, dot: int, following: str) -> bool:
    """Whether the full stop at `dot` belongs to the word before it: an initial, U.S., Dr., No. 5, or the number of an item."""
    near = text[max(start, dot - 24) : dot]
    if not near or near[-1].isspace():
        return False
    word = near.split()[-1].lstrip(_OPENERS)
    parts = word.split(".")
    if all(len(part) <= 2 and part.isalpha() and _has_case(part) for part in parts) and (len(parts) > 1 or len(word) == 1):
        return True
    if word.lower() in _BEFORE_NAMES:
        return True
    if following.isdigit() and word.lower() in _BEFORE_NUMBERS:
        return True
    is_number = len(word) <= 8 and all(part.isdigit() for part in parts)
    return is_number and not text[start : dot - len(word)].strip()


def _has_case(word: str) -> bool:
    return word.lower() != word.upper()


def _wrap_width(text: str, start: int, end: int) -> int:
    """The width to which a paragraph's lines were wrapped, or 0 when they hardly were."""
    if text.find("\n", start, end) < 0 and text.find("\r", start, end) < 0:
        return 0
    longest = max(text[start:end].splitlines(), key=len, default="")
    if len(longest) > WRAP_WIDTHS[-1]:
        return 0
    return len(longest) if weight(longest, 0, len(longest)) in WRAP_WIDTHS else 0


def _was_wrapped(text: str, line: Span, following: int, width: int) -> bool:
    """Whether the first word of the line at `following` would not have fitted on the `line` before it (with its break)."""
    if _BULLET.match(text, following) or _EMPTY_LINE.search(text, line[0], following):
        return False
    length = len(text[line[0] : line[1]].rstrip())
    word = _FIRST_WORD.match(text, following)
    return length + 1 + (len(word.group().strip()) if word else 0) > width
