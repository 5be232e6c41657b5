"""A chat model and what is bound to it, apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig
from langchain_core.runnables.config import merge_configs

_OF_TRACING = ("ls_structured_output_format", "structured_output_format")
"""Arguments that LangChain takes out before it calls a model, which does not know them."""

_SETTINGS = ("cache", "rate_limiter", "disable_streaming", "output_version", "verbose")


@dataclass(frozen=True, slots=True)
class Unbound:
    """A chat model, the arguments bound to it, and the settings of its own that hold for whoever calls in its place."""

    model: BaseChatModel
    arguments: dict[str, Any]
    settings: dict[str, Any]
    metadata: dict[str, Any]


def unbound(runnable: Runnable[Any, Any]) -> Unbound:
    """Take bindings off a chat model. Raises `ValueError` where there is none, or where a binding holds what cannot be moved."""
    arguments: dict[str, Any] = {}
    config = RunnableConfig()
    inside: Any = runnable
    while isinstance(inside, RunnableBinding):
        if inside.config_factories:
            raise ValueError(
                "inner has listeners; attach them to ChatSpecPrefill itself: ChatSpecPrefill(inner=model, ...).with_listeners(...)"
            )
        arguments = {**inside.kwargs, **arguments}
        config = merge_configs(inside.config, config)
        inside = inside.bound
    if not isinstance(inside, BaseChatModel):
        raise ValueError(
            f"inner must be a chat model, with arguments bound to it or not, and is {type(inside).__name__}; "
            "retries, fallbacks and parsers go around ChatSpecPrefill"
        )
    own = {"callbacks": inside.callbacks, "tags": inside.tags, "metadata": inside.metadata}
    config = merge_configs(RunnableConfig(**{name: value for name, value in own.items() if value}), config)  # type: ignore[typeddict-item]
    plain = {name: value for name, value in arguments.items() if name not in _OF_TRACING}
    return Unbound(inside, plain, _settings(inside, config), config.get("metadata") or {})


def _settings(model: BaseChatModel, config: RunnableConfig) -> dict[str, Any]:
    return {**{name: getattr(model, name) for name in _SETTINGS}, "callbacks": config.get("callbacks"), "tags": config.get("tags")}
