"""Which lines of a text stand in an earlier text, in the same order: the unique-lines ("patience") form of a diff.

Lines that occur once in both texts are paired where their order agrees (the longest such chain), and each pair is extended
over the equal lines around it. So a moved line does not count, and a closing bracket only beside lines that do.
O(n log n) for n lines, whatever the texts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

LinePair = tuple[int, int]
"""Index of a line in the new text, and of the equal line in the earlier one."""


def split_lines_of(text: str) -> list[str]:
    """The lines of a text with their line breaks; joined, they are the text."""
    lines = text.split("\n")
    return [*(line + "\n" for line in lines[:-1]), *([lines[-1]] if lines[-1] else [])]


def matching_lines(new: Sequence[str], earlier: Sequence[str]) -> list[LinePair]:
    """Pairs of equal lines, both indices rising."""
    first = _common_start(new, earlier)
    last = _common_start(new[: first - len(new) - 1 : -1], earlier[: first - len(earlier) - 1 : -1])
    ends = len(new) - last, len(earlier) - last
    pairs = [(index, index) for index in range(first)]
    low = first - 1, first - 1
    for anchor in _in_order(_unique_pairs(new, earlier, first, ends)):
        pairs += [*_extended(new, earlier, low, anchor), anchor]
        low = anchor
    pairs += _extended(new, earlier, low, ends)
    return [*pairs, *((ends[0] + offset, ends[1] + offset) for offset in range(last))]


def _common_start(one: Sequence[str], other: Sequence[str]) -> int:
    shorter = min(len(one), len(other))
    return next((index for index in range(shorter) if one[index] != other[index]), shorter)


def _unique_pairs(new: Sequence[str], earlier: Sequence[str], first: int, ends: LinePair) -> list[LinePair]:
    """Lines that stand once in each text between `first` and `ends`, in the order of the new text."""
    counts = Counter(new[first : ends[0]])
    places = {line: index for index, line in enumerate(earlier[first : ends[1]], first)}
    others = Counter(earlier[first : ends[1]])
    unique = (line for line, count in counts.items() if count == 1 and others[line] == 1)
    at = {line: index for index, line in enumerate(new[first : ends[0]], first)}
    return sorted((at[line], places[line]) for line in unique)


def _in_order(pairs: Sequence[LinePair]) -> list[LinePair]:
    """The longest part of `pairs`, sorted by their first index, in which the second rises too."""
    tails: list[int] = []  # the smallest second index with which a chain of so many ends
    ends: list[int] = []  # which pair that is
    before: list[int] = []
    for index, (_, old) in enumerate(pairs):
        length = bisect_left(tails, old)
        before.append(ends[length - 1] if length else -1)
        if length == len(tails):
            tails.append(old)
            ends.append(index)
        else:
            tails[length], ends[length] = old, index
    chain: list[LinePair] = []
    at = ends[-1] if ends else -1
    while at >= 0:
        chain.append(pairs[at])
        at = before[at]
    return chain[::-1]


def _extended(new: Sequence[str], earlier: Sequence[str], low: LinePair, high: LinePair) -> list[LinePair]:
    """Equal lines right behind the pair `low` and right before the pair `high`, in order."""
    room = min(high[0] - low[0], high[1] - low[1]) - 1
    behind = 0
    while behind < room and new[low[0] + 1 + behind] == earlier[low[1] + 1 + behind]:
        behind += 1
    before = 0
    while before < room - behind and new[high[0] - 1 - before] == earlier[high[1] - 1 - before]:
        before += 1
    after = [(low[0] + 1 + offset, low[1] + 1 + offset) for offset in range(behind)]
    return after + [(high[0] - offset, high[1] - offset) for offset in range(before, 0, -1)]
