"""Capture of pre-RoPE query and key vectors of a few attention heads, as a context manager that always undoes itself.

Axes: N captured heads, B batch, S sequence positions, D head size. The vectors are taken where the model's own code
makes them: after the projection, and after the per-head norm where the architecture has one (Qwen3, Gemma 3), before
rotary positions. The forward pass is stopped as soon as the last wanted vector exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from specprefill_agents.errors import DraftError

Head = tuple[int, int]
"""(layer, query head)."""


class _Complete(Exception):
    """Ends a forward pass whose remaining layers nobody needs."""


class HeadCapture(AbstractContextManager["HeadCapture"]):
    """Captures the `"query"` or the `"key"` vectors of `heads` during forward passes of `model`.

    Use `run(...)` inside the `with` block. A grouped key head is the one its query head reads.
    Raises `DraftError` when an attention layer has no separate projections to hook.
    """

    def __init__(self, model: nn.Module, heads: Sequence[Head], what: Literal["query", "key"]) -> None:
        self._model = model
        self._heads = list(heads)
        self._what = what
        self._seen: dict[int, Tensor] = {}
        self._handles: list[Any] = []
        self._last_layer = max(layer for layer, _ in heads)

    def __enter__(self) -> HeadCapture:
        layers: Any = self._model.get_submodule("layers")
        for layer in sorted({layer for layer, _ in self._heads}):
            source = _vector_source(layers[layer].self_attn, self._what)
            self._handles.append(source.register_forward_hook(self._keep(layer)))
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._seen.clear()

    def _keep(self, layer: int) -> Any:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            self._seen[layer] = output
            if layer == self._last_layer:
                raise _Complete

        return hook

    def run(self, input_ids: Tensor) -> Tensor:
        """Vectors (N, B, S, D) of the captured heads for `input_ids` (B, S), in the order of `heads`."""
        with suppress(_Complete):
            self._model(input_ids=input_ids, use_cache=False)
        config: Any = self._model.config
        query_heads: int = config.num_attention_heads
        key_heads: int = getattr(config, "num_key_value_heads", None) or query_heads
        size: int = getattr(config, "head_dim", None) or config.hidden_size // query_heads
        vectors = []
        for layer, head in self._heads:
            index = head if self._what == "query" else head * key_heads // query_heads
            flat = self._seen[layer]
            batch, length = input_ids.shape
            # A projection gives (B, S, H*D), a per-head norm (B, S, H, D).
            vectors.append(flat.reshape(batch, length, -1, size)[:, :, index])
        self._seen.clear()
        return torch.stack(vectors)


def _vector_source(attention: nn.Module, what: Literal["query", "key"]) -> nn.Module:
    """The module whose output is the finished pre-RoPE vector: the per-head norm if there is one, else the projection."""
    short = what[0]
    for name in (f"{short}_norm", f"{short}_proj"):
        module = getattr(attention, name, None)
        if isinstance(module, nn.Module):
            return module
    raise DraftError(f"cannot capture {what} vectors of {type(attention).__name__}: it has no {short}_proj")
