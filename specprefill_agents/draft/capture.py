"""Capture of pre-RoPE query and key vectors of a few attention heads, as a context manager that always undoes itself.

The vectors are taken where the model's own code makes them: after the projection, and after the norm where the
architecture has one, before rotary positions. What differs between architectures is a row of `LAYOUTS`: which module's
output is the finished vector, and how that output is cut into heads. No attention code is repeated here, and none is
run: a model without a row, or with attention that is more than softmax(q.k) of its own keys, is refused. The forward
pass is stopped as soon as the last wanted vector exists.

Axes: N captured heads, B batch, S sequence positions, H query heads, G key heads, D head size.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from specprefill_agents.errors import DraftError

Head = tuple[int, int]
"""(layer, query head)."""

What = Literal["query", "key"]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where an attention module makes its vectors; `{}` stands for `q` or `k`.

    `projection` gives (B, S, H*D), or (B, S, (H+2G)*D) when `is_fused`. `norm`, where the module has one, comes after
    it; with `heads_first` the norm's output is (B, H, S, D), else (B, S, H, D) or (B, S, H*D).
    """

    projection: str = "{}_proj"
    is_fused: bool = False
    norm: str | None = None
    heads_first: bool = False


LAYOUTS = {
    "llama": Layout(),
    "mistral": Layout(),
    "qwen2": Layout(),
    "smollm3": Layout(),
    "granite": Layout(),
    "olmo2": Layout(norm="{}_norm"),
    "qwen3": Layout(norm="{}_norm"),
    "gemma3_text": Layout(norm="{}_norm", heads_first=True),
    "phi": Layout(norm="{}_layernorm", heads_first=True),
    "phi3": Layout(projection="qkv_proj", is_fused=True),
}
"""Architectures (`model_type`) whose capture is tested against their own attention. Some that look alike are not: with a
norm after the rotation (HunYuan), a gate in the query projection (Qwen3-Next) or interleaved heads (Cohere)."""

_SOFTMAX_LAYERS = frozenset({"full_attention", "sliding_attention"})


class _Complete(Exception):
    """Ends a forward pass whose remaining layers nobody needs."""


class HeadCapture(AbstractContextManager["HeadCapture"]):
    """Captures the `"query"` or the `"key"` vectors of `heads` during forward passes of `model`.

    Use `run(...)` inside the `with` block. A grouped key head is the one its query head reads. Raises `DraftError` when
    the model cannot be captured exactly or lacks one of the heads.
    """

    def __init__(self, model: nn.Module, heads: Sequence[Head], what: What) -> None:
        self._model = model
        self._heads = list(heads)
        self._what = what
        self._seen: dict[int, Tensor] = {}
        self._handles: list[Any] = []
        self._thread = 0  # whose pass is captured
        self._attention = attention_modules(model, sorted({layer for layer, _ in heads}))
        self._last_layer = max(self._attention)
        for layer, attention in self._attention.items():
            _vector_source(attention, what)
            if any(of == layer and head >= _head_counts(attention)[0] for of, head in heads):
                raise DraftError(f"the draft has {_head_counts(attention)[0]} heads a layer, so {self._heads} is not a choice of its heads")

    @property
    def scales(self) -> tuple[float, ...]:
        """For each of `heads`, the factor that the model's attention applies to q.k (1/sqrt(D) in most models)."""
        return tuple(float(self._attention[layer].scaling) for layer, _ in self._heads)

    def __enter__(self) -> HeadCapture:
        for layer, attention in self._attention.items():
            source, split = _vector_source(attention, self._what)
            self._handles.append(source.register_forward_hook(self._keep(layer, split)))
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._seen.clear()

    def _keep(self, layer: int, split: Callable[[Tensor], Tensor]) -> Any:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            if threading.get_ident() != self._thread:
                return  # somebody else's pass over a shared model
            self._seen[layer] = split(output)
            if layer == self._last_layer:
                raise _Complete

        return hook

    def run(self, input_ids: Tensor) -> Tensor:
        """Vectors (N, B, S, D) of the captured heads for `input_ids` (B, S), in the order of `heads`."""
        self._thread = threading.get_ident()
        with suppress(_Complete):
            self._model(input_ids=input_ids, use_cache=False)
        self._thread = 0
        vectors = []
        for layer, head in self._heads:
            query_heads, key_heads, _ = _head_counts(self._attention[layer])
            index = head if self._what == "query" else head * key_heads // query_heads
            vectors.append(self._seen[layer][:, :, index])
        self._seen.clear()
        return torch.stack(vectors)


def attention_modules(model: nn.Module, layers: Sequence[int]) -> dict[int, Any]:
    """The attention module of each of `layers`. Raises `DraftError` unless all of them can be captured exactly."""
    blocks: Any = getattr(model, "layers", None)
    if blocks is None:
        raise DraftError(f"cannot capture {type(model).__name__}: it is no stack of layers")
    if layers[-1] >= len(blocks) or layers[0] < 0:
        raise DraftError(f"the draft was loaded with {len(blocks)} layers, so there is no layer {layers[-1]}")
    config: Any = getattr(model, "config", None)
    found = {}
    for layer in layers:
        found[layer] = getattr(blocks[layer], "self_attn", None)
        reason = _why_not_exact(config, found[layer], layer)
        if reason:
            raise DraftError(f"cannot capture {type(model).__name__} exactly: {reason}")
    return found


def _why_not_exact(config: Any, attention: nn.Module | None, layer: int) -> str:
    """Why q.k of one layer is not all there is to its attention; "" when it is."""
    if attention is None:
        return f"layer {layer} has no attention"
    other = set(getattr(config, "layer_types", None) or ()) - _SOFTMAX_LAYERS
    if other:
        return f"it has layers of other kinds ({', '.join(sorted(other))})"
    if getattr(attention, "sinks", None) is not None:
        return "its attention has sinks outside the keys"
    if getattr(config, "attn_logit_softcapping", None) is not None:
        return "its attention logits are soft-capped"
    if getattr(config, "num_kv_shared_layers", None):
        return "its layers share keys"
    kind = getattr(config, "model_type", None)
    if kind is None or kind in LAYOUTS:
        return ""
    return f"{kind} is none of the architectures this was verified on ({', '.join(LAYOUTS)})"


def _head_counts(attention: Any) -> tuple[int, int, int]:
    """H, G and D of an attention module."""
    query_heads: int = attention.config.num_attention_heads
    return query_heads, getattr(attention.config, "num_key_value_heads", None) or query_heads, attention.head_dim


def _vector_source(attention: Any, what: What) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """The module whose output holds the finished pre-RoPE vectors, and what makes (B, S, heads, D) of that output."""
    layout = LAYOUTS.get(getattr(getattr(attention, "config", None), "model_type", ""), Layout())
    short = what[0]
    projection = getattr(attention, layout.projection.format(short), None)
    if not isinstance(projection, nn.Module):
        raise DraftError(f"cannot capture {what} vectors of {type(attention).__name__}: it has no {layout.projection.format(short)}")
    norm = getattr(attention, layout.norm.format(short), None) if layout.norm else None
    query_heads, key_heads, size = _head_counts(attention)
    if isinstance(norm, nn.Module):
        return norm, lambda output: output.transpose(1, 2) if layout.heads_first else output.unflatten(-1, (-1, size)).flatten(2, -2)
    start, count = (query_heads, key_heads) if what == "key" else (0, query_heads)
    if layout.is_fused:
        return projection, lambda output: output[..., start * size : (start + count) * size].unflatten(-1, (count, size))
    return projection, lambda output: output.unflatten(-1, (count, size))
