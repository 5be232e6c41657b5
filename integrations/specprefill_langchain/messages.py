"""LangChain messages -> segments -> LangChain messages: the one place that knows LangChain's message format.

Only the text of tool messages that a tool wrote becomes a segment. Nothing is mutated, added, dropped or reordered; a message whose text
did not change comes back as the identical object.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from specprefill_agents.prompt.expand import EXPAND_TOOL
from specprefill_agents.prompt.query import CallContext, build_query, call_label
from specprefill_agents.types import Kind, Segment
from specprefill_langchain.harness import is_of_tool, notice_in


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a segment's text sits: index of the message, and of the block where the content is a list."""

    message: int
    block: int | None
    segment: Segment


@dataclass(frozen=True, slots=True)
class Round:
    """The tool outputs that reach the model with one call, and what that call is about."""

    slots: tuple[Slot, ...]
    query: str


def rounds(messages: Sequence[BaseMessage], query: str | None = None) -> list[Round]:
    """The rounds of tool outputs in `messages`: an assistant message closes one, the end of the list the last.

    Each round is read with the query of its own time (the user turn and the calls that led to it), or with `query`.
    What was sent before can therefore be worked out again from the messages alone, and stays the same as the
    conversation grows.
    """
    found: list[Round] = []
    calls: dict[str, CallContext] = {}
    slots: list[Slot] = []
    user_text = ""
    for index, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            slots += _slots(index, message, calls)
        elif isinstance(message, HumanMessage):
            user_text = str(message.text)
        elif isinstance(message, AIMessage):
            if slots:
                found.append(_round(slots, calls, user_text, query))
                slots = []
            calls.update(_calls(message))
    if slots:
        found.append(_round(slots, calls, user_text, query))
    return found


def put_back(messages: Sequence[BaseMessage], slots: Sequence[Slot], texts: Sequence[str]) -> list[BaseMessage]:
    """`messages` with `texts` in place of the texts of `slots`."""
    contents: dict[int, str | list[str | dict[str, object]]] = {}
    for slot, text in zip(slots, texts, strict=True):
        if text == slot.segment.text:
            continue
        if slot.block is None:
            contents[slot.message] = text
            continue
        blocks = contents.setdefault(slot.message, list(messages[slot.message].content))
        assert isinstance(blocks, list)
        block = blocks[slot.block]
        blocks[slot.block] = text if isinstance(block, str) else {**block, "text": text}
    return [m.model_copy(update={"content": contents[i]}) if i in contents else m for i, m in enumerate(messages)]


def _round(slots: Sequence[Slot], calls: dict[str, CallContext], user_text: str, query: str | None) -> Round:
    if query is None:
        ids = dict.fromkeys(slot.segment.id or "" for slot in slots if slot.segment.kind == "tool_result")
        query = build_query(user_text, [calls[call_id] for call_id in ids if call_id in calls])
    return Round(tuple(slots), query)


def _calls(message: AIMessage) -> dict[str, CallContext]:
    intent = str(message.text)
    return {call["id"]: CallContext(call["name"], call["args"], intent) for call in message.tool_calls if call["id"]}


def _slots(index: int, message: ToolMessage, calls: dict[str, CallContext]) -> Iterator[Slot]:
    if not is_of_tool(message):
        return
    call = calls.get(message.tool_call_id)
    name = message.name or (call.tool if call else None)
    kind, label = _kind(message, name), call_label(call) if call else ""
    for block, text in _texts(message.content):
        yield Slot(index, block, Segment(text, kind, name, message.tool_call_id, notice_in(text), label))


def _kind(message: ToolMessage, name: str | None) -> Kind:
    if message.status == "error":
        return "tool_error"
    return "expanded" if name == EXPAND_TOOL else "tool_result"


def _texts(content: str | list[str | dict[str, object]]) -> Iterator[tuple[int | None, str]]:
    """Each text of a message's content with the index of its block, None where the content is the text."""
    if isinstance(content, str):
        yield None, content
        return
    for index, block in enumerate(content):
        text = block if isinstance(block, str) else block.get("text") if block.get("type") == "text" else None
        if isinstance(text, str):
            yield index, text
