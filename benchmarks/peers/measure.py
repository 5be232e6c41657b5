"""One row under one peer at one keep ratio -> its metrics. Budgets and shares are counted in target tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.data import Question, Trajectory
from benchmarks.evaluate import METRICS, RowMetrics, query_at
from benchmarks.metrics import FoldedText
from benchmarks.peers.protocol import Reply, Request
from benchmarks.peers.words import shows, words, words_kept
from specprefill_agents import CompressionConfig
from specprefill_agents.accounting.tokens import TokenCounter

PEER_METRICS = (*METRICS, "evidence_words")
"""Those of every needle benchmark, of which `evidence_chars` needs spans and stays None, and the share of the evidence's words that
the output holds in their order."""

NOTHING: RowMetrics = dict.fromkeys(PEER_METRICS)
"""Of a row on which the peer failed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The metrics of one row, the seconds the peer took for it, and the error it ended with."""

    metrics: RowMetrics
    seconds: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """How one peer is asked: `compress` is its answer to a request, `counter` counts target tokens.

    In agent runs the new results of a step pass unchanged when together they have fewer than `min_tokens`, and a single
    one when it has fewer than the library's `min_result_tokens`: the floors under which the library is measured.
    """

    compress: Callable[[Request], Reply]
    counter: TokenCounter
    min_tokens: int

    def row(self, row: Question | Trajectory, keep: float) -> Outcome:
        """The outcome of one row."""
        return self._trajectory(row, keep) if isinstance(row, Trajectory) else self._question(row, keep)

    def _ask(self, contexts: Sequence[str], question: str, keep: float) -> Reply:
        tokens = sum(self.counter.count(text) for text in contexts)
        return self.compress(Request(tuple(contexts), question, int(tokens * keep), tokens))

    def _question(self, question: Question, keep: float) -> Outcome:
        contexts = [segment.text for segment in question.segments]
        reply = self._ask(contexts, question.query, keep)
        if reply.text is None:
            return Outcome(NOTHING, reply.seconds, reply.error)
        shown, found = [FoldedText(reply.text)], words(reply.text)
        hits = {k: [shows(shown, needle.alternatives) for needle in question.needles if needle.kind == k] for k in ("answer", "evidence")}
        evidence = [words_kept(needle.alternatives, found) for needle in question.needles if needle.kind == "evidence"]
        total = sum(of for _, of in evidence)
        metrics: RowMetrics = {
            **NOTHING,
            "answer": _mean(hits["answer"]),
            "evidence": _mean(hits["evidence"]),
            "evidence_words": sum(kept for kept, _ in evidence) / total if total else None,
            "share": self._share([reply.text], contexts),
        }
        return Outcome(metrics, reply.seconds)

    def _trajectory(self, run: Trajectory, keep: float) -> Outcome:
        texts = [readable(message) for message in run.messages]
        results = [index for index, message in enumerate(run.messages) if message["role"] == "tool"]
        shown, seconds = list(texts), 0.0
        for index, query in new_results(run, self.counter, self.min_tokens):
            reply = self._ask([texts[index]], query, keep)
            seconds += reply.seconds
            if reply.text is None:
                return Outcome(NOTHING, seconds, reply.error)
            shown[index] = reply.text
        folded = [FoldedText(text) for text in shown]
        values = _mean([shows(folded[: needed.used_in], [needed.value]) for needed in run.needed])
        share = self._share([shown[index] for index in results], [texts[index] for index in results])
        return Outcome({**NOTHING, "values": values, "share": share}, seconds)

    def _share(self, kept: Sequence[str], original: Sequence[str]) -> float:
        total = sum(self.counter.count(text) for text in original)
        return sum(self.counter.count(text) for text in kept) / total if total else 1.0


def new_results(run: Trajectory, counter: TokenCounter, min_tokens: int) -> list[tuple[int, str]]:
    """(message index, scorer's query) of every tool result that is compressed, at the step on which the model first sees it."""
    chosen: list[tuple[int, str]] = []
    messages, begun = run.messages, 0
    for end in range(1, len(messages) + 1):
        if end < len(messages) and messages[end]["role"] != "assistant":
            continue
        new = {index: counter.count(messages[index]["content"]) for index in range(begun, end) if messages[index]["role"] == "tool"}
        new = {index: tokens for index, tokens in new.items() if tokens >= CompressionConfig().min_result_tokens}
        if sum(new.values()) >= min_tokens:
            chosen += [(index, query_at(messages[:end])) for index in new]
        begun = end
    return chosen


def readable(message: Mapping[str, Any]) -> str:
    """All text of a message that the model sees: its content, and the arguments of its calls."""
    return "\n".join([message["content"], *(call["function"]["arguments"] for call in message.get("tool_calls", []))])


def _mean(hits: Sequence[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None
