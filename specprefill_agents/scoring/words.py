"""Words of a text, and which of them carry content (for query rows and for lexical scoring)."""

from __future__ import annotations

import re

from specprefill_agents.types import Span

_WORD = re.compile(r"\w+")

STOP_WORDS = frozenset(
    """a about above after again against all also am an and any are as at be because been before being below between both
    but by can could did do does doing down during each few for from further get had has have having he her here hers him
    his how i if in into is it its itself just me more most my no nor not now of off on once only or other our out over
    own please same she should so some such tell than that the their them then there these they this those through to too
    under until up us very was we were what when where which while who whom whose why will with would you your""".split()
)


def words(text: str) -> list[tuple[str, Span]]:
    """Case-folded words with their character spans."""
    return [(match.group().casefold(), match.span()) for match in _WORD.finditer(text)]


def words_between(text: str, start: int, end: int) -> list[str]:
    """Case-folded words of text[start:end], without their spans: much faster than `words` over long texts."""
    return [word.casefold() for word in _WORD.findall(text, start, end)]


def content_words(text: str) -> list[tuple[str, Span]]:
    """The words that are no stop words; all words when nothing else is left."""
    found = words(text)
    return [item for item in found if item[0] not in STOP_WORDS] or found
