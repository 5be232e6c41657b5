"""LangChain messages -> segments -> LangChain messages: the one place that knows LangChain's message format.

Only the text of tool messages that a tool wrote becomes a segment. Nothing is mutated, added, dropped or reordered; a message whose text
did not change comes back as the identical object.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from specprefill_agents.prompt.expand import EXPAND_TOOL
from specprefill_agents.prompt.query import CallContext, call_label
from specprefill_agents.prompt.rounds import Round, Rounds, Slot
from specprefill_agents.types import Kind, Segment
from specprefill_langchain.harness import is_of_tool, notice_in


def rounds(messages: Sequence[BaseMessage], query: str | None = None) -> list[Round]:
    """The rounds of tool outputs in `messages`, see `prompt.rounds.Rounds`."""
    found = Rounds(query)
    for index, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            for slot in _slots(index, message, found.call(message.tool_call_id)):
                found.output(slot)
        elif isinstance(message, HumanMessage):
            found.user(str(message.text))
        elif isinstance(message, AIMessage):
            found.assistant(_calls(message))
    return found.end()


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
