"""A scorer that is asked the same by several keep ratios and answers from memory, with the time that the answer took at first."""

from __future__ import annotations

import time
from collections.abc import Sequence

from specprefill_agents.scoring.base import Scorer, score_titled, scorer_fingerprint
from specprefill_agents.types import TokenScores


class SharedScorer:
    """Wraps `inner`. `spent_s` is the time spent in it, `charged_s` what that would have been without the memory."""

    takes_titles = True

    def __init__(self, inner: Scorer) -> None:
        self._inner = inner
        self._held: dict[tuple[tuple[str, ...], str, tuple[str | None, ...]], tuple[list[TokenScores], float]] = {}
        self.fingerprint = scorer_fingerprint(inner)
        self.spent_s = 0.0
        self.charged_s = 0.0

    def score(self, contexts: Sequence[str], query: str, titles: Sequence[str | None] = ()) -> list[TokenScores]:
        """As `inner`, once for each (contexts, query) since the last `forget()`."""
        asked = (tuple(contexts), query, tuple(titles))
        if asked not in self._held:
            started = time.perf_counter()
            scores = score_titled(self._inner, contexts, query, titles)
            elapsed = time.perf_counter() - started
            self._held[asked] = scores, elapsed
            self.spent_s += elapsed
        scores, elapsed = self._held[asked]
        self.charged_s += elapsed
        return scores

    def forget(self) -> None:
        """Drop what is held, such as between conversations."""
        self._held.clear()
