"""A recorded run -> the requests that an agent made of it, as they are on the wire: tools, system prompt, messages.

The data name no tools. So each run has one schema for every tool that it calls, with the arguments seen, all of them
strings: less than real schemas hold, which makes everything that compression adds to a request weigh more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from langchain_core.utils.function_calling import convert_to_openai_tool

from benchmarks.data import Trajectory
from specprefill_agents.accounting.wire import Call, Part, Section
from specprefill_agents.storage.originals import Originals
from specprefill_langchain import expand_tool

Message: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """One model call: the uncompressed conversation before it, and what was answered.

    `is_closing` tells that the run's messages do not hold this answer: it is the one given at the run's end.
    """

    messages: tuple[Message, ...]
    answer: Message
    is_closing: bool = False


def turns(run: Trajectory) -> list[Turn]:
    """Every model call of a run: one before each assistant message, and one for the answer at its end, if that stands apart."""
    found = [Turn(run.messages[:index], message) for index, message in enumerate(run.messages) if message["role"] == "assistant"]
    if run.answer is not None:
        found.append(Turn(run.messages, {"role": "assistant", "content": run.answer}, is_closing=True))
    return found


def message_part(message: Message) -> Part:
    """A message as a part of a request; arguments of calls are the text that was sent."""
    calls = tuple(Call(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", ()))
    role = message["role"]
    section: Section = "system" if role == "system" else "message"
    return Part(message["content"], section, role, message.get("tool_call_id", ""), calls, message.get("reasoning_content") or "")


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


def expand_schema() -> dict[str, Any]:
    """The schema of our tool `expand` as LangChain sends it."""
    return convert_to_openai_tool(expand_tool(Originals.in_memory()))
