"""Cut what no sentence border divides: at the most natural place within reach, never inside a combined character."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_PLACES = (
    re.compile(r"[.!?…][\"'”’»)\]]*\s+"),
    re.compile(r"[;:][\"'”’»)\]]*\s+|[；：]|\s[—–]\s"),
    re.compile(r"[,)\]][\"'”’»)\]]*\s+|[，、،؛]"),
    re.compile(r"\s+"),
)
"""From the most to the least natural: doubtful sentence ends, clauses, phrases, words."""

_SPACE = re.compile(r"\s*")
# Joiner, high surrogate, and the vowels of Thai and Lao that are written before their consonant.
_BINDS_NEXT = re.compile("[\u200d\ud800-\udbff\u0e40-\u0e44\u0ec0-\u0ec4]")
# Joiner, low surrogate, SARA AM, skin tones, flag letters (they come in pairs), conjoining Hangul vowels and finals.
_BINDS_BEFORE = re.compile("[\u200d\udc00-\udfff\u0e33\u0eb3\U0001f3fb-\U0001f3ff\U0001f1e6-\U0001f1ff\u1160-\u11ff]")


def cut_long(text: str, start: int, end: int, max_chars: int) -> Iterator[int]:
    """Where the pieces of `text[start:end]` end: each at most `max_chars` long without its white space, but the last.

    The last is at most twice as long. Only a single combined character longer than that makes a longer piece.
    """
    while end - start > 2 * max_chars:
        low, high = start + max(max_chars // 2, 1), start + max_chars
        cut = _natural_cut(text, low, high) or _between_characters(text, low, high, end)
        space = _SPACE.match(text, cut, end)
        start = space.end() if space else cut
        yield start
    if start < end:
        yield end


def _natural_cut(text: str, low: int, high: int) -> int | None:
    """The end of the last border in `text[low:high]` of the most natural sort that occurs there, or None."""
    for place in _PLACES:
        ends = (found.end() for found in place.finditer(text, low, high + 1))
        fitting = [end for end in ends if (end <= high or text[high].isspace()) and not is_inside_character(text, end)]
        if fitting:
            return fitting[-1]
    return None


def _between_characters(text: str, low: int, high: int, end: int) -> int:
    """A cut at `high` or the nearest place before it, down to `low`, else behind it, that divides no combined character."""
    for cut in range(high, low - 1, -1):
        if not is_inside_character(text, cut):
            return cut
    return next((cut for cut in range(high + 1, end) if not is_inside_character(text, cut)), end)


def is_inside_character(text: str, cut: int) -> bool:
    """Whether a cut before `text[cut]` would part a letter from its accent, a vowel sign, a flag's or an emoji's other half."""
    following = text[cut]
    if following.isascii():
        return False
    return bool(unicodedata.category(following)[0] == "M" or _BINDS_BEFORE.match(following) or _BINDS_NEXT.match(text[cut - 1]))
