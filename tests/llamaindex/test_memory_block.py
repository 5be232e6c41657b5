"""SpecPrefillMemoryBlock in a real Memory: what a run's tool results say about the question at hand, within its limit."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.memory import InsertMethod, Memory
from sqlalchemy.ext.asyncio import create_async_engine

from specprefill_agents import Compressor, ConfigError
from specprefill_agents.errors import NotKeptError
from specprefill_agents.prompt.expand import EXPAND_TOOL
from specprefill_agents.storage.originals import Originals
from specprefill_llamaindex import SpecPrefillMemoryBlock, expand_tool

# LlamaIndex's workflows look at every attribute of an agent, the deprecated ones of pydantic included.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")

PORT = "The staging gateway listens on port 7443 and forwards to the billing service."
OWNER = "The nightly import is owned by Priya, who is on call until March."


def log(topic: str, fact: str, lines: int = 60) -> str:
    rows = [f"{n:03} {topic} worker {n % 7} finished its part in {n * n % 101} ms" for n in range(lines)]
    rows[lines // 2] = fact
    return "\n".join(rows)


def turn(number: int, tool: str, result: str, **arguments: Any) -> list[ChatMessage]:
    """A whole turn as FunctionAgent writes it: question, call, result, answer."""
    call = ToolCallBlock(tool_call_id=f"call-{number}", tool_name=tool, tool_kwargs=arguments)
    return [
        ChatMessage(f"Look at number {number}.", role="user"),
        ChatMessage(role="assistant", blocks=[call]),
        ChatMessage(result, role="tool", additional_kwargs={"tool_call_id": f"call-{number}"}),
        ChatMessage(f"I have seen number {number}.", role="assistant"),
    ]


TURNS = [
    *turn(1, "read_log", log("gateway", PORT), name="gateway.log"),
    *turn(2, "read_log", log("import", OWNER), name="import.log"),
    *turn(3, "read_log", log("mail", "Mail leaves through relay four."), name="mail.log"),
]


@pytest.fixture
def block(lexical: Callable[..., Compressor]) -> SpecPrefillMemoryBlock:
    return SpecPrefillMemoryBlock(lexical(), token_limit=300)


@pytest.fixture
async def memory_with() -> AsyncIterator[Callable[..., Memory]]:
    """Makes a memory that flushes early, over a database in this process's memory that is closed in the end."""
    engine = create_async_engine("sqlite+aiosqlite:///:memory:")

    def make(block: SpecPrefillMemoryBlock, **settings: Any) -> Memory:
        limits = {"token_limit": 2_000, "chat_history_token_ratio": 0.1, "token_flush_size": 100}
        return Memory.from_defaults(memory_blocks=[block], async_engine=engine, **limits, **settings)

    yield make
    await engine.dispose()


def shown(messages: Sequence[ChatMessage]) -> str:
    """What the memory put before the conversation."""
    assert messages[0].role == MessageRole.SYSTEM
    return messages[0].content or ""


async def test_each_question_is_shown_what_earlier_tool_results_say_about_it(
    block: SpecPrefillMemoryBlock, memory_with: Callable[..., Memory]
) -> None:
    memory = memory_with(block)
    await memory.aput_messages(TURNS)
    count = Compressor(config=block.config, cache="memory").counter.count
    for question, fact, other in (
        ("On which port does the staging gateway listen?", PORT, OWNER),
        ("Who owns the nightly import?", OWNER, PORT),
    ):
        text = shown(await memory.aget(input=question))
        assert fact in text
        assert other not in text
        assert f"<{block.name}>" in text
        assert count(await block.aget([ChatMessage(question, role="user")])) <= block.token_limit


async def test_a_text_is_called_by_the_call_that_made_it(block: SpecPrefillMemoryBlock) -> None:
    await block.aput(TURNS[:4])
    assert [held.label for held in block.texts] == ['read_log("gateway.log")']
    assert (await block.aget([ChatMessage("Which port?", role="user")])).startswith('read_log("gateway.log")')


async def test_calls_that_stand_beside_the_blocks_of_a_message_are_known_as_well(block: SpecPrefillMemoryBlock) -> None:
    question, _, result, answer = turn(1, "read_log", log("gateway", PORT), name="gateway.log")
    beside = {"id": "call-1", "type": "function", "function": {"name": "read_log", "arguments": '{"name": "gateway.log"}'}}
    older = ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": [beside]})
    await block.aput([question, older, result, answer])
    assert [held.label for held in block.texts] == ['read_log("gateway.log")']


async def test_whatever_is_cut_can_be_expanded_by_the_id_it_is_shown_with(block: SpecPrefillMemoryBlock) -> None:
    await block.aput(TURNS)
    text = await block.aget([ChatMessage("Who owns the nightly import?", role="user")])
    ids = re.findall(r'expand\("(sp-\w+)"\)', text)
    answers = [str(expand_tool(block, max_chars=100_000).call(id=name).content).partition("\n")[2] for name in ids]
    assert sorted(answers) == sorted(held.text for held in block.texts)


async def test_texts_that_fit_are_shown_whole_and_nothing_is_scored(lexical: Callable[..., Compressor]) -> None:
    block = SpecPrefillMemoryBlock(lexical(), token_limit=10_000)
    assert await block.aget([]) == ""
    await block.aput(TURNS)
    text = await block.aget([ChatMessage("Who owns the nightly import?", role="user")])
    assert text == "\n\n".join(f"{held.label}\n{held.text}" for held in block.texts)


@pytest.mark.parametrize("limit", [1, 20, 60, 150, 600, 2_000])
async def test_the_limit_holds_in_target_tokens_headings_and_marks_included(lexical: Callable[..., Compressor], limit: int) -> None:
    compressor = lexical()
    block = SpecPrefillMemoryBlock(compressor, token_limit=limit)
    await block.aput(
        [message for n in range(30) for message in turn(n, "grep", log(f"part {n}", f"Fact {n} is {n * 37}."), pattern=str(n))]
    )
    text = await block.aget([ChatMessage("What is fact 29?", role="user")])
    assert compressor.counter.count(text) <= limit
    assert ("Fact 29 is 1073." in text) == (limit >= 60)


async def test_the_same_texts_and_question_give_the_same_bytes_in_any_block(lexical: Callable[..., Compressor]) -> None:
    seen = set()
    for _ in range(2):
        block = SpecPrefillMemoryBlock(lexical(), token_limit=200)
        await block.aput(TURNS)
        seen.add(await block.aget([ChatMessage("Who owns the nightly import?", role="user")]))
        await block.aget([ChatMessage("Which port?", role="user")])
        seen.add(await block.aget([ChatMessage("Who owns the nightly import?", role="user")]))
    assert len(seen) == 1


async def test_short_chat_expanded_texts_and_repeats_are_not_held_and_the_oldest_are_forgotten(lexical: Callable[..., Compressor]) -> None:
    block = SpecPrefillMemoryBlock(lexical(), max_texts=2)
    await block.aput([*TURNS[:4], *TURNS[:4], *turn(9, EXPAND_TOOL, log("x", PORT), id="sp-aaaaaaaa"), ChatMessage("   ", role="tool")])
    assert len(block.texts) == 1
    await block.aput([ChatMessage(log("essay", OWNER), role="assistant"), ChatMessage(PORT, role="tool")])
    assert [held.label for held in block.texts] == ["assistant", "tool result"]


async def test_a_failing_scorer_leaves_the_newest_whole_texts_that_fit(lexical: Callable[..., Compressor]) -> None:
    class Failing:
        def score(self, contexts: Sequence[str], query: str) -> Any:
            raise RuntimeError("no model")

    block = SpecPrefillMemoryBlock(Compressor(config=lexical().config, scorer=Failing(), cache="memory"), token_limit=300)
    await block.aput([*TURNS, *turn(4, "port", PORT)])
    assert await block.aget([ChatMessage("Which port?", role="user")]) == f"port()\n{PORT}"


@pytest.mark.parametrize("on_error", ["passthrough", "raise"])
async def test_where_originals_cannot_be_kept_nothing_is_cut(
    lexical: Callable[..., Compressor], caplog: pytest.LogCaptureFixture, on_error: str
) -> None:
    compressor = Compressor(config=lexical(on_error=on_error).config, cache="memory", originals=Originals.in_memory(max_bytes=16))
    block = SpecPrefillMemoryBlock(compressor, token_limit=300)
    await block.aput([*TURNS, *turn(4, "port", PORT)])
    question = [ChatMessage("Which port?", role="user")]
    if on_error == "raise":
        with pytest.raises(NotKeptError):
            await block.aget(question)
    else:
        assert await block.aget(question) == f"port()\n{PORT}"
        assert "NotKeptError" in caplog.text


async def test_a_memory_over_its_limit_has_the_block_shown_shorter_or_not_at_all(lexical: Callable[..., Compressor]) -> None:
    compressor = lexical()
    block = SpecPrefillMemoryBlock(compressor, token_limit=600, priority=1)
    await block.aput(TURNS)
    whole = await block.aget([ChatMessage("Who owns the nightly import?", role="user")])
    tokens = compressor.counter.count(whole)
    less = await block.atruncate(whole, tokens - 200)
    assert less
    assert OWNER in less
    assert compressor.counter.count(less) <= 200
    assert await block.atruncate(whole, tokens) is None


async def test_beside_the_question_what_stands_before_it_is_not_touched(
    block: SpecPrefillMemoryBlock, memory_with: Callable[..., Memory]
) -> None:
    memory = memory_with(block, insert_method=InsertMethod.USER)
    await memory.aput_messages([*TURNS, ChatMessage("Who owns the nightly import?", role="user")])
    messages = await memory.aget()
    assert MessageRole.SYSTEM not in {message.role for message in messages}
    assert OWNER in (messages[-1].content or "")
    assert not any(OWNER in (message.content or "") for message in messages[:-1])


async def test_its_texts_survive_json_and_pickle_alone_and_within_a_memory(
    block: SpecPrefillMemoryBlock, memory_with: Callable[..., Memory]
) -> None:
    memory = memory_with(block)
    await memory.aput_messages(TURNS)
    question = [ChatMessage("Who owns the nightly import?", role="user")]
    expected = await block.aget(question)
    again = [
        SpecPrefillMemoryBlock.model_validate(json.loads(block.model_dump_json())),
        pickle.loads(pickle.dumps(block)),
        *pickle.loads(pickle.dumps(memory)).memory_blocks,
    ]
    for one in again:
        assert isinstance(one, SpecPrefillMemoryBlock)
        assert one.texts == block.texts
        assert await one.aget(question) == expected


def test_wrong_settings_are_refused_at_construction() -> None:
    with pytest.raises(ConfigError, match="keep_ratio"):
        SpecPrefillMemoryBlock(config={"keep_ratio": 2})
    with pytest.raises(ValueError, match="token_limit"):
        SpecPrefillMemoryBlock(config={"scorer": "bm25"}, token_limit=0)


async def test_an_agent_is_told_in_a_later_run_what_a_tool_said_in_an_earlier_one(
    block: SpecPrefillMemoryBlock, memory_with: Callable[..., Memory]
) -> None:
    read: list[str] = []

    def decide(messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
        read[:] = [str(message.content) for message in messages]
        if messages[-1].role == MessageRole.USER and "Read" in str(messages[-1].content):
            call = ToolCallBlock(tool_call_id=f"call-{len(messages)}", tool_name="read_log", tool_kwargs={"name": "gateway.log"})
            return ChatMessage(role="assistant", blocks=[call])
        return ChatMessage("Done.", role="assistant")

    def read_log(name: str) -> str:
        """Read a log."""
        return log(name, PORT)

    agent = FunctionAgent(tools=[read_log], llm=MockFunctionCallingLLM(response_generator=decide), streaming=False)
    memory = memory_with(block)
    await agent.run("Read the log.", memory=memory)
    await agent.run("On which port does the staging gateway listen?", memory=memory)
    assert [held.label for held in block.texts] == ['read_log("gateway.log")']
    assert PORT in read[0]
