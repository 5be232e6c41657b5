"""LangChain messages -> segments -> LangChain messages: the one place that knows LangChain's message format.

Only the text of tool messages that a tool wrote becomes a segment. Nothing is mutated, added, dropped or reordered; a message whose text
did not change comes back as the identical object.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from specprefill_agents.prompt.expand import EXPAND_TOOL
from specprefill_agents.prompt.original_notes import with_note
from specprefill_agents.prompt.query import CallContext, call_label
from specprefill_agents.prompt.rounds import Round, Rounds, Slot
from specprefill_agents.types import CompressedSegment, Kind, Segment
from specprefill_langchain.harness import is_of_tool, notice_in


def rounds(messages: Sequence[BaseMessage], query: str | None = None) -> list[Round]:
    """The rounds of tool outputs in `messages`, see `prompt.rounds.Rounds`."""
    found = Rounds(query)
    for index, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            slots = list(_slots(index, message, found.call(message.tool_call_id)))
            for slot in slots:
                found.output(slot)
            if slots:
                continue
        elif isinstance(message, HumanMessage):
            found.user(str(message.text))
        elif isinstance(message, AIMessage):
            found.assistant(_calls(message))
        found.passes(message)
    return found.end()


def put_back(
    messages: Sequence[BaseMessage], slots: Sequence[Slot], decided: Sequence[CompressedSegment], *, with_originals: bool = False
) -> list[BaseMessage]:
    """`messages` with what was decided in place of the texts of `slots`; the whole texts noted on them `with_originals`."""
    changes: dict[int, dict[str, Any]] = {}
    for slot, one in zip(slots, decided, strict=True):
        if one.text == slot.segment.text:
            continue
        message = messages[slot.message]
        if slot.block is None:
            changes[slot.message] = {"content": one.text}
            if with_originals:
                changes[slot.message]["additional_kwargs"] = with_note(message.additional_kwargs, slot.segment.text, one)
            continue
        blocks = changes.setdefault(slot.message, {"content": list(message.content)})["content"]
        block = blocks[slot.block]
        blocks[slot.block] = one.text if isinstance(block, str) else {**block, "text": one.text}
    return [m.model_copy(update=changes[i]) if i in changes else m for i, m in enumerate(messages)]


def _calls(message: AIMessage) -> dict[str, CallContext]:
    intent = str(message.text)
    return {call["id"]: CallContext(call["name"], call["args"], intent) for call in message.tool_calls if call["id"]}


def _slots(index: int, message: ToolMessage, call: CallContext | None) -> Iterator[Slot]:
    if not is_of_tool(message):
        return
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
