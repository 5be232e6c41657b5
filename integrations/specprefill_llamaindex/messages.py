"""LlamaIndex messages -> segments -> LlamaIndex messages: the one place that knows LlamaIndex's message format.

Only the text blocks of tool messages, and a ReAct agent's observations, become segments. Nothing is mutated, added,
dropped or reordered; a message whose text did not change comes back as the identical object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock, ToolCallBlock

from specprefill_agents.prompt.expand import EXPAND_TOOL
from specprefill_agents.prompt.original_notes import with_note
from specprefill_agents.prompt.query import CallContext, call_label
from specprefill_agents.prompt.rounds import Round, Rounds, Slot
from specprefill_agents.types import CompressedSegment, Kind, Segment
from specprefill_llamaindex.observations import action_in, observation_in

ASSISTANT_ROLES = frozenset({MessageRole.ASSISTANT, MessageRole.CHATBOT, MessageRole.MODEL})
SYSTEM_ROLES = frozenset({MessageRole.SYSTEM, MessageRole.DEVELOPER})
TOOL_ROLES = frozenset({MessageRole.TOOL, MessageRole.FUNCTION})


def rounds(messages: Sequence[ChatMessage], query: str | None = None) -> list[Round]:
    """The rounds of tool outputs in `messages`, see `prompt.rounds.Rounds`."""
    found = Rounds(query)
    action: CallContext | None = None
    for index, message in enumerate(messages):
        observed = observation_in(message) if action else None
        if observed is not None:
            found.output(Slot(index, 0, _segment(observed, None, action)))
        elif message.role in TOOL_ROLES:
            call_id = tool_call_id(message)
            for block, text in _texts(message):
                found.output(Slot(index, block, _segment(text, call_id, found.call(call_id or ""), message.additional_kwargs.get("name"))))
        elif message.role == MessageRole.USER:
            found.user(message.content or "")
        action = None
        if message.role in ASSISTANT_ROLES:
            action = action_in(message)
            found.assistant({"": action} if action else calls_in(message))
        if observed is None and message.role not in TOOL_ROLES:
            found.passes(message)
    return found.end()


def put_back(
    messages: Sequence[ChatMessage], slots: Sequence[Slot], decided: Sequence[CompressedSegment], *, with_originals: bool = False
) -> list[ChatMessage]:
    """`messages` with what was decided in place of the texts of `slots`; what stands before a segment in its block stays.

    The whole texts are noted on messages that hold nothing else, `with_originals`.
    """
    changes: dict[int, dict[str, Any]] = {}
    for slot, one in zip(slots, decided, strict=True):
        if one.text == slot.segment.text:
            continue
        assert slot.block is not None
        message = messages[slot.message]
        change = changes.setdefault(slot.message, {"blocks": list(message.blocks)})
        block = change["blocks"][slot.block]
        before = block.text.removesuffix(slot.segment.text)
        change["blocks"][slot.block] = block.model_copy(update={"text": before + one.text})
        if with_originals and len(message.blocks) == 1 and not before:
            change["additional_kwargs"] = with_note(message.additional_kwargs, slot.segment.text, one)
    return [message.model_copy(update=changes[i]) if i in changes else message for i, message in enumerate(messages)]


def opening_of(messages: Sequence[ChatMessage]) -> str:
    """What a conversation begins with after the system prompt, by which it is known, as LlamaIndex names none."""
    return next((message.content or "" for message in messages if message.role not in SYSTEM_ROLES), "")


def tool_call_id(message: ChatMessage) -> str | None:
    """The id of the call that a tool message answers; None where it has none."""
    found = message.additional_kwargs.get("tool_call_id")
    return found if isinstance(found, str) and found else None


def calls_in(message: ChatMessage) -> dict[str, CallContext]:
    """The tool calls of an assistant message by their ids: its blocks, or what older integrations keep beside them."""
    intent = message.content or ""
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    found = {
        block.tool_call_id: CallContext(block.tool_name, _arguments(block.tool_kwargs), intent) for block in blocks if block.tool_call_id
    }
    return found or dict(_older_calls(message.additional_kwargs.get("tool_calls"), intent))


def _older_calls(calls: object, intent: str) -> Iterator[tuple[str, CallContext]]:
    """Calls in the shape of a chat-completions provider, or of LlamaIndex's own selections; as objects or as JSON."""
    for call in calls if isinstance(calls, Sequence) else ():
        function = _part(call, "function")
        call_id, name = _part(call, "id") or _part(call, "tool_id"), _part(function, "name") or _part(call, "tool_name")
        if isinstance(call_id, str) and isinstance(name, str):
            yield call_id, CallContext(name, _arguments(_part(function, "arguments") or _part(call, "tool_kwargs")), intent)


def _part(whole: object, name: str) -> object:
    return whole.get(name) if isinstance(whole, Mapping) else getattr(whole, name, None)


def _arguments(given: object) -> Mapping[str, Any]:
    """The arguments of a call; none where their JSON is broken, which is the tool's to say."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            return {}
    return given if isinstance(given, Mapping) else {}


def _segment(text: str, call_id: str | None, call: CallContext | None, name: object = None) -> Segment:
    tool = name if isinstance(name, str) and name else call.tool if call else None
    kind: Kind = "expanded" if tool == EXPAND_TOOL else "tool_result"
    return Segment(text, kind, tool, call_id, call=call_label(call) if call else "")


def _texts(message: ChatMessage) -> Iterator[tuple[int, str]]:
    """Each text of a message with the index of its block."""
    for index, block in enumerate(message.blocks):
        if isinstance(block, TextBlock):
            yield index, block.text
