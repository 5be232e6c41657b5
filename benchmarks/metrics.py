"""What a benchmark counts: needles found in kept spans, means over rows, bootstrap intervals. Pure.

A needle matches text with case folded and white space collapsed. It is looked for in the *original*, and counts as kept
when every character of one occurrence lies in a kept span: so neither a gap mark nor two spans with a gap between them
can spell one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specprefill_agents import Span

RESAMPLES = 1_000


class FoldedText:
    """A text as needles are matched against it; every folded character knows its place in the original."""

    def __init__(self, text: str) -> None:
        folded: list[str] = []
        places: list[int] = []
        for place, character in enumerate(text):
            if not character.isspace():
                each = character.casefold()
                folded.append(each)
                places += [place] * len(each)
            elif folded and folded[-1] != " ":
                folded.append(" ")
                places.append(place)
        self._folded = "".join(folded)
        self._places = np.array(places, dtype=np.int64)
        self._inked = np.array([character != " " for character in self._folded], dtype=np.bool_)

    def find(self, needle: str) -> list[NDArray[np.int64]]:
        """The original places of the characters of each occurrence of `needle`, white space left out."""
        wanted = " ".join(needle.casefold().split())
        found = []
        at = self._folded.find(wanted) if wanted else -1
        while at >= 0:
            window = slice(at, at + len(wanted))
            found.append(self._places[window][self._inked[window]])
            at = self._folded.find(wanted, at + 1)
        return found


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Where one alternative of a needle stands: the text's index and the places of its characters in that text."""

    text: int
    places: NDArray[np.int64]


def locate(texts: Sequence[FoldedText], alternatives: Sequence[str]) -> list[Occurrence]:
    """Every occurrence of every alternative in `texts`."""
    return [
        Occurrence(index, places) for alternative in alternatives for index, text in enumerate(texts) for places in text.find(alternative)
    ]


def kept_mask(length: int, spans: Sequence[Span]) -> NDArray[np.bool_]:
    """Which of `length` characters lie in `spans`."""
    mask = np.zeros(length, dtype=np.bool_)
    for start, end in spans:
        mask[start:end] = True
    return mask


def kept_characters(occurrences: Sequence[Occurrence], masks: Sequence[NDArray[np.bool_]]) -> tuple[int, int]:
    """(kept, all) characters of the occurrence of which the largest share is kept; (0, 0) when there is none."""
    counts = [(int(masks[one.text][one.places].sum()), len(one.places)) for one in occurrences]
    return max(counts, key=lambda pair: pair[0] / pair[1], default=(0, 0))


def is_kept(occurrences: Sequence[Occurrence], masks: Sequence[NDArray[np.bool_]]) -> bool:
    """Whether one of `occurrences` survives whole."""
    kept, total = kept_characters(occurrences, masks)
    return total > 0 and kept == total


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over `n` rows with the ends of its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float
    n: int


def estimate(values: Sequence[float | None], seed: int = 0, resamples: int = RESAMPLES) -> Estimate | None:
    """Mean over the rows that have a value, and the percentile interval over `resamples` draws of rows; None without rows."""
    present = np.array([value for value in values if value is not None], dtype=np.float64)
    if not len(present):
        return None
    draws = np.random.default_rng(seed).integers(0, len(present), size=(resamples, len(present)))
    low, high = np.percentile(present[draws].mean(axis=1), [2.5, 97.5])
    return Estimate(float(present.mean()), float(low), float(high), len(present))


def paired_difference(first: Sequence[float | None], second: Sequence[float | None], seed: int = 0) -> Estimate | None:
    """Mean of `first` minus `second` over the same rows, with its interval; rows lacking either value do not count."""
    differences = [None if a is None or b is None else a - b for a, b in zip(first, second, strict=True)]
    return estimate(differences, seed)


def mean_over(columns: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Per row the mean over several columns (such as keep ratios); None where a column has none."""
    return [None if None in row else float(np.mean([value for value in row if value is not None])) for row in zip(*columns, strict=True)]
