"""A conversation about timetables, whose tool outputs are long and of which one line answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_deepseek import ChatDeepSeek

FIGURES = {"original_tokens", "kept_tokens", "scorer_ms", "cache_hits", "cache_misses", "fallback_reason", "note"}
NOT_THINKING = {"thinking": {"type": "disabled"}}


@tool
def timetable(page: int, town: str) -> str:
    """Entries of the timetable."""
    lines = [f"entry {page}-{n}: nothing that anybody asked about" for n in range(40)]
    lines[7] = f"The train to {town} leaves at {page}:30."
    return "\n".join(lines)


def conversation(steps: int = 1, town: str = "Basel") -> list[BaseMessage]:
    """A question and `steps` calls, each with a long output of which one line answers it."""
    messages: list[BaseMessage] = [HumanMessage(f"When does the train to {town} leave?")]
    for step in range(steps):
        arguments = {"page": step, "town": town}
        messages.append(AIMessage("", tool_calls=[{"name": "timetable", "args": arguments, "id": f"{town}-{step}"}]))
        messages.append(ToolMessage(timetable.invoke(arguments), tool_call_id=f"{town}-{step}"))
    return messages


def added(chunks: Sequence[Any]) -> AIMessageChunk:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert isinstance(whole, AIMessageChunk)
    return whole


def as_json(messages: Any) -> bytes:
    """Messages as the client of DeepSeek writes them."""
    payload = ChatDeepSeek(model="x", api_key="x")._get_request_payload(messages)["messages"]
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
