"""LangChain messages -> turns of a local target. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, ToolMessage

from specprefill_agents.prompt.original_notes import original_in
from specprefill_agents.targets.chat_template import ChatTurn
from specprefill_agents.targets.tools import ToolCall

_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "HumanMessageChunk": "user"}
# What a text model may find in a message's content: text, and what is also in the message's fields or is not sent again.
_READABLE = frozenset({"text", "reasoning", "thinking", "tool_call", "tool_call_chunk", "tool_use", "invalid_tool_call"})


def turns_of(messages: Sequence[BaseMessage]) -> list[ChatTurn]:
    """One turn per message. A tool result without a name gets that of its call; one with status error says so.

    A call that could not be read goes back as the text it was. Raises ValueError for content that a text model cannot read.
    """
    called = {call["id"]: call["name"] for m in messages if isinstance(m, AIMessage) for call in m.tool_calls}
    return [_turn(message, called) for message in messages]


def _turn(message: BaseMessage, called: dict[str | None, str]) -> ChatTurn:
    text = _text(message)
    if isinstance(message, ToolMessage):
        name = message.name or called.get(message.tool_call_id)
        original = original_in(message.additional_kwargs)
        whole = (original.text, original.spans) if original and original.spans is not None else None
        says_so = message.status != "error" or text.lower().startswith("error")
        return ChatTurn("tool", text if says_so else f"Error: {text}", (), name, message.tool_call_id, whole)
    role = message.role if isinstance(message, ChatMessage) else _ROLES.get(message.type, message.type)
    if not isinstance(message, AIMessage):
        return ChatTurn(role, text)
    calls = tuple(ToolCall(call["name"], call["args"], call["id"] or "") for call in message.tool_calls)
    unread = [call["args"] or "" for call in message.invalid_tool_calls]
    return ChatTurn(role, "\n".join(filter(None, [text, *unread])) if unread else text, calls)


def _text(message: BaseMessage) -> str:
    """The message's text. Raises ValueError for content that a text model cannot read."""
    blocks = [message.content] if isinstance(message.content, str) else message.content
    unreadable = sorted({str(b.get("type")) for b in blocks if isinstance(b, dict)} - _READABLE)
    if unreadable:
        raise ValueError(f"ChatLocal reads text only; a {message.type} message holds content of type {', '.join(unreadable)}")
    return str(message.text)
