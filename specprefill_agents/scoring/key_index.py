"""The attention-key index: read a context once, then score it for any question by one short pass and a product.

A few attention heads of a small draft ("retrieval heads") say where a question looks. For each context their pre-RoPE
key vectors are computed once, over windows of the context alone, behind a fixed prefix that soaks up the attention sink
and is dropped. A question runs alone through the same layers; its pre-RoPE query vectors against the stored keys, with
one softmax over all context tokens of the call, give the importance of every token. Keys do not depend on the question
or on other contexts, so they can be kept. Heads as in QRHead (arXiv 2506.09944), a draft for another model's prompt as
in speculative prefill (arXiv 2502.02789) and across model families (arXiv 2603.02631).

Axes: N heads, W query rows, T context tokens, D head size.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from specprefill_agents.draft.capture import HeadCapture
from specprefill_agents.draft.loading import Draft, load_config, load_draft
from specprefill_agents.scoring.context_keys import ContextKeys
from specprefill_agents.scoring.presets import HeadPreset, preset_for
from specprefill_agents.scoring.single_flight import SingleFlight
from specprefill_agents.scoring.words import content_words
from specprefill_agents.storage.layered import ScorerCaches
from specprefill_agents.storage.score_cache import RowStore, content_name
from specprefill_agents.types import TokenScores

POOL_TOKENS = 13
WINDOW_TOKENS = 512
THE_DRAFT = "draft"
GENERIC_QUERY = "important facts, results, errors and values"
"""Stands in for an empty question."""


class KeyIndexScorer:
    """Scores tokens by attention from the question's content words to stored keys of calibrated heads.

    `draft` must hold at least the layers of `preset`. `caches`, when given, keep keys, query vectors and scores across
    calls and must be bound to `key_index_fingerprint` of the same arguments; the scorer itself has no state. May be shared by
    threads: the draft reads one text at a time, and a text that several ask for at once is read once.
    `window_tokens` is the length in tokens of one draft pass. Raises `DraftError` for a model whose vectors cannot be
    captured exactly.
    """

    def __init__(self, draft: Draft, preset: HeadPreset, caches: ScorerCaches | None = None, window_tokens: int = WINDOW_TOKENS) -> None:
        self._draft = draft
        self._preset = preset
        self._caches = caches
        self._flights = SingleFlight()
        self._passes = SingleFlight()
        self._window = window_tokens
        self._prefix = torch.tensor(preset.prefix_ids(draft.tokenizer), dtype=torch.long)
        self._scales = np.array(HeadCapture(draft.model, preset.heads, "query").scales, np.float32)[:, None, None]
        self.fingerprint = key_index_fingerprint(draft, preset, window_tokens)

    def for_tenant(self, tenant: str) -> KeyIndexScorer:
        """One over the same draft that neither finds what others have kept nor waits for what others let it read, text by text."""
        other = copy.copy(self)
        other._caches = None if self._caches is None else self._caches.for_tenant(tenant)
        other._flights = SingleFlight()
        return other

    def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
        """Importance per token, in (0, sum of weights]: mass of the strongest query row, summed over heads, smoothed over 13 tokens."""
        if self._caches is None:
            return self._score([(self.read(context), False) for context in contexts], self.query_vectors(query))
        names = [content_name(context) for context in contexts]
        order = sorted(range(len(contexts)), key=lambda index: names[index])
        call = content_name(query, *(names[index] for index in order))
        held = self._caches.scores.get(call)
        if held is not None:
            return [one for _, one in sorted(zip(order, held, strict=True), key=lambda pair: pair[0])]
        keys = [self._keys(name, context, self._caches) for name, context in zip(names, contexts, strict=True)]
        scores = self._score(keys, self._query(query, self._caches))
        self._caches.scores.put(call, tuple(scores[index] for index in order))
        return scores

    def _score(self, contexts: Sequence[tuple[ContextKeys, bool]], vectors: NDArray[np.float32]) -> list[TokenScores]:
        masses = attention_mass(vectors, [keys for keys, _ in contexts], self._preset.head_weights)
        return [
            TokenScores(keys.offsets.astype(np.int64), average_pool(mass, POOL_TOKENS), cached)
            for (keys, cached), mass in zip(contexts, masses, strict=True)
        ]

    def _keys(self, name: str, context: str, caches: ScorerCaches) -> tuple[ContextKeys, bool]:
        with self._flights.alone(name):
            found = caches.keys.get(name)
            if found is not None:
                return found, True
            keys = self.read(context)
            caches.keys.put(name, keys)
            return keys, False

    def _query(self, query: str, caches: ScorerCaches) -> NDArray[np.float32]:
        name = content_name(query)
        with self._flights.alone(f"query:{name}"):
            vectors = caches.queries.get(name)
            if vectors is None:
                vectors = self.query_vectors(query)
                caches.queries.put(name, vectors)
            return vectors

    def read(self, context: str) -> ContextKeys:
        """Run the draft over `context` in windows and return its quantized keys."""
        encoding = self._draft.encode(context)
        quantized = [quantize(vectors) for vectors in self._windows(encoding.ids, "key")]  # each at once: float32 is much larger
        keys, scales = (np.concatenate(parts, axis=1) for parts in zip(*quantized, strict=True))
        return ContextKeys(encoding.offsets.astype(np.int32), keys, scales)

    def query_vectors(self, query: str) -> NDArray[np.float32]:
        """Query vectors (N, W, D) of the content words, scaled as the model does; a long question is read in windows like a context."""
        asked = query.strip() or GENERIC_QUERY
        encoding = self._draft.encode(asked)
        vectors = np.concatenate(list(self._windows(encoding.ids, "query")), axis=1)
        rows = overlapping_rows(encoding.offsets, [span for _, span in content_words(asked)])
        chosen = vectors[:, rows] if len(rows) else vectors
        scaled: NDArray[np.float32] = chosen * self._scales
        return scaled

    def _windows(self, ids: NDArray[np.int64], what: Literal["query", "key"]) -> Iterator[NDArray[np.float32]]:
        """Vectors (N, T, D) of `ids`, window by window, each behind the prefix; at least one window."""
        if not len(ids):
            yield np.zeros((len(self._preset.heads), 0, 1), np.float32)
            return
        # A capture ignores the passes of others, but torch counts hooks without a lock, and passes at once would add up in memory.
        with self._passes.alone(THE_DRAFT), HeadCapture(self._draft.model, self._preset.heads, what) as capture:
            for part in torch.from_numpy(ids).split(self._window):
                yield self._run(capture, part)

    def _run(self, capture: HeadCapture, ids: torch.Tensor) -> NDArray[np.float32]:
        """Vectors (N, T, D) of `ids` behind the prefix, which is dropped."""
        whole = torch.cat([self._prefix, ids]).unsqueeze(0).to(self._draft.device)
        with torch.inference_mode():
            vectors = capture.run(whole)[:, 0, len(self._prefix) :]
        result: NDArray[np.float32] = vectors.float().cpu().numpy()
        return result


def quantize(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric int8 per head and token: (N, T, D) -> keys (N, T, D) int8, scales (N, T) float32."""
    peaks = np.abs(vectors).max(axis=-1, initial=0.0)
    scales = np.where(peaks > 0, peaks / 127, 1).astype(np.float32)
    return np.rint(vectors / scales[..., None]).astype(np.int8), scales


def attention_mass(
    queries: NDArray[np.float32], contexts: Sequence[ContextKeys], weights: Sequence[float] = ()
) -> list[NDArray[np.float64]]:
    """Softmax over all tokens of all contexts per head and row, maximum over rows, weighted sum over heads: one (T,) each.

    `queries` (N, W, D) already scaled; `weights` (N,), 1 each when empty. Partial sums are added exactly (fsum), so
    the order of contexts cannot matter.
    """
    masses = [np.zeros(keys.keys.shape[1]) for keys in contexts]
    for head, (rows, weight) in enumerate(zip(queries, weights or [1.0] * len(queries), strict=True)):
        parts = [_logits(rows, context, head) for context in contexts]
        filled = [part for part in parts if part.shape[1]]
        if not filled:
            continue
        peak = np.max([part.max(axis=1) for part in filled], axis=0)
        for part in parts:  # in place from here on: most of the time went into fresh memory
            part -= peak[:, None]
            np.exp(part, out=part)
        sums = np.stack([part.sum(axis=1) for part in parts])
        total = np.array([math.fsum(column) for column in sums.T])
        for mass, part in zip(masses, parts, strict=True):
            part /= total[:, None]
            mass += weight * part.max(axis=0)
    return masses


def _logits(rows: NDArray[np.float32], context: ContextKeys, head: int) -> NDArray[np.float64]:
    """(W, D) against the keys of one head of one context: (W, T)."""
    if not len(context.offsets):
        return np.zeros((len(rows), 0))
    keys = context.keys[head].astype(np.float32)
    keys *= context.scales[head][:, None]
    logits: NDArray[np.float64] = (rows @ keys.T).astype(np.float64)
    return logits


def average_pool(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Centred moving average over `width` tokens, padding counted as zero (as in arXiv 2502.02789): (T,) -> (T,)."""
    if not len(values):
        return values
    half = width // 2
    sums = np.concatenate([[0.0], np.cumsum(np.pad(values, half))])
    pooled: NDArray[np.float64] = (sums[width:] - sums[:-width])[: len(values)] / width
    return pooled


def overlapping_rows(offsets: NDArray[np.int64], spans: Sequence[tuple[int, int]]) -> NDArray[np.intp]:
    """Indices of the tokens that overlap one of the `spans`, whose starts and ends rise."""
    if not spans or not len(offsets):
        return np.zeros(0, dtype=np.intp)
    starts = np.array([start for start, _ in spans])
    ends = np.array([end for _, end in spans])
    after = np.searchsorted(ends, offsets[:, 0], side="right")
    hit = (after < len(spans)) & (offsets[:, 1] > starts[np.minimum(after, len(spans) - 1)])
    return np.flatnonzero(hit)


def key_index_fingerprint(draft: Draft, preset: HeadPreset, window_tokens: int = WINDOW_TOKENS) -> str:
    """Identifies everything that scores of a `KeyIndexScorer` depend on besides the texts."""
    settings = f"{draft.revision}:{draft.dtype}:{preset.heads}:{preset.head_weights}:{preset.prefix}:{window_tokens}:{POOL_TOKENS}:pairs"
    return f"key_index:{hashlib.sha256(settings.encode()).hexdigest()[:16]}"


def load_key_index(name: str, *, device: str = "auto", disk: RowStore | None = None) -> KeyIndexScorer:
    """Load draft `name`, no deeper than its preset needs; results are kept in memory, and in `disk` when given.

    Raises `DraftError` when it has no preset.
    """
    preset = preset_for(load_config(name))
    draft = load_draft(name, layers=preset.layers, device=device)
    caches = ScorerCaches.of(disk, draft.revision, key_index_fingerprint(draft, preset))
    return KeyIndexScorer(draft, preset, caches)
