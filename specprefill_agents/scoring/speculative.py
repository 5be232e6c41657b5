"""Speculative prefill as published (Liu, Chen and Zhang, ICML 2025, arXiv 2502.02789; repository Jingyu6/speculative_prefill).

The draft reads contexts and question as one prompt and looks ahead by a few greedy tokens. The attention of the last
prompt position and of the decoded tokens over the prompt, smoothed per head, maximum over all layers and heads, mean over
rows, is the importance of each prompt token; chunks of tokens win or lose together. Every question reads everything again.
The method that others are measured against; `key_index` reads a context once.

Axes: H heads, N rows, S prompt tokens, T tokens of one context.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specprefill_agents.draft.loading import Draft, load_draft
from specprefill_agents.draft.look_ahead import LookAhead
from specprefill_agents.errors import ConfigError, ScoringError
from specprefill_agents.scoring.joint_prompt import PromptFrame
from specprefill_agents.types import TokenScores


@dataclass(frozen=True, slots=True)
class _Piece:
    """Characters `start` to `end` of context number `index`."""

    index: int
    start: int
    end: int


class SpeculativeScorer:
    """Scores tokens by a draft's attention over one joint prompt; `draft` is loaded with its head (`load_speculative`).

    `look_ahead.rows` is the published N, 8; 1 decodes nothing and needs no head. `pool_tokens` (odd) is the width of the
    moving average, `chunk_tokens` the length of chunks counted from the start of the prompt, None for none. Raises
    `ConfigError` for a setting out of range, `DraftError` for a draft without head, or whose attention cannot be read.

    Unlike other scorers', the scores depend on the order of the contexts: the draft reads them as one text, in order,
    empty ones left out. Nothing is cached, nothing is kept by force, and layers with a sliding window do not count. May be
    shared by threads, which read one after the other (`AttentionRows`).
    """

    def __init__(self, draft: Draft, *, look_ahead: LookAhead | None = None, pool_tokens: int = 13, chunk_tokens: int | None = 32) -> None:
        ahead = look_ahead or LookAhead()
        if chunk_tokens is not None and chunk_tokens < 1:
            raise ConfigError("chunk_tokens", chunk_tokens, "an integer >= 1, or None")
        if pool_tokens < 1 or pool_tokens % 2 == 0:
            raise ConfigError("pool_tokens", pool_tokens, "an odd number of tokens")
        ahead.check(draft)
        self._draft = draft
        self._look_ahead = ahead
        self._pool = pool_tokens
        self._chunk = chunk_tokens
        self._frame = PromptFrame.of(draft)
        settings = f"{draft.revision}:{draft.dtype}:{ahead}:{pool_tokens}:{chunk_tokens}:{self._frame}"
        self.fingerprint = f"speculative:{hashlib.sha256(settings.encode()).hexdigest()[:16]}"

    def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
        """Importance per token, in [0, 1]: the mean of its chunk, which may reach into a neighbour or the template.

        Contexts that do not fit the draft's window together are read in groups, each with the query; a context that does
        not fit alone is cut, at a line break where there is one. Scores of different groups are compared as they are. Of
        a query longer than half the window the end is read, of an empty one nothing: importance for the next turn at
        large. Raises `ScoringError` when the window holds no context beside template and query.
        """
        pieces = [_Piece(index, 0, len(context)) for index, context in enumerate(contexts) if context]
        done = self._read(contexts, pieces, self._shortened(query.strip())) if pieces else []
        return [_joined([scores for piece, scores in done if piece.index == index]) for index in range(len(contexts))]

    def positions(
        self, prompt_ids: Sequence[int], keep_ratio: float, *, always_keep_first: int = 0, always_keep_last: int = 0
    ) -> NDArray[np.int64]:
        """Ascending positions of the tokens to keep, for a local target with the draft's tokenizer.

        The best ceil(chunks * keep_ratio) chunks, as published: that form keeps nothing by force, neither the first
        token nor the question nor the template's closing tokens, and so breaks answers. `always_keep_first` and
        `always_keep_last` tokens are kept in addition. The target wants these positions as `position_ids`.
        Raises `ConfigError` for an argument out of range, `ScoringError` for a prompt longer than the draft's window.
        """
        if not 0 < keep_ratio <= 1:
            raise ConfigError("keep_ratio", keep_ratio, "a number in (0, 1]")
        for field, value in (("always_keep_first", always_keep_first), ("always_keep_last", always_keep_last)):
            if value < 0:
                raise ConfigError(field, value, "an integer >= 0 (tokens)")
        ids = np.asarray(prompt_ids, dtype=np.int64)
        if not len(ids):
            return ids
        if not self._fits(len(ids)):
            raise ScoringError(
                f"the prompt has {len(ids)} tokens and {self._look_ahead.rows - 1} of look-ahead, "
                f"the window of draft {self._draft.name!r} {self._draft.window}"
            )
        size = self._chunk or 1
        means = chunk_means(self.importance(ids), size)
        # A product such as 10 * 0.7 lies a rounding error above the whole number that is meant.
        count = math.ceil(len(means) * keep_ratio - 1e-9)
        kept = np.zeros(len(ids), dtype=np.bool_)
        kept[:always_keep_first] = True
        kept[max(0, len(ids) - always_keep_last) :] = True
        for chunk in np.argsort(-means, kind="stable")[:count]:
            kept[chunk * size : (chunk + 1) * size] = True
        return np.flatnonzero(kept).astype(np.int64)

    def importance(self, prompt_ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """Importance (S,) of each token of a prompt (S,) that fits the window, before chunks. Raises `ScoringError` when
        it is not finite."""
        prompt = torch.from_numpy(prompt_ids)
        strongest = torch.zeros(self._look_ahead.rows, len(prompt), device=self._draft.device)

        def consume(row: int, _layer: int, probabilities: Tensor) -> None:
            """Smooth (H, S) per head, padding counted as zero, and take it into the row's maximum over layers and heads."""
            pooled = torch.nn.functional.avg_pool1d(probabilities[None], self._pool, stride=1, padding=self._pool // 2)
            torch.maximum(strongest[row], pooled[0].amax(dim=0), out=strongest[row])

        rows = self._look_ahead.read(self._draft, prompt, consume)
        mean: NDArray[np.float64] = strongest[:rows].mean(dim=0).double().cpu().numpy()
        if not np.isfinite(mean).all():
            raise ScoringError(f"the attention of draft {self._draft.name!r} is not finite")
        return mean

    def _read(self, contexts: Sequence[str], pieces: list[_Piece], query: str) -> list[tuple[_Piece, TokenScores]]:
        """Scores of each piece: all in one prompt if that fits the window, else half of them after the other."""
        prompt = self._frame.join(self._draft, [contexts[piece.index][piece.start : piece.end] for piece in pieces], query)
        if not self._fits(len(prompt.ids)):
            first, second = _halves(contexts, pieces)
            if not (first and second):
                raise ScoringError(f"the window of draft {self._draft.name!r} ({self._draft.window} tokens) has no room beside the query")
            return self._read(contexts, first, query) + self._read(contexts, second, query)
        scores = self.importance(prompt.ids)
        if self._chunk:
            scores = chunk_means(scores, self._chunk).repeat(self._chunk)[: len(scores)]
        return [
            (piece, TokenScores(offsets + piece.start, scores[places]))
            for piece, places, offsets in zip(pieces, prompt.places, prompt.offsets, strict=True)
        ]

    def _fits(self, prompt_tokens: int) -> bool:
        return prompt_tokens + self._look_ahead.rows - 1 <= self._draft.window

    def _shortened(self, query: str) -> str:
        """The end of a query, half a window long; a question usually stands last."""
        offsets = self._draft.encode(query).offsets
        limit = self._draft.window // 2
        return query if len(offsets) <= limit else query[offsets[-limit, 0] :]


def chunk_means(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Mean of every `size` values, the last chunk's of those it has: (S,) -> (ceil(S / size),)."""
    if not len(values):
        return values
    starts = np.arange(0, len(values), size)
    means: NDArray[np.float64] = np.add.reduceat(values, starts) / np.minimum(size, len(values) - starts)
    return means


def _halves(contexts: Sequence[str], pieces: list[_Piece]) -> tuple[list[_Piece], list[_Piece]]:
    """`pieces` cut where about half of their characters lie on each side; a single piece at a line break, if it can be."""
    if len(pieces) > 1:
        ends = np.cumsum([piece.end - piece.start for piece in pieces])
        cut = 1 + int(np.abs(ends[:-1] - ends[-1] / 2).argmin())
        return pieces[:cut], pieces[cut:]
    (whole,) = pieces
    length = whole.end - whole.start
    if length < 2:
        return pieces, []
    middle = whole.start + length // 2
    cut = contexts[whole.index].rfind("\n", whole.start + length // 4, middle) + 1 or middle
    return [_Piece(whole.index, whole.start, cut)], [_Piece(whole.index, cut, whole.end)]


def _joined(parts: Sequence[TokenScores]) -> TokenScores:
    """The scores of one context's pieces as those of the context."""
    offsets = np.concatenate([np.zeros((0, 2), np.int64), *(part.offsets for part in parts)])
    return TokenScores(offsets, np.concatenate([np.zeros(0), *(part.scores for part in parts)]))


def load_speculative(name: str, *, device: str = "auto") -> SpeculativeScorer:
    """Load draft `name` whole, with its output head. Raises as `load_draft` and `SpeculativeScorer` do."""
    return SpeculativeScorer(load_draft(name, device=device, with_head=True))
