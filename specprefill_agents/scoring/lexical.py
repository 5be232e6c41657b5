"""BM25 over the same units that are selected: no model, the baseline every scorer has to beat.

Okapi BM25 (Robertson and Zaragoza 2009) with idf = ln(1 + (n - df + 0.5) / (df + 0.5)).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from specprefill_agents.prompt.scripts import unescaped
from specprefill_agents.prompt.units import DEFAULT_LIMITS, Limits, layout_of
from specprefill_agents.scoring.words import content_words, words_between
from specprefill_agents.types import TokenScores, Unit

K1 = 1.5
B = 0.75


class LexicalScorer:
    """Scores every word of a unit with the unit's BM25 score for the query; all contexts of a call are one collection."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self.fingerprint = f"bm25:{K1}:{B}:pairs:{limits}"

    def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
        """One score per unit; its offsets are the units themselves."""
        terms = sorted({word for word, _ in content_words(query)})
        units = [layout_of(context, self._limits).units for context in contexts]
        bags = [[_bag(context, u, frozenset(terms)) for u in part] for context, part in zip(contexts, units, strict=True)]
        everything = [bag for part in bags for bag in part]
        document_frequency = Counter(word for bag in everything for word in bag.terms)
        mean_length = sum(bag.words for bag in everything) / max(1, len(everything)) or 1.0
        idf = {t: math.log(1 + (len(everything) - document_frequency[t] + 0.5) / (document_frequency[t] + 0.5)) for t in terms}

        def score_of(bag: _Bag) -> float:
            norm = K1 * (1 - B + B * bag.words / mean_length)
            return math.fsum(idf[t] * count * (K1 + 1) / (count + norm) for t, count in bag.terms.items())

        return [
            TokenScores(
                np.array([(u.start, u.end) for u in part], dtype=np.int64).reshape(-1, 2),
                np.array([score_of(bag) for bag in part_bags], dtype=np.float64),
            )
            for part, part_bags in zip(units, bags, strict=True)
        ]


class _Bag(NamedTuple):
    """How many words a unit has, and how often it has each of the query's terms that it has."""

    words: int
    terms: Mapping[str, int]


_NO_TERMS: Mapping[str, int] = MappingProxyType({})


def _bag(text: str, unit: Unit, terms: frozenset[str]) -> _Bag:
    plain = unescaped(text[unit.start : unit.end])
    found = words_between(plain, 0, len(plain))
    return _Bag(len(found), _NO_TERMS if terms.isdisjoint(found) else Counter(word for word in found if word in terms))
