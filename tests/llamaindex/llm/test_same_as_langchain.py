"""A conversation is compressed to the same bytes whichever framework it is held in: nothing but the text decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, ToolCallBlock

from specprefill_agents import Compressor
from specprefill_langchain import PromptCompressor
from specprefill_llamaindex import SpecPrefillLLM
from tests.conversations import CONVERSATIONS
from tests.llamaindex.llm.scripted import Scripted

ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}


def converted(message: BaseMessage) -> ChatMessage:
    """The same in LlamaIndex, which tells no errors from other outputs."""
    blocks: list[Any] = [_block(block) for block in ([message.content] if isinstance(message.content, str) else message.content)]
    beside: dict[str, Any] = {}
    if isinstance(message, AIMessage):
        calls = message.tool_calls
        blocks += [ToolCallBlock(tool_call_id=call["id"], tool_name=call["name"], tool_kwargs=call["args"]) for call in calls]
    if isinstance(message, ToolMessage):
        beside = {"tool_call_id": message.tool_call_id, **({"name": message.name} if message.name else {})}
    return ChatMessage(blocks, role=ROLES[message.type], additional_kwargs=beside)


def _block(block: Any) -> Any:
    if isinstance(block, str):
        return TextBlock(text=block)
    return TextBlock(text=block["text"]) if block["type"] == "text" else ImageBlock(url=block["image_url"]["url"])


def texts(messages: Sequence[BaseMessage] | Sequence[ChatMessage]) -> list[list[str]]:
    """The texts of each message."""
    made = [message if isinstance(message, ChatMessage) else converted(message) for message in messages]
    return [[block.text for block in message.blocks if isinstance(block, TextBlock)] for message in made]


@pytest.fixture
def compressors(lexical: Callable[..., Compressor]) -> tuple[Compressor, Compressor]:
    return lexical(keep_ratio=0.3), lexical(keep_ratio=0.3)


@given(conversation=CONVERSATIONS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_the_same_conversation_is_the_same_bytes_as_in_langchain(
    compressors: tuple[Compressor, Compressor], conversation: list[BaseMessage]
) -> None:
    without_errors = [
        message.model_copy(update={"status": "success"}) if isinstance(message, ToolMessage) else message for message in conversation
    ]
    inner = Scripted(responses=["Yes."])
    SpecPrefillLLM(inner, compressors[0]).chat([converted(message) for message in without_errors])
    there = PromptCompressor(compressors[1]).invoke(without_errors)
    assert texts(inner.asked[0]) == texts(there)  # type: ignore[arg-type]
