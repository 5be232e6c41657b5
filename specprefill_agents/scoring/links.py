"""Documents that others name: where a unit that answers the question names another document's title, that one matters too.

This is the second hop of a question ("the director of that film"): its passage shares no words with the question, but
its title stands in the passage that does. Nothing is read again for it.

Axes: C contexts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.scoring.words import content_words, words_between

SOURCES = 16
"""So many of the best units are read for titles."""
LEAST_COVERAGE = 0.5
SCATTERED = 0.7
"""Coverage that a title counts for when all its words are there, but not as one phrase."""


class Source(NamedTuple):
    """A unit that may name titles: the context it stands in, its text and its score."""

    context: int
    text: str
    score: float


def link_scores(titles: Sequence[str | None], sources: Sequence[Source]) -> NDArray[np.float64]:
    """For each context (C,) the best source in another context that names its title: score times squared coverage.

    Coverage is the share of a title's words, weighted by their rarity among `titles`, that the source has; below one
    half it counts as none.
    """
    words = [frozenset(word for word, _ in content_words(title or "")) for title in titles]
    weights = _rarity(words)
    named = [(source, frozenset(words_between(source.text, 0, len(source.text))), source.text.casefold()) for source in sources]
    best = np.zeros(len(titles))
    for index, (title, own) in enumerate(zip(titles, words, strict=True)):
        total = math.fsum(weights[word] for word in sorted(own))
        for source, found, folded in named:
            if not title or total <= 0 or source.context == index or own.isdisjoint(found):
                continue
            coverage = math.fsum(weights[word] for word in sorted(own & found)) / total
            if coverage == 1 and title.casefold() not in folded:
                coverage = SCATTERED
            if coverage >= LEAST_COVERAGE:
                best[index] = max(best[index], source.score * coverage**2)
    return best


def best_sources(sources: Sequence[Source], count: int = SOURCES) -> list[Source]:
    """The `count` best sources of positive score, with all that are level with the last of them: order cannot matter."""
    falling = sorted((source.score for source in sources if source.score > 0), reverse=True)
    least = falling[min(count, len(falling)) - 1] if falling else math.inf
    return [source for source in sources if source.score >= least]


def _rarity(titles: Sequence[frozenset[str]]) -> dict[str, float]:
    """ln(1 + (n - df + 0.5) / (df + 0.5)) of each word over the titles, as in BM25."""
    frequency = Counter(word for words in titles for word in words)
    return {word: math.log(1 + (len(titles) - df + 0.5) / (df + 0.5)) for word, df in frequency.items()}
