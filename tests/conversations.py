"""Generated conversations of real LangChain messages: what a seed stands for, the same in any process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage, convert_to_openai_messages

from tests.kinds import SEEDS, words
from tests.strategies import PIECES, SIZES, any_query, any_text

TOOLS = ("grep", "read", "secret", "expand")
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}


def conversation(seed: int, size: int) -> list[BaseMessage]:
    """A conversation of one to three rounds of tool calls, at whatever moment; texts are few and small for a small `size`."""
    source = Random(seed)
    messages: list[BaseMessage] = [HumanMessage(any_query(source), id="m-user")]
    if source.random() < 0.5:
        messages.insert(0, SystemMessage(source.choice((words(source), *PIECES))))
    rounds = min(1 + size // 2, source.choice((1, 2, 2, 3)))
    for number in range(rounds):
        messages += _round(source, number, size // rounds)
    if source.random() < 0.3:
        messages.append(AIMessage(words(source), id="m-last"))
    return messages


CONVERSATIONS = st.builds(conversation, SEEDS, SIZES)


def _round(source: Random, number: int, size: int) -> list[BaseMessage]:
    """An assistant's calls, their results in any order, and now and then what a user says meanwhile."""
    names = source.choices(TOOLS, weights=(5, 3, 1, 1), k=source.choice((1, 1, 1, 2)))
    calls = [_call(source, name, f"call-{number}-{at}") for at, name in enumerate(names)]
    text: str | list[str | dict[str, Any]] = source.choice((words(source), "", [{"type": "text", "text": words(source)}]))
    results: list[BaseMessage] = [_result(source, call, size) for call in calls]
    if source.random() < 0.2:
        results.reverse()
    if source.random() < 0.1:
        results.insert(source.randint(0, len(results)), HumanMessage(any_query(source)))
    return [AIMessage(text, tool_calls=calls, id=f"m-{number}"), *results]


def _call(source: Random, name: str, call_id: str) -> dict[str, Any]:
    arguments = {"pattern": any_query(source), "first": source.randrange(99), "whole": source.random() < 0.5}
    return {"name": name, "args": arguments, "id": call_id}


def _result(source: Random, call: dict[str, Any], size: int) -> ToolMessage:
    text = any_text(source, size)
    empty = {"type": "text", "text": ""}
    blocks: list[str | dict[str, Any]] = [{"type": "text", "text": text, "index": 7}, dict(PICTURE), words(source), empty]
    return ToolMessage(
        blocks[: source.randint(1, 4)] if source.random() < 0.25 else text,
        tool_call_id=call["id"],
        name=source.choice((None, call["name"])),
        status=source.choice(("success",) * 7 + ("error",)),
        artifact=source.choice((None, {"rows": [1, 2]})),
        id=source.choice((None, f"r-{call['id']}")),
    )


def wire(messages: Sequence[BaseMessage]) -> bytes:
    """What a chat-completions provider gets for messages, as bytes that a longer conversation extends."""
    return b"".join(json.dumps(one, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n" for one in _openai(messages))


def _openai(messages: Sequence[BaseMessage]) -> list[Any]:
    return [convert_to_openai_messages(message) for message in messages]
