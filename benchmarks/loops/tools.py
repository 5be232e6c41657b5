"""The tools of a request: those that an agent has, and the one that compression brings along.

The data name no tools. So there is one schema for every tool that is called, with the arguments seen, all of them strings:
less than real schemas hold, which makes everything that compression adds to a request weigh more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

from langchain_core.utils.function_calling import convert_to_openai_tool

from benchmarks.data import Trajectory
from benchmarks.loops.requests import Message
from specprefill_agents.storage.originals import Originals
from specprefill_langchain import expand_tool

Schema: TypeAlias = dict[str, Any]


def schemas_of(messages: Sequence[Message]) -> list[Schema]:
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


def schemas_for(run: Trajectory, runs: Sequence[Trajectory], whose: str) -> list[Schema]:
    """The tools of `run`: those that it calls itself (`run`), or that any of `runs` of its suite calls (`suite`)."""
    if whose == "run":
        return schemas_of(run.messages)
    return schemas_of([message for other in runs if other.suite == run.suite for message in other.messages])


@cache
def expand_schema() -> Schema:
    """The schema of our tool `expand` as LangChain sends it."""
    return convert_to_openai_tool(expand_tool(Originals.in_memory()))
