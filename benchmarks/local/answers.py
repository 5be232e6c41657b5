"""How right an answer is: F1 as SQuAD counts it, and whether it contains what it should. Pure."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """Lower case, without punctuation and articles, white space collapsed."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def f1(said: str, answers: Sequence[str]) -> float:
    """The best over `answers` of the harmonic mean of precision and recall of words."""
    return max(_f1(normalised(said).split(), normalised(answer).split()) for answer in answers)


def contains(said: str, answers: Sequence[str]) -> float:
    """1 where any of `answers` is a part of what was said, both normalised; else 0."""
    whole = normalised(said)
    return float(any(normalised(answer) in whole for answer in answers))


def share_contained(said: str, answers: Sequence[str]) -> float:
    """The share of `answers` that are parts of what was said, whatever their case."""
    return sum(answer.lower() in said.lower() for answer in answers) / len(answers)


def _f1(said: Sequence[str], answer: Sequence[str]) -> float:
    common = sum((Counter(said) & Counter(answer)).values())
    return 2 * common / (len(said) + len(answer)) if common else 0.0
