"""Causal language models that this process has loaded, so that a target, its assistant and a scorer share one set of weights.

Holds nothing alive: a model goes when the last of its users goes. What is shared is read only.
"""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from specprefill_agents.draft.registry import locate
from specprefill_agents.errors import missing_extra

try:
    import torch
except ImportError as error:
    raise missing_extra("A local model", "draft") from error

_lock = threading.Lock()
_models: WeakValueDictionary[tuple[str, str, str, str], Any] = WeakValueDictionary()
_tokenizers: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def share(name: str, device: torch.device, dtype: torch.dtype, model: Any, tokenizer: Any) -> None:
    """Let others find a causal language model that was loaded under `name`."""
    with _lock:
        _models[_key(name, device, dtype)] = model
        _tokenizers[model] = tokenizer


def shared(name: str, device: torch.device, dtype: torch.dtype) -> tuple[Any, Any] | None:
    """The model and its tokenizer, where one is loaded; None where none is."""
    with _lock:
        model = _models.get(_key(name, device, dtype))
        return None if model is None else (model, _tokenizers[model])


def _key(name: str, device: torch.device, dtype: torch.dtype) -> tuple[str, str, str, str]:
    location = locate(name)
    return location.kind, location.path, str(device), str(dtype)
