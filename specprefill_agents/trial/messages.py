"""Messages as logs have them -> messages in the one form that the rest of a trial reads. Pure.

The form is that of chat completions today: roles `system`, `developer`, `user`, `assistant` and `tool`, calls under
`tool_calls` with ids and arguments as text. Older logs (`function_call`, the role `function`) are brought into it.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Message: TypeAlias = Mapping[str, Any]

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_ANTHROPIC = ("tool_use", "tool_result")


class UnreadableError(ValueError):
    """What makes messages unreadable, in words for whoever keeps the log."""


def uniform(messages: object) -> tuple[Message, ...]:
    """`messages` in the one form. Raises `UnreadableError` for what is none of chat completions."""
    if not isinstance(messages, list):
        raise UnreadableError('"messages" is not a list')
    if not messages:
        raise UnreadableError("there is no message in it")
    waiting: deque[tuple[str, str]] = deque()
    return tuple(_uniform(index, message, waiting) for index, message in enumerate(messages))


def _uniform(index: int, message: object, waiting: deque[tuple[str, str]]) -> Message:
    """One message; `waiting` are (id, tool) of the calls that were not answered yet, for results that do not say whose they are."""
    if not isinstance(message, Mapping):
        raise UnreadableError(f"message {index} is not an object")
    role = message.get("role")
    if role not in ROLES:
        raise UnreadableError(f"message {index} has the role {role!r}; known are {', '.join(ROLES)}")
    content = _content(index, message.get("content"))
    if role == "assistant":
        calls = _calls(index, message)
        waiting.extend((call["id"], call["function"]["name"]) for call in calls)
        return {**message, "content": content, "tool_calls": calls}
    if role in ("tool", "function"):
        return _result(message, content, waiting)
    return {**message, "content": content}


def _content(index: int, content: object) -> str | list[Any]:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise UnreadableError(f"message {index} has a content that is neither text nor a list of parts")
    for part in content:
        if not isinstance(part, Mapping):
            raise UnreadableError(f"message {index} has a part that is not an object")
        if part.get("type") in _ANTHROPIC:
            raise UnreadableError(f"message {index} is in Anthropic's form (a part of type {part['type']}); only OpenAI's is read")
    return content


def _calls(index: int, message: Message) -> list[dict[str, Any]]:
    given = message.get("tool_calls") or []
    if not isinstance(given, list):
        raise UnreadableError(f'message {index} has "tool_calls" that are not a list')
    old = message.get("function_call")
    if old and not given:
        given = [{"function": old}]
    return [_call(index, number, call) for number, call in enumerate(given)]


def _call(index: int, number: int, call: object) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise UnreadableError(f"message {index} calls a tool without a name")
    given = function.get("arguments", "")
    arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    name = call.get("id") if isinstance(call, Mapping) else None
    return {
        "id": name if isinstance(name, str) and name else f"call-{index}-{number}",
        "type": "function",
        "function": {"name": function["name"], "arguments": arguments},
    }


def _result(message: Message, content: str | list[Any], waiting: deque[tuple[str, str]]) -> Message:
    """A tool's result, with the id of the call that it answers: its own, else that of the first open call, of its tool if it names one."""
    name, call_id = message.get("name"), message.get("tool_call_id")
    if not isinstance(call_id, str) or not call_id:
        call_id = next((one for one, tool in waiting if name in (None, tool)), "")
    for pair in [pair for pair in waiting if pair[0] == call_id][:1]:
        waiting.remove(pair)
    return {**message, "role": "tool", "content": content, "tool_call_id": call_id}


def answers_of(messages: Sequence[Message]) -> list[tuple[int, Message | None]]:
    """The model calls of a conversation: how many messages each was asked with, and its answer.

    Where the messages end with something that a model reads, it was read once more: that answer is not known.
    """
    found: list[tuple[int, Message | None]] = [(at, one) for at, one in enumerate(messages) if one["role"] == "assistant" and at]
    return found if messages[-1]["role"] == "assistant" else [*found, (len(messages), None)]
