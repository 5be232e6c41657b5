"""Questions over contexts that were read before, against scoring them afresh.

A *new* question finds the contexts' keys, in memory or, with nothing in memory, on disk. A *repeated* one finds the final
scores. `afresh` is the key index without any cache. The `fused` rows are the default scorer (key index and BM25 by block)
over the same caches; they are compared with the same `afresh`, to which BM25 would only add.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.speed.plan import Subject
from benchmarks.speed.text import questions as ask
from benchmarks.speed.timing import milliseconds, ratio, seconds_of
from specprefill_agents.draft.loading import Draft
from specprefill_agents.scoring.base import Scorer
from specprefill_agents.scoring.fusion import LEXICAL_WEIGHT, FusionScorer, Member
from specprefill_agents.scoring.key_index import KeyIndexScorer, attention_mass
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.storage.layered import ScorerCaches
from specprefill_agents.storage.score_cache import ScoreCache, content_name

SIZE_LIMIT = 2**30


def fused(scorer: Scorer) -> FusionScorer:
    """The default scorer over a key index."""
    return FusionScorer([Member(scorer), Member(LexicalScorer(), LEXICAL_WEIGHT)])


@dataclass(frozen=True)
class _Asked:
    """One subject's contexts, cached both ways, and questions that were never asked before."""

    subject: Subject
    draft: Draft
    contexts: list[str]
    disk: ScoreCache
    fresh: Iterator[str] = field(default_factory=lambda: (f"{q} ({n})" for n in itertools.count() for q in ask()))

    def on_disk(self) -> KeyIndexScorer:
        """A scorer that has everything on disk and nothing in memory."""
        return self.subject.scorer(self.draft, ScorerCaches.of(self.disk, self.draft.revision, "benchmark"))

    def variants(self) -> dict[str, tuple[Callable[[], Scorer], str | None]]:
        """How each variant gets its scorer, outside the time taken, and its question; None stands for a new one each time."""
        memory = self.subject.scorer(self.draft, ScorerCaches.of(None, self.draft.revision, "benchmark"))
        old = next(self.fresh)
        for scorer in (memory, self.on_disk()):
            scorer.score(self.contexts, old)
        return {
            "new_memory": (lambda: memory, None),
            "new_disk": (self.on_disk, None),
            "repeated_memory": (lambda: memory, old),
            "repeated_disk": (self.on_disk, old),
            "fused_new_memory": (lambda: fused(memory), None),
            "fused_repeated_memory": (lambda: fused(memory), old),
        }


def questions(subject: Subject) -> dict[str, Any]:
    """Part 2."""
    sizes, draft = subject.sizes, subject.draft()
    text = subject.text(draft, sizes.question_tokens)
    step = -(-len(text) // sizes.question_contexts)
    contexts = [text[at : at + step] for at in range(0, len(text), step)]
    with tempfile.TemporaryDirectory(prefix="specprefill-") as made, ScoreCache(Path(made) / "cache", size_limit=SIZE_LIMIT) as disk:
        asked = _Asked(subject, draft, contexts, disk)
        seconds = _interleaved(asked, subject.scorer(draft))
        inside = _inside(asked, subject.scorer(draft))
    return {
        "tokens": sizes.question_tokens,
        "contexts": len(contexts),
        "dtype": str(draft.dtype).removeprefix("torch."),
        "ms": {name: milliseconds(taken) for name, taken in seconds.items()},
        "cheaper": {name: ratio(seconds["afresh"], taken) for name, taken in seconds.items() if name != "afresh"},
        "inside_a_new_question_ms": inside,
        "seconds": seconds,
    }


def _interleaved(asked: _Asked, afresh: Scorer) -> dict[str, list[float]]:
    """As `timing.interleaved`, each cheap variant being the median of several questions within a repetition."""
    variants = asked.variants()
    seconds: dict[str, list[float]] = {"afresh": [], **{name: [] for name in variants}}
    for _ in range(asked.subject.sizes.question_repeats):
        seconds["afresh"].append(_one(asked, afresh, next(asked.fresh)))
        for name, (make, old) in variants.items():
            taken = [_one(asked, make(), old or next(asked.fresh)) for _ in range(asked.subject.sizes.questions_each)]
            seconds[name].append(statistics.median(taken))
    return seconds


def _one(asked: _Asked, scorer: Scorer, question: str) -> float:
    return seconds_of(partial(scorer.score, asked.contexts, question))


def _inside(asked: _Asked, scorer: KeyIndexScorer) -> dict[str, float]:
    """The two costs of a new question: its own pass through the draft, and its vectors against all keys."""
    held = ScorerCaches.of(asked.disk, asked.draft.revision, "benchmark").keys
    found = [keys for keys in (held.get(content_name(context)) for context in asked.contexts) if keys is not None]
    assert len(found) == len(asked.contexts)
    passes, products, rows = [], [], []
    for question in itertools.islice(asked.fresh, asked.subject.sizes.questions_each):
        passes.append(seconds_of(partial(scorer.query_vectors, question)))
        vectors = scorer.query_vectors(question)
        products.append(seconds_of(partial(attention_mass, vectors, found)))
        rows.append(vectors.shape[1])
    return {"draft_pass": milliseconds(passes), "product": milliseconds(products), "rows": statistics.median(rows)}
