"""Made logs of agents: small conversations whose tools say much, of which the agent later uses little."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Message = dict[str, Any]

SECRET = "/srv/zebra/quota_4711.toml"
"""A value that one line of a long result shows, far from what the question is about."""


def call(number: int, tool: str, **arguments: object) -> dict[str, Any]:
    """A call of a tool as an assistant message holds it."""
    return {"id": f"c{number}", "type": "function", "function": {"name": tool, "arguments": json.dumps(arguments)}}


def listing(subject: str, lines: int = 60) -> str:
    """A long result about a subject, a sentence a line."""
    return "\n".join(f"The {subject} report, entry {index}: nothing unusual was seen by the night shift." for index in range(lines))


def conversation(tool: str = "read_log", question: str = "What about the penguin?", value: str = SECRET) -> list[Message]:
    """A question, a long result that answers it and shows `value` at its end, and a call that uses that value."""
    answer = "The penguin sleeps on the third rock.\n"
    return [
        {"role": "system", "content": "You look after a zoo."},
        {"role": "user", "content": question},
        {"role": "assistant", "content": "I look it up.", "tool_calls": [call(1, tool, about="penguin")]},
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": f"{answer}{listing('giraffe')}\nSettings live in {value} today.\n{listing('ape', 5)}",
        },
        {"role": "assistant", "content": "", "tool_calls": [call(2, "open_file", path=value)]},
        {"role": "tool", "tool_call_id": "c2", "content": "ok"},
        {"role": "assistant", "content": "The penguin sleeps."},
    ]


def write_log(path: Path, lines: Sequence[object]) -> Path:
    """A log of these JSON values, a text or bytes among them as it is; packed where the name says so."""
    raw = [one if isinstance(one, bytes) else (one if isinstance(one, str) else json.dumps(one)).encode() for one in lines]
    data = b"\n".join(raw) + b"\n"
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def request(messages: Sequence[Mapping[str, Any]], **more: object) -> dict[str, Any]:
    """The body of a request."""
    tools = [{"type": "function", "function": {"name": "read_log", "parameters": {"type": "object", "properties": {}}}}]
    return {"model": "gpt-4o", "messages": list(messages), "tools": tools, **more}
