"""PromptCompressor in chains: same kind out as in, the same bytes whichever way it is called."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder

from specprefill_agents import CompressionConfig, Compressor
from specprefill_agents.observe.audit import JsonlAudit
from specprefill_agents.observe.audit_file import read_audit
from specprefill_agents.session import Session
from specprefill_langchain import PromptCompressor


def conversation(steps: int = 1, topic: str = "trains") -> list[BaseMessage]:
    """A question and `steps` calls, each with an output of 40 lines of which one answers it."""
    messages: list[BaseMessage] = [HumanMessage(f"When do the {topic} to Basel leave?")]
    for step in range(steps):
        lines = [f"entry {step}-{n}: nothing that anybody asked about" for n in range(40)]
        lines[7 + step] = f"The {topic} to Basel leave at {step}:30."
        arguments = {"page": step, "topic": topic}
        messages.append(AIMessage("", tool_calls=[{"name": "timetable", "args": arguments, "id": f"{topic}-{step}"}]))
        messages.append(ToolMessage("\n".join(lines), tool_call_id=f"{topic}-{step}"))
    return messages


@pytest.fixture
def runnable(lexical: Callable[..., Compressor]) -> PromptCompressor:
    return PromptCompressor(lexical(keep_ratio=0.2))


def test_a_list_of_messages_gives_a_list_with_short_outputs_that_answer(runnable: PromptCompressor) -> None:
    given = conversation(2)
    sent = runnable.invoke(given)
    assert isinstance(sent, list)
    assert [type(m) for m in sent] == [type(m) for m in given]
    assert len(sent[2].content) < 0.4 * len(given[2].content)
    assert "The trains to Basel leave at 0:30." in sent[2].content
    assert sent[0] is given[0]


def test_a_prompt_value_gives_a_prompt_value(runnable: PromptCompressor) -> None:
    value = ChatPromptValue(messages=conversation())
    sent = runnable.invoke(value)
    assert isinstance(sent, ChatPromptValue)
    assert sent.to_messages() == runnable.invoke(conversation())
    assert value.to_messages() == conversation()


def test_input_without_tool_outputs_comes_back_as_it_is(runnable: PromptCompressor) -> None:
    value = StringPromptValue(text="hello")
    assert runnable.invoke("hello") == "hello"
    assert runnable.invoke(value) is value
    assert runnable.invoke([]) == []
    assert runnable.invoke([HumanMessage("hello", id="1")]) == [HumanMessage("hello", id="1")]


def test_messages_written_as_dicts_and_tuples_are_read_as_a_model_reads_them(runnable: PromptCompressor) -> None:
    output = conversation()[2].content
    sent = runnable.invoke([("user", "When do the trains to Basel leave?"), {"role": "tool", "content": output, "tool_call_id": "a"}])
    assert isinstance(sent, list)
    assert sent[0] == HumanMessage("When do the trains to Basel leave?")
    assert "The trains to Basel leave at 0:30." in sent[1].content
    assert len(sent[1].content) < len(output)


def test_what_is_no_message_is_left_for_the_model_to_refuse(runnable: PromptCompressor) -> None:
    odd: Any = [{"role": "nobody", "content": "?"}]
    assert runnable.invoke(odd) is odd


def test_it_sits_between_a_prompt_and_a_model(runnable: PromptCompressor, model: Any) -> None:
    prompt = ChatPromptTemplate.from_messages([("system", "You answer {style}."), MessagesPlaceholder("history")])
    chain = prompt | runnable | model | StrOutputParser()
    variables = {"style": "briefly", "history": conversation()}
    assert chain.invoke(variables)
    assert "".join(chain.stream(variables))
    system, *rest = model.requests[0]
    assert system.content == "You answer briefly."
    assert rest == runnable.invoke(conversation())
    assert model.requests[1] == model.requests[0]


def test_every_way_of_calling_sends_the_same_bytes(runnable: PromptCompressor, wire: Callable[[Any], bytes]) -> None:
    inputs: list[Any] = [conversation(2, topic) for topic in ("trains", "buses", "boats")]

    async def streamed(prompt: Any) -> Any:
        (piece,) = [part async for part in runnable.astream(prompt)]
        return piece

    expected = [wire(runnable.invoke(prompt)) for prompt in inputs]
    ways = (
        [asyncio.run(runnable.ainvoke(prompt)) for prompt in inputs],
        runnable.batch(inputs),
        asyncio.run(runnable.abatch(inputs)),
        [next(iter(runnable.stream(prompt))) for prompt in inputs],
        [asyncio.run(streamed(prompt)) for prompt in inputs],
        runnable.batch(inputs, {"configurable": {"session_id": "one for all"}}),
    )
    assert all([wire(sent) for sent in way] == expected for way in ways)


@pytest.mark.parametrize("config", [{}, {"configurable": {"session_id": "a"}}, {"configurable": {"thread_id": 7}}])
def test_a_growing_conversation_keeps_its_prefix(runnable: PromptCompressor, wire: Callable[[Any], bytes], config: Any) -> None:
    sent = [wire(runnable.invoke(conversation(steps), config)) for steps in range(1, 5)]
    assert all(after.startswith(before) for before, after in itertools.pairwise(sent))


def test_with_a_session_id_each_output_is_scored_once(lexical: Callable[..., Compressor], monkeypatch: pytest.MonkeyPatch) -> None:
    compressor = lexical()
    scored: list[int] = []
    compress = compressor.compress
    monkeypatch.setattr(compressor, "compress", lambda segments, query: scored.append(len(segments)) or compress(segments, query))
    runnable = PromptCompressor(compressor)
    for steps in (1, 2, 3):
        runnable.invoke(conversation(steps), {"configurable": {"session_id": "a"}})
    assert scored == [1, 1, 1]
    runnable.invoke(conversation(3))
    assert scored == [1] * 6


def test_only_the_conversations_used_last_are_remembered(lexical: Callable[..., Compressor], monkeypatch: pytest.MonkeyPatch) -> None:
    compressor = lexical()
    opened: list[str] = []
    monkeypatch.setattr(compressor, "session", lambda name: opened.append(name) or Session(name, compressor))
    runnable = PromptCompressor(compressor, max_sessions=2)
    for name in ("a", "b", "a", "c", "a", "b"):
        runnable.invoke(conversation(), {"configurable": {"session_id": name}})
    assert opened == ["a", "b", "c", "b"]


def test_a_conversation_that_nobody_named_goes_on_where_it_was_and_its_branches_begin_there(
    lexical: Callable[..., Compressor], monkeypatch: pytest.MonkeyPatch, wire: Callable[[Any], bytes]
) -> None:
    compressor = lexical(keep_ratio=0.2)
    runnable = PromptCompressor(compressor)
    compressed: list[int] = []
    compress = compressor.compress
    monkeypatch.setattr(compressor, "compress", lambda segments, query: compressed.append(len(segments)) or compress(segments, query))
    for steps in (1, 2, 3, 3):
        runnable.invoke(conversation(steps))
    assert compressed == [1, 1, 1], "each output once, and nothing for a call that is made again"
    whole = conversation(5)
    branch = [*whole[:5], *whole[7:]]
    assert wire(runnable.invoke(whole)) == wire(PromptCompressor(lexical(keep_ratio=0.2)).invoke(whole))
    assert wire(runnable.invoke(branch)) == wire(PromptCompressor(lexical(keep_ratio=0.2)).invoke(branch))


def test_conversations_that_nobody_named_do_not_share_what_they_decided(
    lexical: Callable[..., Compressor], wire: Callable[[Any], bytes]
) -> None:
    runnable = PromptCompressor(lexical(keep_ratio=0.2))
    one, other = conversation(2), conversation(2)
    other[0] = HumanMessage("Which entry has the number 1-33?")
    runnable.invoke(one)
    assert wire(runnable.invoke(other)) == wire(PromptCompressor(lexical(keep_ratio=0.2)).invoke(other))


def test_a_query_of_ones_own_decides_what_is_kept(lexical: Callable[..., Compressor]) -> None:
    runnable = PromptCompressor(lexical(keep_ratio=0.1), query="entry 0-31")
    sent = runnable.invoke(conversation())
    assert isinstance(sent, list)
    assert "entry 0-31:" in sent[2].content


class Recorder(BaseCallbackHandler):
    def __init__(self) -> None:
        self.runs: list[tuple[str, list[str] | None]] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        self.runs.append((kwargs["name"], kwargs["tags"]))


def test_its_runs_are_traced_with_name_and_tags(runnable: PromptCompressor) -> None:
    recorder = Recorder()
    runnable.invoke(conversation(), {"callbacks": [recorder], "tags": ["t"]})
    asyncio.run(runnable.ainvoke(conversation(), {"callbacks": [recorder], "run_name": "shorter"}))
    assert recorder.runs == [("PromptCompressor", ["t"]), ("shorter", [])]


def test_async_calls_never_score_on_the_event_loop(lexical: Callable[..., Compressor]) -> None:
    threads: list[threading.Thread] = []

    class Watched:
        def score(self, contexts: Sequence[str], query: str) -> Any:
            raise AssertionError  # never reached: the step itself is what is watched

    compressor = Compressor(config=lexical().config, scorer=Watched())
    compressor.compress = lambda segments, query: threads.append(threading.current_thread())  # type: ignore[method-assign,assignment]

    async def many() -> None:
        await asyncio.gather(*(PromptCompressor.ainvoke(shared, conversation(1, str(n))) for n in range(5)))

    shared = PromptCompressor(compressor)
    asyncio.run(many())
    assert len(threads) == 5
    assert len(set(threads)) == 1
    assert threads[0] is not threading.main_thread()


@pytest.mark.parametrize("configurable", [{}, {"session_id": "s"}])
def test_audit_records_name_the_model_that_was_told(configurable: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    config = CompressionConfig(scorer="bm25", min_tokens=0, target_tokenizer="o200k_base")
    compressor = Compressor(config=config, audit=JsonlAudit(path), cache="memory")
    PromptCompressor(compressor, model_id="deepseek-chat").invoke(conversation(), {"configurable": configurable})
    decisions = [record for record in read_audit(path) if record["event"] == "decision"]
    assert {record["model_id"] for record in decisions} == {"deepseek-chat"}
