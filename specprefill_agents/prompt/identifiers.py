"""Identifiers that a question names: numbers, paths, symbols, codes; and where a text spells them out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.prompt.scripts import blanked, escapes_blanked, is_unspaced
from specprefill_agents.types import Unit

_CANDIDATE = re.compile(r"\w(?:[\w./:@+-]*\w)?")
_IDENTIFIER = re.compile(r"\d\d|\d.*[^\W\d]|[^\W\d].*\d|\w_\w|[^\W\d][./:@]\w|[a-z][A-Z]")
MAX_IDENTIFIERS = 64


def identifiers(text: str) -> list[str]:
    """Numbers of two digits and more, and words with digits, underscores, inner capitals, dots or slashes; case-folded.

    A script without spaces, such as Chinese, ends them and is no part of them.
    """
    found = (match.group() for match in _CANDIDATE.finditer(blanked(text)))
    return list(dict.fromkeys(word.casefold() for word in found if _IDENTIFIER.search(word)))[:MAX_IDENTIFIERS]


def searchable(text: str) -> str:
    """A text as `units_with` reads it: case-folded, which may shift a place by a character."""
    return escapes_blanked(text).casefold()


def units_with(name: str, folded: str, units: Sequence[Unit]) -> NDArray[np.intp]:
    """Indices of the units in which `name` starts as a word of its own in the `searchable` text."""
    places = list(places_of(name, folded)) if units else []
    if not places:
        return np.zeros(0, dtype=np.intp)
    starts = np.array([unit.start for unit in units])
    return np.unique(np.maximum(np.searchsorted(starts, places, side="right") - 1, 0))


def places_of(name: str, text: str) -> Iterator[int]:
    """Where `name` stands in a text as a word of its own. By `str.find`: a pattern that begins with a look behind is ten times slower."""
    at = text.find(name)
    while at >= 0:
        end = at + len(name)
        if not (at and _is_word(text[at - 1])) and not (end < len(text) and _is_word(text[end])):
            yield at
        at = text.find(name, at + 1)


def _is_word(character: str) -> bool:
    return (character.isalnum() or character == "_") and not is_unspaced(character)
