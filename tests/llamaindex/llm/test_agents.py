"""LlamaIndex's agents over SpecPrefillLLM: what each step sends, through hand-offs, later runs and other processes."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.react.formatter import ReActChatFormatter
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.workflow import Context
from llama_index.llms.deepseek import DeepSeek

from specprefill_agents import Compressor
from specprefill_llamaindex import Meter, SpecPrefillLLM, StepReport, expand_tool
from tests.llamaindex.llm.scripted import Scripted
from tests.llamaindex.llm.timetables import TOOL, timetable
from tests.openai_server import ANSWER, THOUGHTS, Recorded

# LlamaIndex's agents use deprecated attributes of pydantic, which its workflows list, and of those workflows. With pydantic
# 2.14 its memory cannot be serialized, of which its workflows warn after each run.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.PydanticDeprecatedSince20",
    "ignore::pydantic.PydanticDeprecatedSince211",
    "ignore:is_running called:DeprecationWarning",
    "ignore::workflows.context.state_store.UnserializableKeyWarning",
)

STEPS = "When does the train to 'Basel' leave, in 4 steps?"


def tool_texts(messages: list[dict[str, Any]]) -> list[str]:
    return [message["content"] for message in messages if message["role"] == "tool"]


def assert_each_request_extends_the_one_before(server: Recorded) -> None:
    for earlier, later in itertools.pairwise(server.requests):
        assert later["messages"][: len(earlier["messages"])] == earlier["messages"]
        assert later["tools"] == earlier["tools"]


@pytest.mark.parametrize("thinking", ["enabled", "disabled"])
@pytest.mark.parametrize("streaming", [False, True])
async def test_each_step_of_a_function_agent_extends_the_request_before_it(
    deepseek: Callable[..., DeepSeek], compressor: Compressor, server: Recorded, thinking: str, streaming: bool
) -> None:
    steps: list[StepReport] = []
    inner = deepseek(additional_kwargs={"extra_body": {"thinking": {"type": thinking}}})
    llm = SpecPrefillLLM(inner, compressor, on_step=steps.append)
    agent = FunctionAgent(llm=llm, tools=[TOOL], streaming=streaming, system_prompt="You know trains.")
    output = await agent.run(STEPS)
    assert str(output) == ANSWER
    assert len(server.bodies) == len(steps) == 5
    assert_each_request_extends_the_one_before(server)
    outputs = tool_texts(server.messages())
    assert len(outputs) == 4
    assert len(outputs[0]) < 0.5 * len(timetable(4, "Basel"))
    calls = [message for message in server.messages() if message.get("tool_calls")]
    assert [message.get("reasoning_content") for message in calls] == [THOUGHTS if thinking == "enabled" else None] * 4


async def test_what_is_new_is_read_once(deepseek: Callable[..., DeepSeek], compressor: Compressor, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    compress = compressor.compress
    monkeypatch.setattr(compressor, "compress", lambda new, query: asked.append([one.id for one in new]) or compress(new, query))
    await FunctionAgent(llm=SpecPrefillLLM(deepseek(), compressor), tools=[TOOL]).run(STEPS)
    assert asked == [["call-1"], ["call-3"], ["call-5"], ["call-7"]]


async def test_after_a_hand_off_the_other_agent_reads_the_same_bytes_and_nothing_is_scored_again(
    deepseek: Callable[..., DeepSeek], compressor: Compressor, server: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    compress = compressor.compress
    monkeypatch.setattr(compressor, "compress", lambda new, query: asked.append([one.id for one in new]) or compress(new, query))
    llms = [SpecPrefillLLM(deepseek(), compressor)] * 2
    desk, basel = (
        FunctionAgent(name=name, description="Knows trains.", system_prompt=f"You are {name}.", llm=llm, tools=[TOOL], can_handoff_to=to)
        for name, llm, to in zip(("Desk", "Basel"), llms, (["Basel"], []), strict=True)
    )
    workflow = AgentWorkflow([desk, basel], root_agent="Desk")
    output = await workflow.run("First `timetable`, then `handoff`, then `timetable`: when does the train to 'Basel' leave?")
    assert str(output) == ANSWER
    systems = [messages["messages"][0]["content"] for messages in server.requests]
    assert [system.split(".")[0] for system in systems] == ["You are Desk", "You are Desk", "You are Basel", "You are Basel"]
    by_desk, by_basel = server.messages(1), server.messages(3)
    assert by_basel[1 : len(by_desk)] == by_desk[1:]
    assert len(tool_texts(by_basel)[0]) < 0.5 * len(timetable(0, "Basel"))
    assert [ids for ids in asked if ids] == [["call-2"], ["call-4"], ["call-6"]]


async def test_a_later_run_goes_on_from_what_was_sent(llm: SpecPrefillLLM, server: Recorded) -> None:
    agent = FunctionAgent(llm=llm, tools=[TOOL])
    memory = ChatMemoryBuffer.from_defaults(token_limit=500_000)
    await agent.run("When does the train to 'Basel' leave?", memory=memory)
    await agent.run("And to 'Chur'?", memory=memory)
    assert_each_request_extends_the_one_before(server)
    assert len(tool_texts(server.messages())) == 2


RESUMED = """
import asyncio, json, sys
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.workflow import Context
from llama_index.llms.deepseek import DeepSeek
from specprefill_agents import CompressionConfig, Compressor
from specprefill_llamaindex import SpecPrefillLLM
from tests.llamaindex.llm.timetables import TOOL

told = json.load(sys.stdin)
memory = ChatMemoryBuffer.from_defaults([ChatMessage.model_validate(message) for message in told["memory"]], token_limit=500_000)
inner = DeepSeek("deepseek-flash", "none", told["url"], context_window=1_000_000, is_function_calling_model=True)
llm = SpecPrefillLLM(inner, Compressor(config=CompressionConfig.from_dict(told["config"]), cache="memory"))
agent = FunctionAgent(llm=llm, tools=[TOOL])

async def go_on():
    await agent.run("And to 'Chur'?", ctx=Context.from_dict(agent, told["context"]), memory=memory)

asyncio.run(go_on())
"""


async def test_a_context_goes_on_in_another_process_with_the_same_bytes(
    deepseek: Callable[..., DeepSeek], lexical: Callable[..., Compressor], server: Recorded, repository: Path
) -> None:
    compressor = lexical(keep_ratio=0.2)
    agent = FunctionAgent(llm=SpecPrefillLLM(deepseek(additional_kwargs={}), compressor), tools=[TOOL])
    context = Context(agent)
    await agent.run("When does the train to 'Basel' leave, in 2 steps?", ctx=context)
    memory = [message.model_dump(mode="json") for message in (await context.store.get("memory")).get_all()]
    told = json.dumps({"url": server.url, "config": compressor.config.to_dict(), "context": context.to_dict(), "memory": memory})
    path = [str(repository), str(repository / "integrations")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RESUMED, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env={"PYTHONPATH": ":".join(path), "HOME": "/nowhere"}
    )
    _, errors = await process.communicate(told.encode())
    assert process.returncode == 0, errors.decode()
    assert len(server.bodies) == 5
    assert_each_request_extends_the_one_before(server)
    assert [len(text) < 0.5 * len(timetable(2, "Basel")) for text in tool_texts(server.messages())] == [True] * 3


async def test_an_agent_expands_a_gap_and_reads_the_original(compressor: Compressor, lexical: Callable[..., Compressor]) -> None:
    keeping = lexical(keep_ratio=0.3)
    text = timetable(3, "Basel")
    shown = Scripted(
        responses=["Thought: I look.\nAction: timetable\nAction Input: {'page': 3, 'town': 'Basel'}", "Thought: Done.\nAnswer: 3:30"]
    )
    await ReActAgent(llm=SpecPrefillLLM(shown, keeping), tools=[TOOL, expand_tool(keeping)]).run("When to Basel?")
    gap = shown.asked[1][-1].content.split('expand("')[1].split('"')[0]
    asking = Scripted(
        responses=[
            "Thought: I look.\nAction: timetable\nAction Input: {'page': 3, 'town': 'Basel'}",
            f"Thought: More.\nAction: expand\nAction Input: {{'id': '{gap}'}}",
            "Thought: Done.\nAnswer: 3:30",
        ]
    )
    await ReActAgent(llm=SpecPrefillLLM(asking, keeping), tools=[TOOL, expand_tool(keeping)]).run("When to Basel?")
    assert asking.asked[2][-1].content.endswith(text)
    assert asking.asked[2][:-2] == asking.asked[1]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("role", [MessageRole.USER, MessageRole.TOOL])
async def test_the_observations_of_a_react_agent_are_compressed_and_its_steps_extend_each_other(
    compressor: Compressor, streaming: bool, role: MessageRole
) -> None:
    pages = [f"Thought: Page {page}.\nAction: timetable\nAction Input: {{'page': {page}, 'town': 'Basel'}}" for page in range(3)]
    inner = Scripted(responses=[*pages, "Thought: I know.\nAnswer: At 0:30."])
    formatter = ReActChatFormatter.from_defaults(observation_role=role)
    agent = ReActAgent(llm=SpecPrefillLLM(inner, compressor), tools=[TOOL], streaming=streaming, formatter=formatter)
    output = await agent.run("When does the train to Basel leave?")
    assert str(output) == "At 0:30."
    for earlier, later in itertools.pairwise(inner.asked):
        assert later[: len(earlier)] == earlier
    observed = [message.content for message in inner.asked[-1] if message.content.startswith("Observation: ")]
    assert len(observed) == 3
    assert all(len(text) < 0.5 * len(timetable(0, "Basel")) for text in observed)
    assert "The train to Basel leaves at 0:30." in observed[0]
    assert [message.role for message in inner.asked[-1]] == [MessageRole.SYSTEM, MessageRole.USER, *[MessageRole.ASSISTANT, role] * 3]


def test_a_users_own_observation_is_no_tool_output(compressor: Compressor) -> None:
    inner = Scripted(responses=["Yes."])
    said = ChatMessage(f"Observation: {timetable(1, 'Basel')}", role="user")
    thought = ChatMessage("Thought: I know.\nAnswer: At 1:30.", role="assistant")
    SpecPrefillLLM(inner, compressor).chat([said, thought, said])
    assert inner.asked == [[said, thought, said]]


async def test_a_react_agents_run_is_one_conversation_in_the_ledger(compressor: Compressor) -> None:
    pages = [f'Thought: Page {page}.\nAction: timetable\nAction Input: {{"page": {page}, "town": "Basel"}}' for page in range(3)]
    inner = Scripted(responses=[*pages, "Thought: I know.\nAnswer: At 0:30."])
    meter = Meter(compressor.counter)
    await ReActAgent(llm=SpecPrefillLLM(inner, compressor, ledger=meter), tools=[TOOL]).run("When does the train to Basel leave?")
    (conversation,) = meter.ledger.conversations
    assert len(conversation.steps) == 4
    assert all(step.moved is None for step in conversation.steps)
