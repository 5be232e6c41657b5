"""Chains that a chat model builds around itself (bound tools, structured output), built around another one instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable
from pydantic import BaseModel

_NOT_PARTS = {"kwargs", "config"}
"""Fields of a binding that go out with a call. A tool among them may hold a chat model, which is not the one that is asked."""


def rewired(part: Any, swap: Callable[[BaseChatModel], BaseChatModel]) -> Any:
    """`part` with every chat model that it asks replaced by what `swap` makes of it; itself where it holds none."""
    if isinstance(part, BaseChatModel):
        return swap(part)
    if isinstance(part, Runnable) and isinstance(part, BaseModel):
        fields = {name: getattr(part, name) for name in type(part).model_fields if name not in _NOT_PARTS}
        changed = _changed(fields, swap)
        return part.model_copy(update=changed) if changed else part
    if isinstance(part, (list, tuple)):
        made = [rewired(one, swap) for one in part]
        return type(part)(made) if any(new is not old for new, old in zip(made, part, strict=True)) else part
    if isinstance(part, Mapping):
        changed = _changed(part, swap)
        return {**part, **changed} if changed else part
    return part


def _changed(parts: Mapping[str, Any], swap: Callable[[BaseChatModel], BaseChatModel]) -> dict[str, Any]:
    made = {name: rewired(part, swap) for name, part in parts.items()}
    return {name: new for name, new in made.items() if new is not parts[name]}
