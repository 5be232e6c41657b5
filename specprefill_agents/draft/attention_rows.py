"""Rows of attention probabilities out of a forward pass whose attention otherwise stays with SDPA.

SDPA gives no probabilities, and eager attention makes a matrix of S x S per head. Here transformers' attention interface
calls a function that leaves the output to SDPA and computes one row beside it: that of the last position of the pass, in
float32, over the first T keys, by the query and key vectors that the model's own code made (after norms and rotary
positions). In float32 such a row differs from eager attention's by rounding only.

Axes: B batch, H query heads, G key heads, S positions of one pass, T wanted keys, D head size.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from specprefill_agents.errors import DraftError, missing_extra

try:
    import torch
    from torch import Tensor, nn
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask
except ImportError as error:
    raise missing_extra("The draft model", "draft") from error

IMPLEMENTATION = "specprefill_attention_rows"
"""Name in transformers' tables of attention functions. The entry stays; outside `AttentionRows.run` it is plain SDPA."""

RowConsumer: TypeAlias = Callable[[int, Tensor], None]
"""Takes a layer's index and its row (B, H, T) as soon as the layer has run."""

_INEXACT = {"s_aux": "attention sinks", "softcap": "soft-capped logits", "position_bias": "a position bias"}
"""Arguments of an attention function that change the probabilities in ways that are not computed here."""


class AttentionRows(AbstractContextManager["AttentionRows"]):
    """Gives `model`, a transformers decoder, this module's attention function for the length of a `with` block.

    The former function comes back at the end of the block, whatever happened in it. One block per model at a time:
    another thread's waits. Whoever else runs the model meanwhile gets the same outputs (by SDPA), and no rows.

    Rows come from layers that attend to every position; layers with a sliding window or without attention are left out.
    Raises `DraftError` for a model whose rows would not be exact (attention sinks, soft-capped logits, attention code
    outside transformers' interface), or in which no layer attends to every position.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.layers = full_attention_layers(model)
        self._former = ""

    def __enter__(self) -> AttentionRows:
        AttentionInterface.register(IMPLEMENTATION, _attend)
        AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)
        lock = _lock_of(self._model)
        lock.acquire()
        self._former = self._model.config._attn_implementation
        try:
            self._model.set_attn_implementation(IMPLEMENTATION)
            if self._model.config._attn_implementation != IMPLEMENTATION:
                raise DraftError(f"{_name(self._model)} does not take another attention function, so its rows cannot be read")
        except BaseException:
            lock.release()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        try:
            self._model.set_attn_implementation(self._former)
        finally:
            _lock_of(self._model).release()

    def run(self, keys: int, consume: RowConsumer, **inputs: Any) -> Any:
        """The model's output for `inputs`; `consume` gets the row of the last position over the first `keys` keys.

        Rows come in the order of the layers, each a probability distribution of its own. Raises `DraftError` when a
        layer gives none, or has dropped keys that were asked for.
        """
        wanted = _Wanted(keys, self.layers, consume)
        token = _wanted.set(wanted)
        try:
            output = self._model(**inputs)
        finally:
            _wanted.reset(token)
        if wanted.seen != self.layers:
            missing = sorted(self.layers - wanted.seen)
            raise DraftError(f"layers {missing} of {_name(self._model)} attend outside transformers' interface; their rows cannot be read")
        return output


class _Wanted:
    """What one pass is asked for, and which layers have delivered."""

    def __init__(self, keys: int, layers: frozenset[int], consume: RowConsumer) -> None:
        self._keys = keys
        self._layers = layers
        self._consume = consume
        self.seen: set[int] = set()

    def take(self, module: nn.Module, query: Tensor, key: Tensor, mask: Tensor | None, scaling: float) -> None:
        layer = int(getattr(module, "layer_idx", -1))
        if layer not in self._layers:
            return
        if key.shape[2] < self._keys:
            raise DraftError(f"layer {layer} of {type(module).__name__} keeps {key.shape[2]} of {self._keys} keys: its row is not exact")
        self._consume(layer, last_row(query, key, mask, scaling, self._keys))
        self.seen.add(layer)


_wanted: ContextVar[_Wanted | None] = ContextVar("specprefill_wanted_rows", default=None)
_locks: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
_locks_guard = threading.Lock()


def _lock_of(model: nn.Module) -> threading.RLock:
    with _locks_guard:
        return _locks.setdefault(model, threading.RLock())


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, scaling: float | None = None, **others: Any
) -> tuple[Tensor, None]:
    """An attention function as transformers calls it: SDPA, and the wanted row beside it."""
    _refuse_inexact(module, others)
    wanted = _wanted.get()
    if wanted is not None:
        factor = query.shape[-1] ** -0.5 if scaling is None else scaling
        wanted.take(module, query, key, attention_mask, factor)
    attended: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **others)
    return attended


def last_row(query: Tensor, key: Tensor, mask: Tensor | None, scaling: float, keys: int) -> Tensor:
    """Probabilities (B, H, T) of the last position of `query` (B, H, S, D) over the first T = `keys` of `key` (B, G, .., D).

    The last position of a causal pass sees every key, but for those that `mask` (B, 1 or H, S, ..), boolean or added to
    the logits, hides. Query heads h of one group read the same key head, h * G // H.
    """
    batch, heads, _, size = query.shape
    groups = key.shape[1]
    last = query[:, :, -1].float().reshape(batch, groups, heads // groups, size)
    logits = (last @ key[:, :, :keys].float().transpose(-1, -2)).reshape(batch, heads, keys) * scaling
    if mask is not None:
        row = mask[:, :, -1, :keys]
        logits = logits.masked_fill(~row, -torch.inf) if row.dtype == torch.bool else logits + row
    return torch.softmax(logits, dim=-1)


def full_attention_layers(model: Any) -> frozenset[int]:
    """Indices of the layers of `model` that attend to every position. Raises `DraftError` as `AttentionRows` does."""
    if not getattr(model, "_supports_sdpa", False):
        raise DraftError(
            f"{_name(model)} computes attention in a way that SDPA does not (such as attention sinks or soft-capped logits), "
            "so its rows cannot be read exactly"
        )
    config: Any = model.config.get_text_config(decoder=True)
    kinds = getattr(config, "layer_types", None) or [_only_kind(config)] * config.num_hidden_layers
    full = frozenset(index for index, kind in enumerate(kinds) if kind == "full_attention")
    if not full:
        raise DraftError(f"no layer of {_name(model)} attends to the whole prompt, so it has no rows over all of it")
    return full


def _only_kind(config: Any) -> str:
    """What all layers are in a model that does not list them; a window no shorter than the model's own hides nothing."""
    window = getattr(config, "sliding_window", None) or getattr(config, "attention_chunk_size", None)
    return "full_attention" if window is None or window >= config.max_position_embeddings else "sliding_attention"


def _refuse_inexact(module: nn.Module, arguments: Mapping[str, Any]) -> None:
    for argument, what in _INEXACT.items():
        if arguments.get(argument) is not None:
            raise DraftError(f"{type(module).__name__} has {what}, so its attention rows cannot be read exactly")


def _name(model: Any) -> str:
    return type(model).__name__
