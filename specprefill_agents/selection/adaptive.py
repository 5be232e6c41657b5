"""`keep_ratio="auto"`: how much of a call is worth keeping, read off the scores. Pure arithmetic on arrays.

The mass of a unit is its tokens times how far its priority stands above the background. The budget is the share of tokens
in the best units that hold most of the mass, between a least and a greatest share for the kind of content. Where that is
nearly everything, the scores tell no part from another (they are flat) or the text is dense: it passes whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.prompt.units.layout import ContentKind

BACKGROUND = 0.1
"""Priority that counts as none, where the best unit of the call has 1."""
MASS = 0.8
"""Share of the mass that the kept units hold. On the evaluation sets (README) .8 keeps as much of what answers as a fixed
ratio of .4, at the mean cost of .29."""
LEAST_SHARE = 0.15
"""What is kept of any text, whatever stands out of it: below this, single-hop questions lose answers."""
LEAST_SHARES: Mapping[ContentKind, float] = MappingProxyType({"code": 0.25, "diff": 0.25})
"""Where less than that fails: agents that edit code lose symbols and lines that they need below a quarter."""
GREATEST_SHARE = 0.6
DENSE = 0.75
"""Share from which on a text passes whole: cutting it would save little, and what to cut is a guess."""


def wanted_share(priorities: NDArray[np.float64], costs: NDArray[np.int64]) -> float:
    """Share of the tokens (`costs`, (U,)) in the best units that hold `MASS` of the mass; 1 where no unit stands out."""
    mass = np.clip(priorities - BACKGROUND, 0.0, 1.0 - BACKGROUND) * costs
    order = np.argsort(-priorities, kind="stable")
    held = np.cumsum(mass[order])
    if not len(held) or held[-1] <= 0:
        return 1.0
    count = int(np.searchsorted(held, MASS * held[-1])) + 1
    return float(costs[order][:count].sum() / costs.sum())


def adaptive_budget(
    priorities: Sequence[NDArray[np.float64]], costs: Sequence[NDArray[np.int64]], kinds: Sequence[ContentKind], tokens: Sequence[int]
) -> int | None:
    """Budget of a call in target tokens, for texts of `tokens` each; None where they should pass whole.

    `priorities` and `costs` (U,) are those of the units of each text.
    """
    share = wanted_share(np.concatenate(priorities), np.concatenate(costs)) if priorities else 1.0
    if share >= DENSE:
        return None
    least = sum(LEAST_SHARES.get(kind, LEAST_SHARE) * count for kind, count in zip(kinds, tokens, strict=True))
    total = sum(tokens)
    return int(max(least, min(share, GREATEST_SHARE) * total))
