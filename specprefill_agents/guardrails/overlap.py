"""How far two choices of what to keep of the same texts agree. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from specprefill_agents.types import Span


def overlap(first: Sequence[Sequence[Span]], second: Sequence[Sequence[Span]]) -> float | None:
    """Characters that both keep over characters that either keeps (Jaccard), for the kept spans of each text; in [0, 1].

    Not the share of the first that the second keeps too: that one is 1 when the second keeps everything, so it cannot see
    that much is cut which another scorer holds to be important. Of two choices of one size that share s of it this is
    s / (2 - s), which at chance, with a share r kept, is r / (2 - r). None where nothing is kept by either, which says
    nothing. Give it candidates only: texts that pass whole agree always. Raises ValueError unless both have as many texts.
    """
    both = either = 0
    for one, other in zip(first, second, strict=True):
        ours, theirs = _disjoint(one), _disjoint(other)
        common = _common(ours, theirs)
        both += common
        either += sum(end - start for start, end in (*ours, *theirs)) - common
    return both / either if either else None


def _disjoint(spans: Sequence[Span]) -> list[Span]:
    """The same characters as sorted spans of which none overlaps another."""
    done: list[Span] = []
    for start, end in sorted(spans):
        start = max(start, done[-1][1]) if done else start
        if start < end:
            done.append((start, end))
    return done


def _common(one: Sequence[Span], other: Sequence[Span]) -> int:
    """Characters in both; each is sorted and disjoint."""
    count = at = beside = 0
    while at < len(one) and beside < len(other):
        count += max(0, min(one[at][1], other[beside][1]) - max(one[at][0], other[beside][0]))
        if one[at][1] <= other[beside][1]:
            at += 1
        else:
            beside += 1
    return count
