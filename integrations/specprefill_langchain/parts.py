"""LangChain's requests and answers as the parts that accounting measures: tools, system prompt, messages, as on the wire."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, SystemMessage, ToolMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from specprefill_agents.accounting.usage import NO_USAGE, UsageReading, read_usage
from specprefill_agents.accounting.wire import Part, message_part, tools_head

_ROLES = {
    "human": "user",
    "HumanMessageChunk": "user",
    "ai": "assistant",
    "AIMessageChunk": "assistant",
    "SystemMessageChunk": "system",
    "ToolMessageChunk": "tool",
}
_BETWEEN_BLOCKS = "\x1d"


def head_parts(tools: Sequence[BaseTool | dict[str, Any]], system: SystemMessage | None) -> list[Part]:
    """What comes before the messages of a request; an agent's tools and system prompt as it keeps them."""
    described = [tool if isinstance(tool, dict) else convert_to_openai_tool(tool) for tool in tools]
    return [*tools_head(described), *([part_of(system)] if system else [])]


def part_of(message: BaseMessage) -> Part:
    """A message as a part. Reasoning counts where it is sent back: in assistant messages that call tools."""
    role = message.role if isinstance(message, ChatMessage) else _ROLES.get(message.type, message.type)
    call_id = message.tool_call_id if isinstance(message, ToolMessage) else ""
    calls = [*message.tool_calls, *message.invalid_tool_calls] if isinstance(message, AIMessage) else []
    reasoning = message.additional_kwargs.get("reasoning_content") if calls else None
    named: list[Mapping[str, Any]] = [{**call, "name": call["name"] or ""} for call in calls]
    return message_part(role, _text(message.content), named, call_id, reasoning if isinstance(reasoning, str) else "")


def _text(content: str | Sequence[str | dict[str, Any]]) -> str:
    """A text that is equal when the contents are; texts among the blocks as they are, so that their tokens count."""
    return content if isinstance(content, str) else _BETWEEN_BLOCKS.join(map(_block, content))


def _block(block: str | dict[str, Any]) -> str:
    if isinstance(block, str):
        return block
    text = block.get("text")
    if block.get("type") == "text" and isinstance(text, str):
        return text
    return json.dumps(block, ensure_ascii=False, default=str)


def reported_usage(answer: AIMessage) -> object:
    """What the provider reported of the call that `answer` came from, in the shape that says most; None where it did not."""
    metadata = answer.response_metadata
    raw = [usage for name in ("token_usage", "usage") if isinstance(usage := metadata.get(name), Mapping)]
    # A provider states the tier of a request beside its usage.
    found = [*({"service_tier": metadata.get("service_tier"), **usage} for usage in raw), answer.usage_metadata]
    return min(found, key=lambda usage: _silence(read_usage(usage)))


def _silence(reading: UsageReading) -> tuple[bool, bool, int]:
    return reading.tokens is None, NO_USAGE in reading.flags, len(reading.flags)
