"""How many of a kind might be lost when so many of a few were: exact one-sided bounds on a share (Clopper and Pearson 1934). Pure."""

from __future__ import annotations

from math import exp, lgamma, log, log1p

CONFIDENCE = 0.95
_HALVINGS = 50


def upper_bound(lost: int, count: int, confidence: float = CONFIDENCE) -> float:
    """The share above which fewer than 1 - `confidence` of samples of `count` would show `lost` or fewer; 1 for no sample.

    With nothing lost it is about 3 / `count` at 95 %, the rule of three. Raises ValueError unless 0 <= lost <= count.
    """
    _check(lost, count)
    if lost == count:
        return 1.0
    low, high = lost / count, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(lost, count, middle) > 1 - confidence else (low, middle)
    return high


def lower_bound(lost: int, count: int, confidence: float = CONFIDENCE) -> float:
    """The share below which fewer than 1 - `confidence` of samples would show `lost` or more; 0 for no sample."""
    _check(lost, count)
    return 1.0 - upper_bound(count - lost, count, confidence)


def _at_most(lost: int, count: int, share: float) -> float:
    """How likely `lost` or fewer of `count` are at this share, in (0, 1)."""
    if share >= 1.0:
        return 0.0
    whole = lgamma(count + 1)
    terms = (
        whole - lgamma(k + 1) - lgamma(count - k + 1) + (k * log(share) if k else 0.0) + (count - k) * log1p(-share)
        for k in range(lost + 1)
    )
    return sum(map(exp, terms)) if share > 0 else 1.0


def _check(lost: int, count: int) -> None:
    if not 0 <= lost <= count:
        raise ValueError(f"{lost} of {count} cannot be lost")
