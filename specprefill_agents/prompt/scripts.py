"""Scripts that are not written as words between spaces, as classes of regular expressions; letters that JSON writes as numbers. Pure."""

from __future__ import annotations

import re

from specprefill_agents.types import Span

UNSPACED = (
    "\u0e00-\u0e4e\u0e80-\u0ece\u0f40-\u0fbc\u1000-\u1049\u1050-\u109f\u1780-\u17d3"  # Thai, Lao, Tibetan, Burmese, Khmer
    "\u1100-\u11ff\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3131-\u318e\u31f0-\u31ff"  # Jamo, Kana
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003fffd"  # Han, Hangul, half-width Kana
)
"""Ranges of characters, rising, of words without spaces around them; Hangul too, whose spaces stand around a word and its particles."""

MARKS = "\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0963\u0970-\u0dff\u200c\u200d"
"""Signs that belong to the letter before them and are no letters themselves: accents, points, vowels of Indian scripts."""

_UNSPACED = re.compile(f"[{UNSPACED}]")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def is_unspaced(text: str, at: int = 0) -> bool:
    """Whether the character at a place of a text is `UNSPACED`."""
    return _UNSPACED.match(text, at) is not None


def blanked(text: str) -> str:
    """A text with a space for every `UNSPACED` character, so that what stands between them stands alone; as long as it was."""
    return text if text.isascii() else _UNSPACED.sub(" ", text)


def unescaped(text: str) -> str:
    """A text with the letters that are written as `\\u5f20`, as JSON does that keeps to ASCII, as themselves."""
    return _ESCAPE.sub(_letter, text) if "\\u" in text else text


def escaped_letters(text: str) -> list[Span]:
    """Where such letters stand."""
    return [match.span() for match in _ESCAPE.finditer(text) if _letter(match).isalpha()]


def escapes_blanked(text: str) -> str:
    """A text with spaces for those of such letters that are `UNSPACED`; as long as it was."""
    return _ESCAPE.sub(lambda match: " " * len(match[0]) if is_unspaced(_letter(match)) else match[0], text)


def _letter(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16))
