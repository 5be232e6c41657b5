"""A model's key/value cache under the argument name that its release of transformers gives it."""

from __future__ import annotations

import inspect
from typing import Any

from specprefill_agents.errors import missing_extra

try:
    from transformers import DynamicCache
except ImportError as error:
    raise missing_extra("A local model", "draft") from error


def empty_cache(model: Any) -> DynamicCache:
    """A cache without tokens for a causal language model; forward passes add to it in place."""
    return DynamicCache(config=model.config)


def cache_argument(model: Any, cache: DynamicCache) -> dict[str, DynamicCache]:
    """`cache` as a keyword argument of the model's forward pass: `cache` since transformers 5.24, `past_key_values` before."""
    has_it = "cache" in inspect.signature(model.forward).parameters
    return {"cache" if has_it else "past_key_values": cache}
