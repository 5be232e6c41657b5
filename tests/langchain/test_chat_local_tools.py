"""ChatLocal calls tools: freely as the model writes, by force as a schema says; streams, agents and structured output on top."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from specprefill_agents import ConfigError
from specprefill_agents.targets.chat_template import ChatTurn
from specprefill_agents.targets.reading import Reading
from specprefill_agents.targets.tools import ToolCall
from specprefill_langchain import ChatLocal
from specprefill_langchain.local_messages import turns_of
from specprefill_langchain.local_tools import LocalRequest

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@tool
def today() -> str:
    """Tells the date."""
    return "Thursday"


class Level(BaseModel):
    """How warm it is."""

    celsius: int = Field(ge=-99, le=99)
    windy: bool


@pytest.fixture(scope="module")
def chat(tiny_draft: str) -> ChatLocal:
    return ChatLocal(model=tiny_draft, max_tokens=200, temperature=1.0, seed=0, cache_bytes=0, copies=False, device="cpu", dtype="float32")


@pytest.fixture
def saying(chat: ChatLocal, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ChatLocal]:
    """Makes the model say a text, byte by byte, whatever it reads."""
    import torch

    def say(text: str) -> ChatLocal:
        tokenizer = chat.target.tokenizer
        said = iter([*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id] * 2)

        def read(self: Reading, ids: list[int], positions: list[int], rows: int = 1) -> Any:
            return torch.nn.functional.one_hot(torch.tensor([next(said)]), chat.target.model.config.vocab_size).float()

        monkeypatch.setattr(Reading, "read", read)
        return chat.model_copy(update={"temperature": 0.0})

    return say


def added_up(chunks: Any) -> tuple[list[AIMessageChunk], AIMessageChunk]:
    listed = list(chunks)
    whole = listed[0]
    for chunk in listed[1:]:
        whole += chunk
    return listed, whole


def without_ids(message: AIMessage) -> Any:
    return (
        message.content,
        [(call["name"], call["args"]) for call in message.tool_calls],
        [(call["name"], call["args"]) for call in message.invalid_tool_calls],
        message.usage_metadata,
        message.response_metadata["finish_reason"],
    )


@pytest.mark.parametrize("choice", ["any", "required", True, "add", {"type": "function", "function": {"name": "add"}}])
def test_a_forced_call_is_made_whatever_the_model_would_say(chat: ChatLocal, choice: Any) -> None:
    answer = chat.bind_tools([add], tool_choice=choice).invoke("Hello")
    (call,) = answer.tool_calls
    assert (call["name"], set(call["args"])) == ("add", {"a", "b"})
    assert isinstance(add.invoke(call["args"]), int)
    assert (answer.content, answer.response_metadata["finish_reason"]) == ("", "tool_calls")


def test_a_forced_name_is_the_one_called_and_all_tools_are_shown(chat: ChatLocal) -> None:
    answers = [chat.bind_tools([add, today], tool_choice="today").bind(seed=seed).invoke("Hi") for seed in range(4)]
    assert {call["name"] for answer in answers for call in answer.tool_calls} == {"today"}
    request = LocalRequest.of(chat.bind_tools([add, today], tool_choice="today").kwargs)
    assert [spec.name for spec in request.tools] == ["add", "today"]


def test_the_choice_none_shows_no_tools(chat: ChatLocal) -> None:
    plain = chat.invoke("Hello")
    answer = chat.model_copy().bind_tools([add], tool_choice="none").invoke("Hello")
    assert (answer.content, answer.usage_metadata) == (plain.content, plain.usage_metadata)


@pytest.mark.parametrize(
    "said",
    [CALL, f"I add.\n{CALL}", f"{CALL}\n{CALL}", '{"name": "add", "parameters": {"a": 1}}', "Just text. ", CALL[:40], "<tool_call>x"],
)
def test_a_stream_adds_up_to_the_answer(saying: Callable[[str], ChatLocal], said: str) -> None:
    model = saying(said).bind_tools([add])
    answer = model.invoke("Go")
    chunks, whole = added_up(model.stream("Go"))
    assert without_ids(whole) == without_ids(answer)
    assert [chunk.chunk_position for chunk in chunks] == [None] * (len(chunks) - 1) + ["last"]
    assert [chunk for chunk in chunks if chunk.usage_metadata] == [chunks[-1]]
    assert len({call["id"] for call in whole.tool_calls}) == len(whole.tool_calls)


def test_calls_come_as_chunks_and_their_text_is_never_shown(saying: Callable[[str], ChatLocal]) -> None:
    chunks, whole = added_up(saying(f"I add.\n{CALL}").bind_tools([add]).stream("Go"))
    assert "".join(str(chunk.content) for chunk in chunks) == "I add."
    assert [chunk.tool_call_chunks for chunk in chunks if chunk.tool_call_chunks] == [whole.tool_call_chunks]
    assert json.loads(whole.tool_call_chunks[0]["args"] or "") == {"a": 1, "b": 2}


def test_what_is_no_call_without_tools_stays_text(saying: Callable[[str], ChatLocal]) -> None:
    answer = saying(CALL).invoke("Go")
    assert (answer.content, answer.tool_calls, answer.response_metadata["finish_reason"]) == (CALL, [], "stop")


def test_a_tokenizer_that_declares_how_to_read_answers_is_asked(
    saying: Callable[[str], ChatLocal], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = saying('<|im_start|>hm<|endoftext|>I add.<|im_start|>{"name": "add", "arguments": {"a": 1}}<|endoftext|>')
    fields = {
        "reasoning_content": {"open_pattern": r"<\|im_start\|>(?!\{)", "close": "<|endoftext|>"},
        "content": {},
        "tool_calls": {"open_pattern": r"<\|im_start\|>(?=\{)", "close": "<|endoftext|>", "content": "json", "repeats": True},
    }
    monkeypatch.setattr(model.target.tokenizer, "response_template", {"start_anchor": "assistant\n", "fields": fields})
    answer = model.bind_tools([add]).invoke("Go")
    assert (answer.content, answer.additional_kwargs) == ("I add.", {"reasoning_content": "hm"})
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("add", {"a": 1})]


def test_one_call_at_a_time_leaves_out_the_others(saying: Callable[[str], ChatLocal]) -> None:
    assert len(saying(f"{CALL}{CALL}").bind_tools([add], parallel_tool_calls=False).invoke("Go").tool_calls) == 1
    assert len(saying(f"{CALL}{CALL}").bind_tools([add]).invoke("Go").tool_calls) == 2


def test_a_call_cut_off_by_max_tokens_is_invalid(chat: ChatLocal) -> None:
    model = chat.bind_tools([add], tool_choice="any").bind(max_tokens=45)
    answer = model.invoke("Hello")
    assert answer.tool_calls == []
    assert [call["name"] for call in answer.invalid_tool_calls] == ["add"]
    assert answer.response_metadata["finish_reason"] == "length"
    assert without_ids(added_up(model.stream("Hello"))[1]) == without_ids(answer)


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_structured_output_is_an_instance_whatever_the_model_would_say(chat: ChatLocal, method: Any) -> None:
    model = chat.with_structured_output(Level, method=method, include_raw=True)
    result = model.invoke("How warm?")
    assert isinstance(result["parsed"], Level)
    assert result["parsing_error"] is None
    assert isinstance(chat.model_copy().with_structured_output(Level.model_json_schema(), method=method).invoke("How warm?"), dict)


def test_the_schema_is_told_by_json_schema_alone(chat: ChatLocal) -> None:
    told, silent = (chat.with_structured_output(Level, method=m, include_raw=True).invoke("?")["raw"] for m in ("json_schema", "json_mode"))
    plain = chat.invoke("?")
    assert told.usage_metadata["input_tokens"] > silent.usage_metadata["input_tokens"] == plain.usage_metadata["input_tokens"]


def test_json_that_is_cut_off_is_an_error_and_no_half_answer(chat: ChatLocal) -> None:
    model = chat.model_copy(update={"max_tokens": len('{"celsius": 1')}).with_structured_output(Level.model_json_schema())
    with pytest.raises(OutputParserException, match="raise max_tokens"):
        model.invoke("How warm?")
    with pytest.raises(OutputParserException, match="raise max_tokens"):
        list(model.stream("How warm?"))


def test_an_agent_calls_a_real_tool_and_answers(chat: ChatLocal) -> None:
    from langchain.agents.middleware import wrap_model_call

    @wrap_model_call
    def first_by_force(request: Any, handler: Any) -> Any:
        called = any(isinstance(message, ToolMessage) for message in request.messages)
        return handler(request.override(tool_choice=None if called else "add"))

    agent = create_agent(chat, [add], middleware=[first_by_force], system_prompt="You add.")
    messages = agent.invoke({"messages": [("user", "What is 3 + 4?")]})["messages"]
    asked, called, result, answer = messages
    (call,) = called.tool_calls
    assert (asked.type, result.tool_call_id) == ("human", call["id"])
    assert result.content == str(call["args"]["a"] + call["args"]["b"])
    assert answer.content
    assert answer.tool_calls == []


def test_an_agents_response_format_is_followed(chat: ChatLocal) -> None:
    agent = create_agent(chat, [], response_format=Level)
    assert isinstance(agent.invoke({"messages": [("user", "How warm?")]})["structured_response"], Level)


async def test_cancelling_an_answer_ends_the_work(chat: ChatLocal, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    passes: list[int] = []
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    read = Reading.read

    def counted(self: Reading, ids: list[int], positions: list[int], rows: int = 1) -> Any:
        passes.append(len(ids))
        loop.call_soon_threadsafe(begun.set)
        return read(self, ids, positions, rows)

    monkeypatch.setattr(Reading, "read", counted)
    grammar = {"type": "json_object", "schema": {"type": "object", "properties": {"s": {"type": "string", "minLength": 2000}}}}
    work = asyncio.create_task(chat.bind(max_tokens=3000, response_format=grammar).ainvoke("Hello"))
    await begun.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert len(passes) < 1000


def test_tool_results_are_read_with_their_name_and_their_error() -> None:
    call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "c1", "type": "tool_call"}
    broken = {"name": "add", "args": "<tool_call>\n{", "id": "c2", "error": None, "type": "invalid_tool_call"}
    turns = turns_of(
        [
            HumanMessage("Add."),
            AIMessage("So.", tool_calls=[call], invalid_tool_calls=[broken]),
            ToolMessage([{"type": "text", "text": "three"}], tool_call_id="c1"),
            ToolMessage("no numbers", tool_call_id="c1", status="error"),
            ToolMessage("Error: none", tool_call_id="c9", status="error"),
        ]
    )
    assert turns[1:] == [
        ChatTurn("assistant", "So.\n<tool_call>\n{", (ToolCall("add", {"a": 1, "b": 2}, "c1"),)),
        ChatTurn("tool", "three", (), "add", "c1"),
        ChatTurn("tool", "Error: no numbers", (), "add", "c1"),
        ChatTurn("tool", "Error: none", (), None, "c9"),
    ]


@pytest.mark.parametrize(
    ("tools", "settings", "said"),
    [
        ([add], {"tool_choice": "subtract"}, "tool_choice='subtract'.*add"),
        ([add], {"tool_choice": {"type": "function", "function": {"name": "subtract"}}}, "tool_choice=.*add"),
        ([add], {"tool_choice": 3}, "tool_choice=3"),
        ([], {"tool_choice": "any"}, "tool_choice='any'.*without tools"),
        ([], {"tool_choice": "add"}, "tool_choice='add'.*without tools"),
        ([add], {"response_format": {"type": "xml"}}, "response_format.*json_object"),
        ([add], {"response_format": "json"}, "response_format.*json_object"),
        ([{"name": "f", "description": "", "parameters": {"type": "array"}}], {}, "tools.*type object"),
        (
            [{"name": "f", "description": "", "parameters": {"type": "object", "properties": {"x": {"$ref": "#/$defs/No"}}}}],
            {"tool_choice": "any"},
            "tools.*No",
        ),
    ],
)
def test_what_cannot_be_bound_is_an_error_that_names_it(chat: ChatLocal, tools: list[Any], settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        chat.bind_tools(tools, **settings)


@pytest.mark.parametrize("settings", [{"method": "yaml"}, {"method": "json_schema", "schema": None}, {"colour": 1}])
def test_an_unknown_way_to_structure_an_answer_is_an_error(chat: ChatLocal, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"method|colour"):
        chat.with_structured_output(**{"schema": Level, **settings})


def test_what_changes_the_answer_is_in_the_cache_key_and_in_traces(tiny_draft: str) -> None:
    models = [ChatLocal(model=tiny_draft, stop=["x"]), ChatLocal(model=tiny_draft), ChatLocal(model=tiny_draft, seed=1)]
    keys = {model._get_llm_string() for model in models}
    bound = models[1].bind_tools([add]).kwargs
    assert len(keys | {models[1]._get_llm_string(**bound)}) == 4
    traced = models[0]._get_ls_params()
    assert (traced["ls_provider"], traced["ls_stop"], traced["ls_model_name"]) == ("specprefill-local", ["x"], tiny_draft)
