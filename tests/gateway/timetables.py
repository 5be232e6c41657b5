"""A conversation about timetables as it goes over the wire: its tool outputs are long, and one line of each answers."""

from __future__ import annotations

import json
from typing import Any

THOUGHTS = "First the head of the table.\n– Then “Basel”. "
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "timetable",
            "description": "Entries of the timetable.",
            "parameters": {
                "type": "object",
                "properties": {"page": {"type": "integer"}, "town": {"type": "string"}},
                "required": ["page", "town"],
            },
        },
    }
]


def timetable(page: int, town: str) -> str:
    """Entries of the timetable."""
    lines = [f"entry {page}-{n}: nothing that anybody asked about" for n in range(40)]
    lines[7] = f"The train to {town} leaves at {page}:30."
    return "\n".join(lines)


def called(call_id: str, **arguments: Any) -> dict[str, Any]:
    """An assistant message that calls the timetable, with what was thought before."""
    function = {"name": "timetable", "arguments": json.dumps(arguments)}
    calls = [{"id": call_id, "type": "function", "function": function}]
    return {"role": "assistant", "content": "I look it up – “Zürich”.", "reasoning_content": THOUGHTS, "tool_calls": calls}


def conversation(steps: int = 1, town: str = "Basel") -> list[dict[str, Any]]:
    """A system prompt, a question and `steps` calls with their outputs."""
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "You know trains."},
        {"role": "user", "content": f"When does the train to {town} leave?"},
    ]
    for step in range(steps):
        messages.append(called(f"{town}-{step}", page=step, town=town))
        messages.append({"role": "tool", "tool_call_id": f"{town}-{step}", "content": timetable(step, town)})
    return messages


def tool_texts(messages: list[dict[str, Any]]) -> list[str]:
    """The contents of tool messages."""
    return [message["content"] for message in messages if message["role"] == "tool"]
