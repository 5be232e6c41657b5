"""The ledger of an agent says how long a streamed answer let one wait, and changes nothing of what callbacks see."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tools import BaseTool
from langchain_deepseek import ChatDeepSeek

from specprefill_agents import Compressor
from specprefill_langchain import Meter, SpecPrefillMiddleware
from specprefill_langchain.first_token import first_token_seen
from tests.openai_server import ANSWER, Recorded, serving


@pytest.fixture
def server() -> Iterator[Recorded]:
    with serving() as recorded:
        yield recorded


@pytest.fixture
def meter(compressor: Compressor) -> Meter:
    return Meter(compressor.counter, model="deepseek-flash")


@pytest.fixture
def agent(compressor: Compressor, meter: Meter, tools: list[BaseTool], server: Recorded) -> Any:
    model = ChatDeepSeek(model="deepseek-flash", api_key="none", api_base=server.url, stream_usage=True)
    return create_agent(model, tools, middleware=[SpecPrefillMiddleware(compressor, ledger=meter)])


class Tokens(BaseCallbackHandler):
    """Counts the pieces of answers."""

    def __init__(self) -> None:
        self.count = 0

    def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
        self.count += 1


ASKED = {"messages": [HumanMessage("Which train leaves first? Call `read_file`.")]}


def waits(meter: Meter) -> list[float | None]:
    (conversation,) = meter.ledger.conversations
    return [step.first_chunk_ms for step in conversation.steps]


def test_streamed_answers_are_timed_and_other_callbacks_see_what_they_saw(agent: Any, meter: Meter) -> None:
    tokens = Tokens()
    said = [message.content for message, _ in agent.stream(ASKED, {"callbacks": [tokens]}, stream_mode="messages")]
    assert ANSWER in "".join(str(part) for part in said)
    assert tokens.count > 5
    found = waits(meter)
    assert len(found) == 2
    assert all(wait is not None and wait > 0 for wait in found)


def test_so_are_those_of_asynchronous_agents(agent: Any, meter: Meter) -> None:
    async def stream() -> None:
        async for _ in agent.astream(ASKED, stream_mode="messages"):
            pass

    asyncio.run(stream())
    assert all(wait is not None and wait > 0 for wait in waits(meter))


def test_answers_that_come_whole_have_no_first_piece(agent: Any, meter: Meter) -> None:
    agent.invoke(ASKED)
    assert waits(meter) == [None, None]


def test_outside_of_a_graph_the_context_is_left_as_it_was(server: Recorded) -> None:
    model = ChatDeepSeek(model="deepseek-flash", api_key="none", api_base=server.url, stream_usage=True)
    assert var_child_runnable_config.get() is None
    with first_token_seen() as seen:
        assert "".join(str(part.content) for part in model.stream("Hello")) == ANSWER
    assert seen.ms is not None
    assert var_child_runnable_config.get() is None
    with first_token_seen() as unseen:
        model.invoke("Hello")
    assert unseen.ms is None
