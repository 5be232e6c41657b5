"""A conversation about timetables, whose tool outputs are long and of which one line answers."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.tools import FunctionTool

QUESTION = "When does the train to 'Basel' leave?"
FIGURES = {"original_tokens", "kept_tokens", "scorer_ms", "cache_hits", "cache_misses", "fallback_reason", "note"}
NOT_THINKING = {"extra_body": {"thinking": {"type": "disabled"}}}


def timetable(page: int, town: str) -> str:
    """Entries of the timetable."""
    lines = [f"entry {page}-{n}: nothing that anybody asked about" for n in range(40)]
    lines[7] = f"The train to {town} leaves at {page}:30."
    return "\n".join(lines)


TOOL = FunctionTool.from_defaults(timetable)


def called(call_id: str, text: str = "", **arguments: Any) -> ChatMessage:
    """An assistant message that calls the timetable."""
    return ChatMessage(text, role="assistant").model_copy(
        update={"blocks": [ToolCallBlock(tool_call_id=call_id, tool_name="timetable", tool_kwargs=arguments)]}
    )


def result(text: str, call_id: str) -> ChatMessage:
    """What a tool answers, as a FunctionAgent says it."""
    return ChatMessage(text, role="tool", additional_kwargs={"tool_call_id": call_id})


def conversation(steps: int = 1, town: str = "Basel") -> list[ChatMessage]:
    """A question and `steps` calls, each with a long output of which one line answers it."""
    messages = [ChatMessage("You know trains.", role="system"), ChatMessage(f"When does the train to {town} leave?", role="user")]
    for step in range(steps):
        messages += [called(f"{town}-{step}", page=step, town=town), result(timetable(step, town), f"{town}-{step}")]
    return messages
