"""The `expand` tool in real FunctionAgent runs: what compression left out comes back, and a wrong request is answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM

from specprefill_agents import ConfigError
from specprefill_agents.prompt.expand import BAD_ARGUMENTS, BAD_LINES, EXPAND_TOOL, UNKNOWN_ID
from specprefill_agents.storage.originals import Originals
from specprefill_llamaindex import expand_tool

# LlamaIndex's workflows look at every attribute of an agent, the deprecated ones of pydantic included.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")

LOG = "".join(f"{n:03} worker {n % 7} finished its part of the nightly import in {n * n % 101} ms\n" for n in range(1, 301))


@pytest.fixture
def originals() -> Originals:
    return Originals.in_memory()


@pytest.fixture
def run(originals: Originals) -> Callable[..., Any]:
    """Runs an agent that makes these calls of `expand`; gives what each was answered, and what its model then read."""

    async def start(*calls: dict[str, Any], streaming: bool = True) -> tuple[list[str], list[str]]:
        asked = [ToolCallBlock(tool_call_id=f"call-{i}", tool_name=EXPAND_TOOL, tool_kwargs=call) for i, call in enumerate(calls)]
        read: list[str] = []

        def decide(messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
            read[:] = [str(message.content) for message in messages if message.role == MessageRole.TOOL]
            return ChatMessage("Done.", role="assistant") if read else ChatMessage(role="assistant", blocks=asked)

        llm = MockFunctionCallingLLM(response_generator=decide)
        agent = FunctionAgent(tools=[expand_tool(originals)], llm=llm, streaming=streaming)
        handler = agent.run("How long did worker 3 take?")
        results = {e.tool_id: str(e.tool_output.content) async for e in handler.stream_events() if isinstance(e, ToolCallResult)}
        await handler
        return [results[f"call-{i}"] for i in range(len(calls))], read

    return start


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agent_gets_back_what_was_left_out(run: Callable, originals: Originals, streaming: bool) -> None:
    name = originals.put(LOG)
    answers, read = await run(
        {"id": name}, {"id": name, "start_line": 40, "end_line": 42}, {"id": name, "pattern": "^123 "}, streaming=streaming
    )
    assert sorted(read) == sorted(answers)
    whole, lines, found = answers
    assert whole == f"[expanded {name}: lines 1-300 of 300]\n{LOG}"
    assert lines.splitlines()[1:] == LOG.splitlines()[39:42]
    assert "123:123 worker 4" in found


async def test_a_wrong_request_is_answered_and_the_agent_goes_on(run: Callable, originals: Originals) -> None:
    name = originals.put(LOG)
    foreign = Originals.in_memory(tenant="them").put(LOG)
    wrong = [{"id": "sp-aaaaaaaa"}, {"id": foreign}, {"id": name, "start_line": 9, "end_line": 3}, {"id": name, "start_line": "forty"}, {}]
    answers, _ = await run(*wrong)
    assert answers == [UNKNOWN_ID, UNKNOWN_ID, BAD_LINES, BAD_ARGUMENTS, BAD_ARGUMENTS]


async def test_it_works_by_hand_in_both_modes_and_understands_numbers_written_as_text(originals: Originals) -> None:
    name, made = originals.put(LOG), expand_tool(originals)
    expected = f"[expanded {name}: lines 2-2 of 300]\n{LOG.splitlines(keepends=True)[1]}"
    assert made.call(id=name, start_line="2", end_line=2.0, pattern=None).content == expected
    assert (await made.acall(id=name, start_line="2", end_line="2")).content == expected


def test_the_length_of_an_answer_can_be_set(originals: Originals) -> None:
    answer = expand_tool(originals, max_chars=1000).call(id=originals.put(LOG)).content
    assert len(answer.partition("\n")[2]) <= 1000


def test_what_a_model_is_told_is_constant(originals: Originals) -> None:
    tools = [expand_tool(originals), expand_tool(Originals.in_memory(tenant="them"), max_chars=5)]
    told = [json.dumps(one.metadata.to_openai_tool()) for one in tools]
    assert told[0] == told[1]
    function = json.loads(told[0])["function"]
    assert (function["name"], function["parameters"]["required"]) == (EXPAND_TOOL, ["id"])
    assert list(function["parameters"]["properties"]) == ["id", "start_line", "end_line", "pattern", "start_char"]


def test_a_compressor_that_keeps_originals_stands_for_them(originals: Originals) -> None:
    name = originals.put(LOG)
    assert "lines 1-" in expand_tool(SimpleNamespace(originals=originals)).call(id=name).content
    with pytest.raises(ConfigError, match="originals"):
        expand_tool(SimpleNamespace(originals=None))
