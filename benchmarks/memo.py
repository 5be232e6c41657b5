"""A scorer that scores each (contexts, query) of one row once, so that all keep ratios share the work, and measures it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from specprefill_agents import Scorer, TokenScores
from specprefill_agents.scoring.base import score_titled, scorer_fingerprint


class MemoScorer:
    """Wraps `inner`; `forget()` between rows bounds what is held.

    `seconds` is the time spent in `inner`; `charged_seconds` what it would have been without the memory. `fresh_tokens` and
    `fresh_seconds` cover the calls of which no context was cached: scorer tokens read, and the time for reading them and the
    question.
    """

    def __init__(self, inner: Scorer) -> None:
        self._inner = inner
        self._held: dict[tuple[tuple[str, ...], str, tuple[str | None, ...]], tuple[list[TokenScores], float]] = {}
        self.fingerprint = scorer_fingerprint(inner)
        self.seconds = 0.0
        self.charged_seconds = 0.0
        self.fresh_seconds = 0.0
        self.fresh_tokens = 0

    takes_titles = True

    def score(self, contexts: Sequence[str], query: str, titles: Sequence[str | None] = ()) -> list[TokenScores]:
        """As `inner`, from memory when it was asked the same since the last `forget()`."""
        asked = (tuple(contexts), query, tuple(titles))
        if asked not in self._held:
            started = time.perf_counter()
            scores = score_titled(self._inner, contexts, query, titles)
            elapsed = time.perf_counter() - started
            self._held[asked] = scores, elapsed
            self.seconds += elapsed
            if not any(one.cached for one in scores):
                self.fresh_seconds += elapsed
                self.fresh_tokens += sum(len(one.scores) for one in scores)
        scores, elapsed = self._held[asked]
        self.charged_seconds += elapsed
        return scores

    def forget(self) -> None:
        """Drop the scores held; the measurements stay."""
        self._held.clear()
