"""The tools of a request: those that a run calls, and the one that compression brings along.

The data name no tools. So each run has one schema for every tool that it calls, with the arguments seen, all of them
strings: less than real schemas hold, which makes everything that compression adds to a request weigh more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from langchain_core.utils.function_calling import convert_to_openai_tool

from benchmarks.loops.requests import Message
from specprefill_agents.storage.originals import Originals
from specprefill_langchain import expand_tool


def schemas_of(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """One schema for each tool that is called in `messages`, in the order of first calls."""
    arguments: dict[str, dict[str, Any]] = {}
    for message in messages:
        for call in message.get("tool_calls", ()):
            given = json.loads(call["function"]["arguments"])
            names = given if isinstance(given, Mapping) else {"input": given}
            arguments.setdefault(call["function"]["name"], {}).update({name: {"type": "string"} for name in names})
    return [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": properties}}}
        for name, properties in arguments.items()
    ]


@cache
def expand_schema() -> dict[str, Any]:
    """The schema of our tool `expand` as LangChain sends it."""
    return convert_to_openai_tool(expand_tool(Originals.in_memory()))
