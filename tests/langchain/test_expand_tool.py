"""The `expand` tool in real create_agent loops: what compression left out comes back, and is never compressed again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langchain_core.utils.function_calling import convert_to_openai_tool

from specprefill_agents import Compressor, ConfigError
from specprefill_agents.prompt.expand import BAD_ARGUMENTS, BAD_LINES, UNKNOWN_ID
from specprefill_agents.storage.originals import Originals
from specprefill_langchain import SpecPrefillMiddleware, expand_tool
from specprefill_langchain.messages import EXPAND_TOOL

LOG = "".join(f"{n:03} worker {n % 7} finished its part of the nightly import in {n * n % 101} ms\n" for n in range(1, 301))
Wire = Callable[[Sequence[BaseMessage]], bytes]


@tool
def read_log() -> str:
    """The log of last night."""
    return LOG


@pytest.fixture
def originals() -> Originals:
    return Originals.in_memory()


@pytest.fixture
def run(model: Any, originals: Originals, compressor: Compressor) -> Callable[..., list[ToolMessage]]:
    """Runs an agent that reads the log, then makes these calls of `expand`; gives the tool messages of its last request."""

    def start(*calls: dict[str, Any], asynchronous: bool = False) -> list[ToolMessage]:
        asked = [{"name": EXPAND_TOOL, "args": arguments, "id": f"call-{index}"} for index, arguments in enumerate(calls)]
        first = AIMessage("", tool_calls=[{"name": "read_log", "args": {}, "id": "log"}])
        model.answers = [first, AIMessage("I need more of it.", tool_calls=asked), AIMessage("Done.")]
        model.requests.clear()
        agent = create_agent(model, [read_log, expand_tool(originals)], middleware=[SpecPrefillMiddleware(compressor)])
        question = {"messages": [HumanMessage("How long did worker 3 take?")]}
        _ = asyncio.run(agent.ainvoke(question)) if asynchronous else agent.invoke(question)
        return [message for message in model.requests[-1] if isinstance(message, ToolMessage)]

    return start


def test_an_agent_gets_back_what_was_left_out_and_reads_it_whole(run: Callable, originals: Originals) -> None:
    name = originals.put(LOG)
    log, whole, lines, found = run({"id": name}, {"id": name, "start_line": 40, "end_line": 42}, {"id": name, "pattern": "^123 "})
    assert len(log.content) < 0.5 * len(LOG)
    assert whole.content == f"[expanded {name}: lines 1-300 of 300]\n{LOG}"
    assert lines.content.splitlines()[1:] == LOG.splitlines()[39:42]
    assert "123:123 worker 4" in found.content
    assert {message.name for message in (whole, lines, found)} == {EXPAND_TOOL}


def test_synchronous_and_asynchronous_runs_send_the_same_bytes(run: Callable, originals: Originals, wire: Wire) -> None:
    name = originals.put(LOG)
    calls = [{"id": name, "start_line": 1}, {"id": name, "pattern": "worker [36]"}]
    assert wire(run(*calls)) == wire(run(*calls, asynchronous=True))


def test_a_wrong_request_is_answered_and_the_agent_goes_on(run: Callable, originals: Originals) -> None:
    name = originals.put(LOG)
    foreign = Originals.in_memory(tenant="them").put(LOG)
    wrong = [{"id": "sp-aaaaaaaa"}, {"id": foreign}, {"id": name, "start_line": 9, "end_line": 3}, {"id": name, "start_line": "forty"}, {}]
    _, *answers = run(*wrong)
    assert [message.content for message in answers] == [UNKNOWN_ID, UNKNOWN_ID, BAD_LINES, BAD_ARGUMENTS, BAD_ARGUMENTS]


def test_numbers_written_as_text_are_understood(originals: Originals) -> None:
    name = originals.put(LOG)
    asked = {"id": name, "start_line": "2", "end_line": 2.0, "pattern": None}
    assert expand_tool(originals).invoke(asked) == f"[expanded {name}: lines 2-2 of 300]\n{LOG.splitlines(keepends=True)[1]}"


def test_the_length_of_an_answer_can_be_set(originals: Originals) -> None:
    answer = expand_tool(originals, max_chars=1000).invoke({"id": originals.put(LOG)})
    assert len(answer.partition("\n")[2]) <= 1000


def test_what_a_model_is_told_is_constant(originals: Originals) -> None:
    tools: list[BaseTool] = [expand_tool(originals), expand_tool(Originals.in_memory(tenant="them"), max_chars=5)]
    told = [json.dumps(convert_to_openai_tool(one)) for one in tools]
    assert told[0] == told[1]
    function = json.loads(told[0])["function"]
    assert (function["name"], function["parameters"]["required"]) == (EXPAND_TOOL, ["id"])
    assert list(function["parameters"]["properties"]) == ["id", "start_line", "end_line", "pattern", "start_char"]


def test_a_compressor_that_keeps_originals_stands_for_them(originals: Originals) -> None:
    name = originals.put(LOG)
    assert "lines 1-" in expand_tool(SimpleNamespace(originals=originals)).invoke({"id": name})
    with pytest.raises(ConfigError, match="originals"):
        expand_tool(SimpleNamespace(originals=None))
