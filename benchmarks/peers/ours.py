"""The library's own scorers, measured as its peers are: by the text that a model would read."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar
from unittest.mock import patch

from benchmarks.data import Question, Trajectory
from benchmarks.evaluate import readable, step_through, trusted
from benchmarks.memo import MemoScorer
from benchmarks.peers.measure import Outcome, kept_in_question, kept_in_run, new_results
from specprefill_agents import CompressionConfig, Compressor, Scorer, Span
from specprefill_agents.scoring.registry import make_scorer

OWN = ("random", "bm25", "key_index", "fused")
T = TypeVar("T")
LEAVES_OUT = "\0"
"""Stands where text was left out, for a gap mark, so that no needle is found across it or in it."""


def kept_text(text: str, spans: Sequence[Span]) -> str:
    """What is kept of `text`, without gap marks. Where only white space is left out, white space stands."""
    parts, end = [], 0
    for start, stop in spans:
        if start > end:
            parts.append(f"\n{LEAVES_OUT}\n" if text[end:start].strip() else " ")
        parts.append(text[start:stop])
        end = stop
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class Own:
    """One of the library's scorers with a draft on the CPU, at its defaults but for what a benchmark needs.

    Nothing is kept from one row to the next, so a row costs what it costs cold. All keep ratios of a row share its scores,
    and each is charged the time they took.
    """

    scorer: str
    draft: str
    seed: int
    min_tokens: int

    def config(self, keep: float) -> CompressionConfig:
        """Settings of one compressor; a failure must end the run, never count as a kept original."""
        return CompressionConfig(
            keep_ratio=keep,
            scorer=self.scorer,
            min_tokens=self.min_tokens,
            min_result_tokens=CompressionConfig().min_result_tokens if self.min_tokens else 0,
            seed=self.seed,
            timeout_s=None,
            on_error="raise",
            max_scored_tokens=10**9,
        )

    def outcomes(self, row: Question | Trajectory, keeps: Sequence[float]) -> list[Outcome]:
        """One row at each of `keeps`."""
        memo = MemoScorer(_fresh_scorer(self.config(keeps[0]), self.draft))
        compressors = [Compressor(self.draft, self.config(keep), scorer=memo, cache="memory") for keep in keeps]
        if isinstance(row, Trajectory):
            return [self._trajectory(row, compressor, memo) for compressor in compressors]
        return [self._question(row, compressor, memo) for compressor in compressors]

    def _question(self, question: Question, compressor: Compressor, memo: MemoScorer) -> Outcome:
        result, seconds = timed(lambda: trusted(compressor.compress(question.segments, question.query)), memo)
        texts = [kept_text(segment.text, one.spans) for segment, one in zip(question.segments, result.segments, strict=True)]
        share = result.usage.kept_tokens / result.usage.original_tokens
        kept = kept_in_question(question, texts)
        return Outcome({**kept, "share": share, "seconds": seconds, "tokens": result.usage.original_tokens})

    def _trajectory(self, run: Trajectory, compressor: Compressor, memo: MemoScorer) -> Outcome:
        (decided, share), seconds = timed(lambda: step_through(run, compressor), memo)
        texts = [readable(message) for message in run.messages]
        shown = [kept_text(text, decided[index].spans) if index in decided else text for index, text in enumerate(texts)]
        given = [compressor.counter.count(texts[index]) for index, _ in new_results(run, compressor.counter, self.min_tokens)]
        return Outcome({**kept_in_run(run, shown), "share": share, "seconds": seconds, "tokens": sum(given)})


def _fresh_scorer(config: CompressionConfig, draft: str) -> Scorer:
    """A scorer that remembers nothing, ready to read; the draft's weights are loaded once for all."""
    if config.scorer not in ("key_index", "fused"):
        return make_scorer(config, draft, "cpu", None)
    from specprefill_agents.scoring import key_index  # loads torch

    with patch.object(key_index, "load_draft", _held(key_index.load_draft)):
        scorer = make_scorer(config, draft, "cpu", None)
        scorer.score(["A text to begin with."], "begin")
    return scorer


@cache
def _held(load: Callable[..., object]) -> Callable[..., object]:
    return cache(load)


def timed(work: Callable[[], T], memo: MemoScorer) -> tuple[T, float]:
    """What `work` gives, and the seconds it would have taken had `memo` remembered nothing."""
    spared = memo.charged_seconds - memo.seconds
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started + (memo.charged_seconds - memo.seconds - spared)
