"""Words of a text, and which of them carry content (for query rows and for lexical scoring).

Scripts that put no spaces between words (Chinese, Japanese, Thai ...), and Korean, which writes particles to its words,
give pairs of neighbouring characters in place of words: what search engines do without a dictionary.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from specprefill_agents.prompt.scripts import MARKS, UNSPACED, is_unspaced
from specprefill_agents.types import Span

_ASCII_WORD = re.compile(r"\w+")
_WORD = re.compile(rf"[{UNSPACED}]+|[^\W{UNSPACED}]+(?:[{MARKS}]+[^\W{UNSPACED}]*)*")
_LEAST = UNSPACED[0]
"""Of these characters the first: words that come before it in the order of characters begin with none of them."""

STOP_WORDS = frozenset(
    """a about above after again against all also am an and any are as at be because been before being below between both
    but by can could did do does doing down during each few for from further get had has have having he her here hers him
    his how i if in into is it its itself just me more most my no nor not now of off on once only or other our out over
    own please same she should so some such tell than that the their them then there these they this those through to too
    under until up us very was we were what when where which while who whom whose why will with would you your""".split()
)


def words(text: str) -> list[tuple[str, Span]]:
    """Case-folded words with their character spans, which rise; those of pairs overlap."""
    found = []
    for match in (_ASCII_WORD if text.isascii() else _WORD).finditer(text):
        at = match.start()
        for piece in _pieces(match.group()):
            found.append((piece.casefold(), (at, at + len(piece))))
            at += 1
    return found


def words_between(text: str, start: int, end: int) -> list[str]:
    """Case-folded words of text[start:end], without their spans: much faster than `words` over long texts."""
    if text.isascii():
        return [word.casefold() for word in _ASCII_WORD.findall(text, start, end)]
    return [piece.casefold() for word in _WORD.findall(text, start, end) for piece in ((word,) if word < _LEAST else _pieces(word))]


def content_words(text: str) -> list[tuple[str, Span]]:
    """The words that are no stop words; all words when nothing else is left."""
    found = words(text)
    return [item for item in found if item[0] not in STOP_WORDS] or found


def _pieces(word: str) -> Sequence[str]:
    """A word, or the pairs of a run of characters, each of which begins one character behind the one before."""
    return [word[at : at + 2] for at in range(len(word) - 1)] if len(word) > 2 and is_unspaced(word) else (word,)
