"""LlamaIndex's messages and answers as the parts that accounting measures, as on the wire of a chat-completions provider."""

from __future__ import annotations

from collections.abc import Mapping

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ContentBlock, TextBlock, ThinkingBlock, ToolCallBlock

from specprefill_agents.accounting.wire import Part, message_part
from specprefill_llamaindex.messages import ASSISTANT_ROLES, SYSTEM_ROLES, TOOL_ROLES, calls_in, tool_call_id

_BETWEEN_BLOCKS = "\x1d"


def part_of(message: ChatMessage) -> Part:
    """A message as a part. Reasoning counts where it is sent back: in assistant messages that call tools."""
    calls = calls_in(message) if message.role in ASSISTANT_ROLES else {}
    named = [{"id": call_id, "name": call.tool, "args": call.arguments} for call_id, call in calls.items()]
    thoughts = [block.content or "" for block in message.blocks if isinstance(block, ThinkingBlock)] if calls else []
    return message_part(_role(message), _text(message), named, tool_call_id(message) or "", "".join(thoughts))


def _role(message: ChatMessage) -> str:
    if message.role in SYSTEM_ROLES:
        return "system"
    return "assistant" if message.role in ASSISTANT_ROLES else "tool" if message.role in TOOL_ROLES else message.role.value


def _text(message: ChatMessage) -> str:
    """A text that is equal when the contents are; texts among the blocks as they are, so that their tokens count."""
    return _BETWEEN_BLOCKS.join(_block(block) for block in message.blocks if not isinstance(block, (ThinkingBlock, ToolCallBlock)))


def _block(block: ContentBlock) -> str:
    return block.text if isinstance(block, TextBlock) else block.model_dump_json()


def reported_usage(answer: ChatResponse) -> object:
    """What the provider reported of the call that `answer` came from; None where it did not.

    `raw` holds it whole, cache figures included, where it is a response of a provider's client, as an object or as JSON;
    what LlamaIndex counts by stands beside it.
    """
    raw = answer.raw
    usage = raw.get("usage") if isinstance(raw, Mapping) else getattr(raw, "usage", None)
    if usage is not None:
        return usage
    beside = answer.additional_kwargs
    return beside if "prompt_tokens" in beside and "completion_tokens" in beside else None
