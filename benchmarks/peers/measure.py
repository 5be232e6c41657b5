"""One row under one system at one keep ratio -> its metrics, from the text alone, for every system by the same function.

Budgets and shares are counted in target tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.data import Question, Trajectory
from benchmarks.evaluate import RowMetrics, query_at, readable
from benchmarks.metrics import FoldedText
from benchmarks.peers.protocol import Reply, Request
from benchmarks.peers.words import shows, words, words_kept
from specprefill_agents import CompressionConfig
from specprefill_agents.accounting.tokens import TokenCounter

KEPT = ("answer", "evidence", "evidence_words", "values")
"""Share of answer and of evidence groups that the text shows verbatim, of the evidence's words that it shows in their order,
and of needed values."""
METRICS = (*KEPT, "share", "seconds", "tokens")
"""Besides: the share of target tokens, the seconds that the row takes at this keep ratio alone, and the target tokens it gave
the system to compress."""

NOTHING: RowMetrics = dict.fromkeys(METRICS)
"""Of a row on which the system failed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The metrics of one row, and the error that the system ended with."""

    metrics: RowMetrics
    error: str | None = None


class Measured(Protocol):
    """A system as the benchmark sees it."""

    def outcomes(self, row: Question | Trajectory, keeps: Sequence[float]) -> list[Outcome]:
        """One row at each of `keeps`."""
        ...


def kept_in_question(question: Question, texts: Sequence[str]) -> RowMetrics:
    """What `texts` show of what the question needs."""
    shown, found = [FoldedText(text) for text in texts], words("\n".join(texts))
    hits = {kind: [shows(shown, one.alternatives) for one in question.needles if one.kind == kind] for kind in ("answer", "evidence")}
    evidence = [words_kept(one.alternatives, found) for one in question.needles if one.kind == "evidence"]
    total = sum(of for _, of in evidence)
    return {
        **NOTHING,
        "answer": _mean(hits["answer"]),
        "evidence": _mean(hits["evidence"]),
        "evidence_words": sum(kept for kept, _ in evidence) / total if total else None,
    }


def kept_in_run(run: Trajectory, texts: Sequence[str]) -> RowMetrics:
    """What `texts`, one for each message, show of the values that later messages need."""
    shown = [FoldedText(text) for text in texts]
    return {**NOTHING, "values": _mean([shows(shown[: needed.used_in], [needed.value]) for needed in run.needed])}


@dataclass(frozen=True, slots=True)
class Asked:
    """A system that answers requests: `compress` is its answer, `counter` counts target tokens.

    In agent runs the new results of a step pass unchanged when together they have fewer than `min_tokens`, and a single
    one when it has fewer than the library's `min_result_tokens` (none without `min_tokens`): the floors of the library.
    """

    compress: Callable[[Request], Reply]
    counter: TokenCounter
    min_tokens: int

    def outcomes(self, row: Question | Trajectory, keeps: Sequence[float]) -> list[Outcome]:
        """One row at each of `keeps`."""
        return [self._trajectory(row, keep) if isinstance(row, Trajectory) else self._question(row, keep) for keep in keeps]

    def _ask(self, contexts: Sequence[str], question: str, keep: float) -> tuple[Reply, int]:
        tokens = sum(self.counter.count(text) for text in contexts)
        return self.compress(Request(tuple(contexts), question, int(tokens * keep), tokens)), tokens

    def _question(self, question: Question, keep: float) -> Outcome:
        contexts = [segment.text for segment in question.segments]
        reply, tokens = self._ask(contexts, question.query, keep)
        if reply.text is None:
            return Outcome(NOTHING, reply.error)
        kept = kept_in_question(question, [reply.text])
        return Outcome({**kept, "share": self._share([reply.text], contexts), "seconds": reply.seconds, "tokens": tokens})

    def _trajectory(self, run: Trajectory, keep: float) -> Outcome:
        texts = [readable(message) for message in run.messages]
        results = [index for index, message in enumerate(run.messages) if message["role"] == "tool"]
        shown, seconds, total = list(texts), 0.0, 0
        for index, query in new_results(run, self.counter, self.min_tokens):
            reply, tokens = self._ask([texts[index]], query, keep)
            if reply.text is None:
                return Outcome(NOTHING, reply.error)
            shown[index] = reply.text
            seconds, total = seconds + reply.seconds, total + tokens
        share = self._share([shown[index] for index in results], [texts[index] for index in results])
        return Outcome({**kept_in_run(run, shown), "share": share, "seconds": seconds, "tokens": total})

    def _share(self, kept: Sequence[str], original: Sequence[str]) -> float:
        total = sum(self.counter.count(text) for text in original)
        return sum(self.counter.count(text) for text in kept) / total if total else 1.0


def whole(request: Request) -> Reply:
    """The answer of a system that compresses nothing."""
    return Reply("\n\n".join(request.contexts), None, 0.0)


def new_results(run: Trajectory, counter: TokenCounter, min_tokens: int) -> list[tuple[int, str]]:
    """(message index, scorer's query) of every tool result that is compressed, at the step on which the model first sees it."""
    chosen: list[tuple[int, str]] = []
    least = CompressionConfig().min_result_tokens if min_tokens else 0
    messages, begun = run.messages, 0
    for end in range(1, len(messages) + 1):
        if end < len(messages) and messages[end]["role"] != "assistant":
            continue
        new = {index: counter.count(messages[index]["content"]) for index in range(begun, end) if messages[index]["role"] == "tool"}
        new = {index: tokens for index, tokens in new.items() if tokens >= least}
        if sum(new.values()) >= min_tokens:
            chosen += [(index, query_at(messages[:end])) for index in new]
        begun = end
    return chosen


def _mean(hits: Sequence[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None
