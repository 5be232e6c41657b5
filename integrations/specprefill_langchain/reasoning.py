"""DeepSeek gets the reasoning of its turns that called tools back, exactly as it sent it, which it insists on in thinking mode.

langchain-deepseek 1.1.1 reads `reasoning_content` into `additional_kwargs` and never sends it; the request is then refused
with HTTP 400. The remedy sits where that package adapts requests itself, in `_get_request_payload`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage

DEEPSEEK = "chat-deepseek"
"""`_llm_type` of ChatDeepSeek, by which it is known without importing it."""


def sending_reasoning(model: BaseChatModel) -> BaseChatModel:
    """`model`; where it is a ChatDeepSeek, its twin with the same clients that sends `reasoning_content` back."""
    if getattr(model, "_llm_type", None) != DEEPSEEK or isinstance(model, _SendsReasoning):
        return model
    twin = model.model_copy()
    # A copy with another class keeps clients, subclass and private state as they are; building anew would not.
    object.__setattr__(twin, "__class__", _sending(type(model)))
    return twin


class _SendsReasoning:
    """Adds to a request what `with_reasoning` says."""

    __slots__ = ()

    def _get_request_payload(self, input_: Any, *, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        payload: dict[str, Any] = super()._get_request_payload(input_, stop=stop, **kwargs)  # type: ignore[misc]
        messages = self._convert_input(input_).to_messages()  # type: ignore[attr-defined]
        return with_reasoning(payload, messages)


@cache
def _sending(model_class: type[BaseChatModel]) -> type[BaseChatModel]:
    return type(
        model_class.__name__, (_SendsReasoning, model_class), {"__module__": model_class.__module__, "__doc__": model_class.__doc__}
    )


def with_reasoning(payload: dict[str, Any], messages: Sequence[BaseMessage]) -> dict[str, Any]:
    """A chat-completions request with the reasoning of `messages` in its assistant turns that called tools.

    What it holds of it already stays, so that a later langchain-deepseek has its way.
    """
    sent = payload.get("messages")
    if not isinstance(sent, list) or len(sent) != len(messages):
        return payload
    return {**payload, "messages": [_completed(wire, message) for wire, message in zip(sent, messages, strict=True)]}


def _completed(wire: dict[str, Any], message: BaseMessage) -> dict[str, Any]:
    if "reasoning_content" in wire or not wire.get("tool_calls") or not isinstance(message, AIMessage):
        return wire
    reasoning = _reasoning(message)
    return wire if reasoning is None else {**wire, "reasoning_content": reasoning}


def _reasoning(message: AIMessage) -> str | None:
    """The reasoning as it was received; from the blocks of a message whose content is in the standard form."""
    received = message.additional_kwargs.get("reasoning_content")
    if isinstance(received, str):
        return received
    blocks = message.content if isinstance(message.content, list) else []
    texts = [block.get("reasoning") for block in blocks if isinstance(block, dict) and block.get("type") == "reasoning"]
    return "".join(text for text in texts if isinstance(text, str)) if texts else None
