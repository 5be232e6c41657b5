"""Ways to meet a token budget with retrieved nodes. Each gives the texts that go on to the model.

A budget is in target tokens of the nodes' texts, and no system may exceed it but where it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from llama_index.core.postprocessor import SentenceEmbeddingOptimizer, SimilarityPostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore

from benchmarks.memo import MemoScorer
from benchmarks.peers.protocol import Reply, Request
from benchmarks.retrieval.corpus import copies
from benchmarks.retrieval.embedding import DraftEmbedding
from specprefill_agents import CompressionConfig, Compressor
from specprefill_agents.accounting.tokens import TokenCounter
from specprefill_agents.scoring.registry import make_scorer
from specprefill_llamaindex import SpecPrefillPostprocessor

THRESHOLDS = 64
"""Similarity thresholds tried for each budget."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a retriever found for a query, and what it has in target tokens."""

    query: str
    nodes: list[NodeWithScore]
    tokens: int


class System(Protocol):
    """Gives what goes on of `found` at `keep` of its tokens. `forget` is called between questions."""

    def __call__(self, found: Found, keep: float) -> list[str]:
        """The texts, at most `keep` of the tokens of what was found."""
        ...

    def forget(self) -> None:
        """Drop what was remembered of a question."""
        ...


def texts_of(nodes: Sequence[NodeWithScore]) -> list[str]:
    """What the nodes say, without metadata."""
    return [node.node.get_content(MetadataMode.NONE) for node in nodes]


@dataclass
class TopK:
    """No postprocessor: the nodes that the retriever ranks first, whole, as many as fit."""

    counter: TokenCounter

    def __call__(self, found: Found, keep: float) -> list[str]:
        texts = texts_of(found.nodes)
        used = np.cumsum([self.counter.count(text) for text in texts])
        return texts[: int(np.searchsorted(used, int(keep * found.tokens), side="right"))]

    def forget(self) -> None:
        """Nothing is remembered."""


@dataclass
class Similarity:
    """`SimilarityPostprocessor` with one cutoff for the whole set: the lowest with which the mean share meets the budget.

    As it is used, so a single question may get more or less than its share.
    """

    counter: TokenCounter
    everything: Sequence[Found]
    _cutoffs: dict[float, float] = field(default_factory=dict)

    def __call__(self, found: Found, keep: float) -> list[str]:
        if keep not in self._cutoffs:
            self._cutoffs[keep] = self._cutoff(keep)
        post = SimilarityPostprocessor(similarity_cutoff=self._cutoffs[keep])
        return texts_of(post.postprocess_nodes(found.nodes, query_str=found.query))

    def forget(self) -> None:
        """The cutoffs are the set's."""

    def _cutoff(self, keep: float) -> float:
        weights = [
            (node.score or 0.0, self.counter.count(text) / found.tokens)
            for found in self.everything
            for node, text in zip(found.nodes, texts_of(found.nodes), strict=True)
        ]
        weights.sort(reverse=True)
        used = np.cumsum([share for _, share in weights])
        fitting = int(np.searchsorted(used, keep * len(self.everything), side="right"))
        return weights[max(0, fitting - 1)][0]


@dataclass
class Sentences:
    """`SentenceEmbeddingOptimizer` with the lowest threshold that meets the budget, found for each question.

    Without neighbours of a sentence (its default keeps one on each side), and with a node left out where it raises because no
    sentence passes: its best case. `percentile_cutoff` keeps everything of a node in which it rounds to no sentence.
    """

    counter: TokenCounter
    embedding: DraftEmbedding

    def __call__(self, found: Found, keep: float) -> list[str]:
        budget = int(keep * found.tokens)
        low, high = -1.0, 1.0
        best: list[str] = []
        for _ in range(THRESHOLDS.bit_length() + 6):
            middle = (low + high) / 2
            texts = self._at(found, middle)
            if sum(self.counter.count(text) for text in texts) <= budget:
                best, high = texts, middle
            else:
                low = middle
        return best

    def forget(self) -> None:
        """Drop the sentences that were read."""
        self.embedding.forget()

    def _at(self, found: Found, threshold: float) -> list[str]:
        optimizer = SentenceEmbeddingOptimizer(embed_model=self.embedding, threshold_cutoff=threshold, context_before=0, context_after=0)
        texts = []
        for node in copies(found.nodes):
            try:
                texts += texts_of(optimizer.postprocess_nodes([node], query_str=found.query))
            except ValueError as error:
                if "zero sentences" not in str(error):
                    raise
        return texts


@dataclass
class LongLLMLingua:
    """LongLLMLingua 0.2.2 as LlamaIndex's adapter calls it: all nodes joined to one text, so that it cannot rank them.

    The adapter then makes a node of each paragraph that comes back, without the ids and with no score; the text is what
    counts here. LLMLingua counts its own tokens and may exceed the budget.
    """

    ask: Callable[[Request], Reply]

    def __call__(self, found: Found, keep: float) -> list[str]:
        joined = "\n\n".join(texts_of(found.nodes))
        reply = self.ask(Request((joined,), found.query, int(keep * found.tokens), found.tokens))
        if reply.text is None:
            raise RuntimeError(reply.error)
        return reply.text.split("\n\n")

    def forget(self) -> None:
        """The worker remembers one question by itself."""


class SpecPrefill:
    """`SpecPrefillPostprocessor`, all nodes sharing one budget; a failure ends the run."""

    def __init__(self, draft: str, scorer: str) -> None:
        settings = CompressionConfig(scorer=scorer, min_tokens=0, timeout_s=None, on_error="raise", max_scored_tokens=10**9)
        self._draft, self._settings = draft, settings
        self._memo = MemoScorer(make_scorer(settings, draft, "auto", None))

    def __call__(self, found: Found, keep: float) -> list[str]:
        compressor = Compressor(self._draft, replace(self._settings, keep_ratio=keep), scorer=self._memo, cache="memory")
        return texts_of(SpecPrefillPostprocessor(compressor).postprocess_nodes(found.nodes, query_str=found.query))

    def forget(self) -> None:
        """Drop the scores of a question."""
        self._memo.forget()
