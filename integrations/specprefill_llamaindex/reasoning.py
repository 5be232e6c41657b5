"""DeepSeek gets the reasoning of its turns that called tools back, exactly as it sent it, which it insists on in thinking mode.

llama-index-llms-openai 0.8.3 reads `reasoning_content` into a ThinkingBlock and leaves that out of requests; DeepSeek then
refuses them with HTTP 400. The remedy is a form of the message in which that package sends it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ThinkingBlock, ToolCallBlock

from specprefill_llamaindex.messages import ASSISTANT_ROLES

_OPENAI = "llama_index.llms.openai.base"
_DEEPSEEK = "deepseek"


def wants_reasoning(llm: object) -> bool:
    """Whether `llm` asks DeepSeek, by LlamaIndex's client for chat completions: known by its class, model or address."""
    bases = type(llm).__mro__
    if not any(base.__module__ == _OPENAI for base in bases):
        return False
    names = [*(base.__name__ for base in bases), getattr(llm, "model", ""), getattr(llm, "api_base", "")]
    return any(_DEEPSEEK in str(name).lower() for name in names)


def with_reasoning(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """`messages` in the form in which the reasoning of assistant messages that called tools goes out with them."""
    return [_completed(message) if message.role in ASSISTANT_ROLES else message for message in messages]


def _completed(message: ChatMessage) -> ChatMessage:
    reasoning = "".join(block.content or "" for block in message.blocks if isinstance(block, ThinkingBlock))
    calls = [_wire(block) for block in message.blocks if isinstance(block, ToolCallBlock)]
    given = message.additional_kwargs
    if not reasoning or not (calls or given.get("tool_calls")) or "reasoning_content" in given:
        return message
    # With the calls beside the blocks, whatever stands beside them goes out; with the calls among them, only an id does.
    beside = {key: given[key] for key in ("tool_call_id",) if key in given} | {"tool_calls": calls} if calls else given
    blocks = [block for block in message.blocks if not isinstance(block, (ThinkingBlock, ToolCallBlock))]
    return message.model_copy(update={"blocks": blocks, "additional_kwargs": {**beside, "reasoning_content": reasoning}})


def _wire(call: ToolCallBlock) -> dict[str, Any]:
    arguments = call.tool_kwargs if isinstance(call.tool_kwargs, str) else json.dumps(call.tool_kwargs)
    return {"type": "function", "function": {"name": call.tool_name, "arguments": arguments}, "id": call.tool_call_id}
