"""Odd messages, through the middleware and the runnable: they pass, and the conversation itself never changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents.middleware.types import ModelRequest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from specprefill_agents import Compressor
from specprefill_langchain import PromptCompressor, SpecPrefillMiddleware
from tests.langchain.conftest import ScriptedModel

LONG = "\n".join(f"line {n}: {'the fault is here' if n == 40 else 'nothing to report'}" for n in range(90))


class Own(BaseMessage):
    """A message type that nobody knows."""

    type: str = "own"


def called(call_id: str | None, name: str = "read") -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": {"file": "log"}, "id": call_id}])


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
AUDIO = {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"}

QUESTION = HumanMessage("Where is the fault?")
ODD: dict[str, list[BaseMessage]] = {
    "unknown types": [QUESTION, Own(content=LONG), ChatMessage(role="critic", content=LONG), FunctionMessage(name="f", content=LONG)],
    "a removal": [QUESTION, RemoveMessage(id="gone")],
    "an output that nobody called for": [QUESTION, ToolMessage(LONG, tool_call_id="never")],
    "an output before its call": [QUESTION, ToolMessage(LONG, tool_call_id="1"), called("1")],
    "an output that comes twice": [
        QUESTION,
        called("1"),
        ToolMessage(LONG, tool_call_id="1", id="m"),
        ToolMessage(LONG, tool_call_id="1", id="m"),
    ],
    "two calls of one id": [
        QUESTION,
        called("1"),
        ToolMessage(LONG, tool_call_id="1"),
        called("1"),
        ToolMessage(f"{LONG}\nmore", tool_call_id="1"),
    ],
    "calls without ids": [QUESTION, called(None), ToolMessage(LONG, tool_call_id="")],
    "empty contents": [QUESTION, called("1"), ToolMessage("", tool_call_id="1"), called("2"), ToolMessage([], tool_call_id="2")],
    "blanks": [QUESTION, called("1"), ToolMessage(" \n\t\n" * 200, tool_call_id="1")],
    "pictures and sounds": [
        QUESTION,
        called("1"),
        ToolMessage([PICTURE, {"type": "text", "text": LONG}, AUDIO, {"type": "text"}], tool_call_id="1"),
    ],
    "an artifact": [QUESTION, called("1"), ToolMessage(LONG, tool_call_id="1", artifact={"frame": object(), "bytes": b"\x00"})],
    "lone surrogates and nulls": [QUESTION, called("1"), ToolMessage(LONG.replace("nothing", "\ud800\x00"), tool_call_id="1")],
    "nothing": [],
    "no question": [called("1"), ToolMessage(LONG, tool_call_id="1")],
    "only a prompt": [SystemMessage("You read logs.")],
}


@pytest.fixture(params=["middleware", "runnable"])
def sends(request: pytest.FixtureRequest, compressor: Compressor) -> Callable[[list[BaseMessage]], list[BaseMessage]]:
    """What is sent of messages."""
    if request.param == "runnable":
        return PromptCompressor(compressor).invoke  # type: ignore[return-value]
    middleware: Any = SpecPrefillMiddleware(compressor)

    def send(messages: list[BaseMessage]) -> list[BaseMessage]:
        sent: list[list[BaseMessage]] = []
        asked = ModelRequest(model=ScriptedModel(answers=[]), messages=messages, state={"messages": messages})  # type: ignore[arg-type]
        middleware.wrap_model_call(asked, lambda one: sent.append(one.messages) or AIMessage("done"))
        return sent[0]

    return send


@pytest.mark.parametrize("what", ODD)
def test_odd_messages_go_out_as_they_came_but_for_the_texts_of_outputs(
    sends: Callable[[list[BaseMessage]], list[BaseMessage]], what: str, caplog: pytest.LogCaptureFixture
) -> None:
    given = ODD[what]
    before = [repr(message) for message in given]
    sent = sends(given)
    assert [repr(message) for message in given] == before, "the conversation itself is not changed"
    assert len(sent) == len(given)
    for was, now in zip(given, sent, strict=True):
        if not isinstance(was, ToolMessage):
            assert now is was
            continue
        assert now.model_copy(update={"content": was.content}) == was
        assert isinstance(now, ToolMessage)
        assert now.artifact is was.artifact
        if isinstance(was.content, list):
            assert [block for block in now.content if "text" not in block] == [block for block in was.content if "text" not in block]
        assert len(str(now.content)) <= len(str(was.content))
    first = next(
        (pair for pair in zip(given, sent, strict=True) if isinstance(pair[0], ToolMessage) and len(str(pair[0].content)) > 1_900), None
    )
    if first is not None and not str(first[0].text).isspace():
        assert len(str(first[1].content)) < 0.5 * len(str(first[0].content))
    assert sends(given) == sent
    assert "failed" not in caplog.text
