"""Reading: what a causal language model has read, as its key/value cache with the ids and positions that are in it.

Knows no text and no chat. Tokens may have any rising positions: those of a prompt from which some were left out, for instance
(speculative prefill with restored positions, arXiv 2502.02789, section 3).
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from typing import Any

from specprefill_agents.draft.key_values import cache_argument, empty_cache
from specprefill_agents.draft.output_rows import last_rows
from specprefill_agents.errors import ConfigError, TargetError, missing_extra

try:
    import torch
    from torch import Tensor
    from transformers.cache_utils import DynamicLayer
except ImportError as error:
    raise missing_extra("A local target", "draft") from error

SMALLEST_CHUNK = 32
"""Tokens of a pass below which less memory cannot be asked for."""


class Reading:
    """A model's cache, and the `ids` and `positions` of the tokens in it. For one thread at a time.

    A pass over the model covers at most `chunk_tokens`, and one runs at a time under `lock`. A fork shares memory with what
    it comes from, and neither changes the other.
    """

    def __init__(self, model: Any, lock: threading.Lock, chunk_tokens: int = 1024) -> None:
        self.ids: list[int] = []
        self.positions: list[int] = []
        self._model = model
        self._lock = lock
        self._chunk_tokens = chunk_tokens
        self._cache = empty_cache(model)

    @property
    def can_rewind(self) -> bool:
        """Whether tokens can be taken back exactly: every layer of the model attends to all that was read."""
        return all(type(layer) is DynamicLayer for layer in self._cache.layers)

    @property
    def nbytes(self) -> int:
        """Bytes of the cache's tensors, counting what forks share for each of them."""
        return sum(_nbytes(value) for layer in self._cache.layers for value in vars(layer).values())

    def read(self, ids: Sequence[int], positions: Sequence[int], rows: int = 1) -> Tensor:
        """Add tokens; the logits (rows, vocabulary) in float32 after each of the last `rows` of them.

        A pass for which the memory does not suffice is made in smaller pieces. Raises `TargetError` when it does not suffice
        for the smallest, or the layers cannot take back the part of a pass that failed.
        """
        start, found = 0, torch.empty(0)
        while start < len(ids):
            size = min(self._chunk_tokens, len(ids) - start)
            # The rows asked for come out of one pass.
            size = len(ids) - start if len(ids) - start - size < rows else size
            try:
                found = self._forward(ids[start : start + size], positions[start : start + size], rows)
            except torch.OutOfMemoryError as error:
                self._make_do(size, error)
                continue
            self.ids += ids[start : start + size]
            self.positions += positions[start : start + size]
            start += size
        return found

    def rewind(self, count: int) -> None:
        """Take the last `count` tokens back. Only where `can_rewind`."""
        if count:
            self._cache.crop(-count)
            del self.ids[-count:], self.positions[-count:]

    def fork(self, length: int | None = None) -> Reading:
        """Another reading of the first `length` tokens, all unless given; fewer only where `can_rewind`."""
        length = len(self.ids) if length is None else length
        other = Reading.__new__(Reading)
        other.ids, other.positions = self.ids[:length], self.positions[:length]
        other._model, other._lock, other._chunk_tokens = self._model, self._lock, self._chunk_tokens
        if not self.can_rewind:
            # Such layers may write into their tensors.
            other._cache = copy.deepcopy(self._cache)
            return other
        other._cache = copy.copy(self._cache)
        # A layer replaces its tensors when it grows and never writes into them.
        other._cache.layers = [copy.copy(layer) for layer in self._cache.layers]
        other._cache.crop(length - len(self.ids))
        return other

    def _forward(self, ids: Sequence[int], positions: Sequence[int], rows: int) -> Tensor:
        # Inference mode must not outlive the pass: around a yield it would reach into the caller's code.
        with self._lock, torch.inference_mode():
            device = self._model.device
            logits: Tensor = self._model(
                input_ids=torch.tensor([list(ids)], device=device),
                position_ids=torch.tensor([list(positions)], device=device),
                use_cache=True,
                logits_to_keep=last_rows(rows, len(ids), device),
                **cache_argument(self._model, self._cache),
            ).logits
            return logits[0].float()

    def _make_do(self, size: int, error: BaseException) -> None:
        """After a pass of `size` tokens that ran out of memory: take back what it left, and read less at a time from now on."""
        if size <= SMALLEST_CHUNK or not self.can_rewind:
            raise TargetError(
                f"the memory does not suffice to read {size} tokens after {len(self.ids)}: compress more, use a smaller dtype, or free some"
            ) from error
        self._chunk_tokens = max(SMALLEST_CHUNK, size // 2)
        for layer in self._cache.layers:
            assert isinstance(layer, DynamicLayer)  # can_rewind
            layer.crop(len(self.ids) - layer.get_seq_length())
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def shared_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many numbers two lists begin with alike; by comparing slices, as lists have tens of thousands."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if list(one[low:middle]) == list(other[low:middle]) else (low, middle - 1)
    return low


def check_attention(model: Any) -> None:
    """Raise `ConfigError` for an attention that takes gaps between positions for borders between sequences."""
    name = str(getattr(model.config, "_attn_implementation", ""))
    if "flash" in name:
        raise ConfigError("attn_implementation", name, "sdpa or eager, where tokens keep their positions in the whole prompt")


def _nbytes(value: object) -> int:
    return value.numel() * value.element_size() if isinstance(value, Tensor) else 0
