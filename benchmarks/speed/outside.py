"""What a call costs besides the draft and the tokenizer of the target: units, product, BM25, fusion, selection, rendering.

The default scorer compresses one text whose keys and whose question's vectors are held; its final scores are not. Time in
the token counter is taken out and reported apart. The draft's tokenizer is not run: offsets are kept with the keys.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.speed.plan import Subject
from benchmarks.speed.questions import fused
from benchmarks.speed.text import questions as ask
from benchmarks.speed.timing import interleaved, milliseconds, spread_per_size
from specprefill_agents import CompressionConfig, Compressor, Segment
from specprefill_agents.accounting.tokens import TokenCounter, counter_for
from specprefill_agents.observe.audit import LoggingAudit
from specprefill_agents.prompt.units import DEFAULT_LIMITS
from specprefill_agents.prompt.units.detect import plain_layout
from specprefill_agents.scoring.context_keys import ContextKeys
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.storage.layered import LayeredKeyCache, LayeredQueryCache, ScorerCaches
from specprefill_agents.storage.score_cache import Scope, content_name
from specprefill_agents.types import TokenScores

KEEP_RATIO = 0.3


class _TimedCounter:
    """A token counter that says how long it took since it was last asked."""

    def __init__(self, inner: TokenCounter) -> None:
        self._inner = inner
        self.name = inner.name
        self.seconds = 0.0

    def count(self, text: str) -> int:
        """Tokens of `text`."""
        started = time.perf_counter()
        tokens = self._inner.count(text)
        self.seconds += time.perf_counter() - started
        return tokens


class _KeepsNothing:
    """A cache of final scores that never has any."""

    def get(self, name: str, /) -> tuple[TokenScores, ...] | None:
        """None."""
        return None

    def put(self, name: str, value: tuple[TokenScores, ...], /) -> None:
        """Nothing."""


@dataclass(frozen=True)
class _Call:
    """One compression that is measured again and again."""

    compressor: Compressor
    counter: _TimedCounter
    text: str
    query: str
    counting: list[float]

    def run(self) -> None:
        """Compress, and note what the counter took of it."""
        self.counter.seconds = 0.0
        self.compressor.compress([Segment(self.text)], self.query)
        self.counting.append(self.counter.seconds)


def outside(subject: Subject) -> dict[str, Any]:
    """Part 3."""
    sizes, draft = subject.sizes, subject.draft()
    whole = subject.text(draft, max(sizes.outside_tokens))
    scope = Scope(draft.revision, "benchmark")
    caches = ScorerCaches(LayeredKeyCache(None, scope), LayeredQueryCache(None, scope), _KeepsNothing())
    scorer = subject.scorer(draft, caches)
    keys, query = scorer.read(whole), ask()[0]
    texts = {tokens: whole[: int(keys.offsets[tokens - 1, 1])] for tokens in sizes.outside_tokens}
    for tokens, text in texts.items():
        caches.keys.put(content_name(text), ContextKeys(keys.offsets[:tokens], keys.keys[:, :tokens], keys.scales[:, :tokens]))
    config = CompressionConfig(keep_ratio=KEEP_RATIO, timeout_s=None, on_error="raise", max_scored_tokens=10**9)
    counter = _TimedCounter(counter_for(config.target_tokenizer))
    compressor = Compressor(subject.name, config, scorer=fused(scorer), counter=counter, audit=LoggingAudit())
    calls = {str(tokens): _Call(compressor, counter, text, query, []) for tokens, text in texts.items()}
    seconds = interleaved({name: call.run for name, call in calls.items()}, sizes.outside_repeats)
    own = {name: [whole_s - part for whole_s, part in zip(taken, calls[name].counting[1:], strict=True)] for name, taken in seconds.items()}
    ms = {name: milliseconds(taken) for name, taken in own.items()}
    counts, values = list(sizes.outside_tokens), list(ms.values())
    return {
        "tokens": counts,
        "target_tokenizer": counter.name,
        "keep_ratio": KEEP_RATIO,
        "ms": ms,
        "ms_per_10k_tokens": {name: round(10_000 * value / int(name), 2) for name, value in ms.items()},
        "most_over_least_per_token": spread_per_size(counts, values),
        "counting_ms": {name: milliseconds(call.counting[1:]) for name, call in calls.items()},
        "of_which_ms": _stages(subject, texts, partial(scorer.score, query=query), query),
        "seconds": own,
    }


def _stages(
    subject: Subject, texts: Mapping[int, str], key_scores: Callable[[list[str]], object], query: str
) -> dict[str, dict[str, float]]:
    """Three of the stages alone: splitting into units (done once by each of BM25, fusion and compressor), BM25, key index."""
    lexical = LexicalScorer()
    found: dict[str, dict[str, float]] = {}
    for tokens, text in texts.items():
        stages: dict[str, Callable[[], object]] = {
            "units": partial(plain_layout, text, DEFAULT_LIMITS),
            "bm25": partial(lexical.score, [text], query),
            "key_index": partial(key_scores, [text]),
        }
        taken = interleaved(stages, subject.sizes.outside_repeats)
        found[str(tokens)] = {name: milliseconds(values) for name, values in taken.items()}
    return found
