"""LocalLLM behaves as LlamaIndex expects of an LLM: messages, streams, usage, stop strings, async, completions."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, MessageRole, TextBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.prompts import PromptTemplate

from specprefill_agents import Compressor, UnknownDraftError
from specprefill_agents.targets.chat_template import ChatTurn
from specprefill_agents.targets.loading import load_target
from specprefill_agents.targets.reading import Reading
from specprefill_agents.targets.tools import ToolCall
from specprefill_llamaindex import LocalLLM, SpecPrefillLLM, llm_local
from specprefill_llamaindex.llm_local import _turns

HELLO = [ChatMessage("Hello", role="user")]


@pytest.fixture(scope="module")
def llm(tiny_draft: str) -> LocalLLM:
    return LocalLLM(model=tiny_draft, max_tokens=12, device="cpu", dtype="float32")


def test_weights_are_loaded_when_they_are_first_needed_and_once(tiny_draft: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    monkeypatch.setattr(llm_local, "load_target", lambda name, settings: loads.append(name) or load_target(name, settings))
    model = LocalLLM(model=tiny_draft, max_tokens=2)
    assert loads == []
    model.chat(HELLO)
    model.complete("Hello")
    assert loads == [tiny_draft]
    assert model.metadata.context_window == model.target.window


def test_an_answer_carries_usage_and_how_it_ended(llm: LocalLLM) -> None:
    answer = llm.chat(HELLO)
    read = llm.target.encode([ChatTurn("user", "Hello")]).end
    assert answer.additional_kwargs.pop("time_to_first_token_ms") > 0
    assert answer.additional_kwargs == {
        "prompt_tokens": read,
        "completion_tokens": 12,
        "total_tokens": read + 12,
        "finish_reason": "length",
    }
    assert answer.message.role == MessageRole.ASSISTANT


async def test_every_way_gives_the_same_text(llm: LocalLLM) -> None:
    text = llm.chat(HELLO).message.content
    parts = list(llm.stream_chat(HELLO))
    aparts = [part async for part in await llm.astream_chat(HELLO)]
    assert "".join(part.delta or "" for part in parts) == "".join(part.delta or "" for part in aparts) == text
    assert len(parts) > 2
    assert parts[-1].message.content == aparts[-1].message.content == text
    assert parts[-1].additional_kwargs["completion_tokens"] == 12
    assert (await llm.achat(HELLO)).message.content == text
    assert llm.complete("Hello").text == (await llm.acomplete("Hello")).text == text
    assert "".join(part.delta or "" for part in llm.stream_complete("Hello")) == text
    assert "".join([part.delta or "" async for part in await llm.astream_complete("Hello")]) == text
    assert llm.predict(PromptTemplate("{word}"), word="Hello") == text


def test_a_stop_string_ends_the_answer_and_is_left_out(llm: LocalLLM) -> None:
    whole = llm.chat(HELLO).message.content or ""
    stop = whole[len(whole) // 2 :][:1]
    for given in (stop, [stop]):
        answer = llm.chat(HELLO, stop=given)
        assert answer.message.content == whole.partition(stop)[0]
        assert answer.additional_kwargs["finish_reason"] == "stop"


def test_settings_can_be_given_per_call(llm: LocalLLM) -> None:
    assert llm.chat(HELLO, max_tokens=3).additional_kwargs["completion_tokens"] == 3
    first, second = (llm.chat(HELLO, temperature=1.5, seed=seed, max_tokens=8).message.content for seed in (1, 2))
    assert first != second


async def test_work_is_done_off_the_event_loop_and_ends_when_a_stream_is_left(llm: LocalLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    read = Reading.read
    monkeypatch.setattr(Reading, "read", lambda self, *a, **k: threads.append(threading.get_ident()) or read(self, *a, **k))
    await asyncio.gather(llm.achat(HELLO), llm.achat(HELLO))
    stream = await llm.astream_chat(HELLO, max_tokens=500)
    await anext(stream)
    await stream.aclose()
    made = len(threads)
    await llm.achat(HELLO, max_tokens=1)
    assert len(threads) == made + 1
    assert threading.get_ident() not in threads


def test_callbacks_are_told_of_each_call_with_its_tokens(tiny_draft: str) -> None:
    counter = TokenCountingHandler()
    model = LocalLLM(model=tiny_draft, max_tokens=4, callback_manager=CallbackManager([counter]))
    answer = model.chat(HELLO)
    model.complete("Hello")
    assert [event.prompt_token_count for event in counter.llm_token_counts] == [answer.additional_kwargs["prompt_tokens"]] * 2


def test_turns_are_those_of_the_messages() -> None:
    calling = ChatMessage("I look.", role="assistant")
    calling.blocks += [ThinkingBlock(content="Hm."), ToolCallBlock(tool_call_id="a", tool_name="grep", tool_kwargs='{"text": "x"}')]
    messages = [
        ChatMessage("Be brief.", role="developer"),
        ChatMessage([TextBlock(text="one"), TextBlock(text="two")], role="user"),
        calling,
        ChatMessage("found", role="tool", additional_kwargs={"tool_call_id": "a", "name": "grep"}),
    ]
    assert _turns(messages) == [
        ChatTurn("system", "Be brief."),
        ChatTurn("user", "one\ntwo"),
        ChatTurn("assistant", "I look.", (ToolCall("grep", {"text": "x"}, "a"),)),
        ChatTurn("tool", "found", name="grep", tool_call_id="a"),
    ]


def test_pictures_are_refused_and_so_are_names_that_lead_nowhere(llm: LocalLLM) -> None:
    with pytest.raises(ValueError, match="LocalLLM reads text only; a user message holds a ImageBlock"):
        llm.chat([ChatMessage([ImageBlock(url="https://example.org/a.png")], role="user")])
    with pytest.raises(UnknownDraftError):
        LocalLLM(model="no-such-model").chat(HELLO)


def test_it_is_serialized_by_its_settings(llm: LocalLLM) -> None:
    again: Any = LocalLLM.from_dict(llm.to_dict())
    assert again.to_dict() == llm.to_dict()
    assert again.model == llm.model


def test_a_compressed_conversation_is_a_shorter_prompt(llm: LocalLLM, lexical: Any) -> None:
    compressor: Compressor = lexical(keep_ratio=0.2)
    output = "\n".join(f"entry {n}: nothing" for n in range(20))
    messages = [*HELLO, ChatMessage(output, role="tool")]
    whole, short = (model.chat(messages).additional_kwargs for model in (llm, SpecPrefillLLM(llm, compressor)))
    assert short["prompt_tokens"] < 0.6 * whole["prompt_tokens"]
    assert 0 < short["specprefill"]["kept_tokens"] < short["specprefill"]["original_tokens"]


@pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20", "ignore::pydantic.PydanticDeprecatedSince211")
async def test_a_function_agent_says_that_it_calls_no_tools(llm: LocalLLM) -> None:
    with pytest.raises(ValueError, match="LLM must be a FunctionCallingLLM"):
        await FunctionAgent(llm=llm, tools=[]).run("Hello")
