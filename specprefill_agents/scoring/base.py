"""The Scorer protocol: the one method a scorer implements, and what its result must satisfy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from specprefill_agents.errors import ScoringError
from specprefill_agents.types import TokenScores


@runtime_checkable
class Scorer(Protocol):
    """Says how important each token of each context is for a query."""

    def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
        """One `TokenScores` per context, in order; scores are comparable across the contexts of this call.

        The order of the contexts must not change the scores, unless the scorer reads them as one prompt and says so.
        """
        ...


def score_titled(scorer: Scorer, contexts: Sequence[str], query: str, titles: Sequence[str | None]) -> list[TokenScores]:
    """`scorer.score`, with the contexts' `titles` (None where there is none) as third argument for a scorer that takes
    them: one with a true attribute `takes_titles`."""
    if getattr(scorer, "takes_titles", False):
        scores: list[TokenScores] = scorer.score(contexts, query, titles)  # type: ignore[call-arg]
        return scores
    return scorer.score(contexts, query)


def scorer_for(scorer: Scorer, tenant: str) -> Scorer:
    """`scorer`, as it serves this tenant: what it keeps of texts is found by no other. One that keeps something has a method
    `for_tenant`, which loads no second model; one without is taken for keeping nothing."""
    made: Scorer = scorer.for_tenant(tenant) if hasattr(scorer, "for_tenant") else scorer
    return made


def scorer_fingerprint(scorer: Scorer) -> str:
    """What identifies a scorer's behaviour in decision keys: its `fingerprint` attribute, else its class name."""
    return str(getattr(scorer, "fingerprint", type(scorer).__qualname__))


def check_scores(contexts: Sequence[str], scores: Sequence[TokenScores]) -> None:
    """Raise `ScoringError` unless there is one well-formed, finite result per context."""
    if len(scores) != len(contexts):
        raise ScoringError(f"scorer returned {len(scores)} results for {len(contexts)} contexts")
    for index, (context, result) in enumerate(zip(contexts, scores, strict=True)):
        offsets, values = result.offsets, result.scores
        if offsets.shape != (len(values), 2):
            raise ScoringError(f"context {index}: offsets {offsets.shape} do not fit scores {values.shape}")
        if not np.isfinite(values).all():
            raise ScoringError(f"context {index}: scores are not finite")
        if len(offsets) and (offsets.min() < 0 or offsets.max() > len(context) or (np.diff(offsets[:, 0]) < 0).any()):
            raise ScoringError(f"context {index}: offsets are outside the text or not in order")
