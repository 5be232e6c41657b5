"""A recorded run -> the model calls that an agent made of it, and its messages as parts of a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from benchmarks.data import Trajectory
from specprefill_agents.accounting.wire import Call, Part, Section

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
