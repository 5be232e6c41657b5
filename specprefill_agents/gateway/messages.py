"""Chat-completions messages -> segments -> chat-completions messages: the one place that knows the format of the wire.

Only the text of messages of the role `tool` becomes a segment. Nothing is mutated, added, dropped or reordered; a message
whose text did not change comes back as the identical object, and what is in no known form is left alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from specprefill_agents.accounting.wire import Call, Part
from specprefill_agents.prompt.expand import EXPAND_TOOL
from specprefill_agents.prompt.query import CallContext, call_label
from specprefill_agents.prompt.rounds import Round, Rounds, Slot
from specprefill_agents.types import CompressedSegment, Kind, Segment

SYSTEM_ROLES = ("system", "developer")
_BETWEEN_PARTS = "\x1d"


def rounds(messages: Sequence[Any]) -> list[Round]:
    """The rounds of tool outputs in `messages`, see `prompt.rounds.Rounds`."""
    found = Rounds()
    for index, message in enumerate(messages):
        role = role_of(message)
        if role == "tool":
            call_id = _name(message.get("tool_call_id"))
            for block, text in _texts(message.get("content")):
                found.output(Slot(index, block, _segment(text, call_id, found.call(call_id or ""), _name(message.get("name")))))
        elif role == "user":
            found.user(text_of(message))
        elif role == "assistant":
            found.assistant(_contexts(message))
        if role != "tool":
            found.passes(message)
    return found.end()


def put_back(messages: Sequence[Any], slots: Sequence[Slot], decided: Sequence[CompressedSegment]) -> list[Any]:
    """`messages` with what was decided in place of the texts of `slots`."""
    contents: dict[int, Any] = {}
    for slot, one in zip(slots, decided, strict=True):
        if one.text == slot.segment.text:
            continue
        if slot.block is None:
            contents[slot.message] = one.text
            continue
        blocks = contents.setdefault(slot.message, list(messages[slot.message]["content"]))
        blocks[slot.block] = {**blocks[slot.block], "text": one.text}
    return [{**message, "content": contents[i]} if i in contents else message for i, message in enumerate(messages)]


def role_of(message: object) -> str:
    """The role of a message; "" where it has none."""
    return _name(message.get("role")) or "" if isinstance(message, Mapping) else ""


def opening_of(messages: Sequence[Any]) -> str:
    """What a conversation begins with after the system prompt, by which it is known where nobody named it."""
    first = next((message for message in messages if role_of(message) not in SYSTEM_ROLES), None)
    return json.dumps(first.get("content")) if isinstance(first, Mapping) else ""


def text_of(message: Mapping[str, Any]) -> str:
    """The texts of a message's content, one after the other."""
    return "".join(text for _, text in _texts(message.get("content")))


def part_of(message: object) -> Part:
    """A message as the part of a request that accounting measures. Reasoning counts beside calls: only there is it sent back."""
    if not isinstance(message, Mapping):
        return Part(json.dumps(message))
    role = role_of(message)
    calls = tuple(Call(call_id, name, arguments) for call_id, name, arguments in _calls(message))
    reasoning = message.get("reasoning_content") if calls else None
    return Part(
        _whole_text(message.get("content")),
        "system" if role in SYSTEM_ROLES else "message",
        "system" if role in SYSTEM_ROLES else role,
        _name(message.get("tool_call_id")) or "",
        calls,
        reasoning if isinstance(reasoning, str) else "",
    )


def _whole_text(content: object) -> str:
    """A text that is equal when the contents are; texts among the blocks as they are, so that their tokens count."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else "" if content is None else json.dumps(content)
    texts = dict(_texts(content))
    return _BETWEEN_PARTS.join(texts.get(index, "") or json.dumps(block) for index, block in enumerate(content))


def _texts(content: object) -> Iterator[tuple[int | None, str]]:
    """Each text of a message's content with the index of its block, None where the content is the text."""
    if isinstance(content, str):
        yield None, content
    for index, block in enumerate(content if isinstance(content, list) else ()):
        if isinstance(block, Mapping) and block.get("type") == "text" and isinstance(block.get("text"), str):
            yield index, block["text"]


def _contexts(message: Mapping[str, Any]) -> dict[str, CallContext]:
    intent = text_of(message)
    return {call_id: CallContext(name, arguments_of(given), intent) for call_id, name, given in _calls(message) if call_id}


def _calls(message: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Id, tool and arguments (as text) of each call of a function."""
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping) and isinstance(function.get("name"), str):
            given = function.get("arguments")
            yield _name(call.get("id")) or "", function["name"], given if isinstance(given, str) else json.dumps(given)


def arguments_of(given: object) -> Mapping[str, Any]:
    """The arguments of a call, given as text; none where their JSON is broken, which is the tool's to say."""
    try:
        found = json.loads(given) if isinstance(given, str) else None
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _segment(text: str, call_id: str | None, call: CallContext | None, name: str | None) -> Segment:
    tool = name or (call.tool if call else None)
    kind: Kind = "expanded" if tool == EXPAND_TOOL else "tool_result"
    return Segment(text, kind, tool, call_id, call=call_label(call) if call else "")


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
