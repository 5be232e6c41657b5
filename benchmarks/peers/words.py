"""What survives in a compressor's output text, where no spans say what was kept. Pure.

Looking in the text is generous: a needle counts also when pieces with a gap between them happen to spell it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks.metrics import FoldedText

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The words of `text`, case folded; punctuation is none."""
    return _WORD.findall(text.casefold())


def shows(texts: Sequence[FoldedText], alternatives: Sequence[str]) -> bool:
    """Whether one of `alternatives` stands verbatim in one of `texts`, case and white space aside."""
    return any(text.find(alternative) for alternative in alternatives for text in texts)


def words_in_order(wanted: Sequence[str], found: Sequence[str]) -> int:
    """Length of the longest common subsequence: how many of the `wanted` words stand in `found`, in their order.

    One pass over `found` on a bit vector as long as `wanted` (Hyyrö, 2004).
    """
    everywhere = (1 << len(wanted)) - 1
    places: dict[str, int] = {}
    for index, word in enumerate(wanted):
        places[word] = places.get(word, 0) | 1 << index
    missing = everywhere
    for word in found:
        matches = missing & places.get(word, 0)
        missing = ((missing + matches) | (missing - matches)) & everywhere
    return (everywhere ^ missing).bit_count()


def words_kept(alternatives: Sequence[str], found: Sequence[str]) -> tuple[int, int]:
    """(kept, all) words of the alternative of which the largest share stands in `found` in order; (0, 0) when none has words."""
    counts = [(words_in_order(wanted, found), len(wanted)) for wanted in map(words, alternatives) if wanted]
    return max(counts, key=lambda pair: pair[0] / pair[1], default=(0, 0))
