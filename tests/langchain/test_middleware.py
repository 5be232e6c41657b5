"""SpecPrefillMiddleware inside real create_agent loops."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRetryMiddleware
from langchain.agents.middleware.types import ModelRequest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from specprefill_agents import CompressionConfig, Compressor, ScoringError
from specprefill_agents.observe.audit import JsonlAudit
from specprefill_agents.observe.audit_file import read_audit
from specprefill_langchain import SpecPrefillMiddleware, StepReport
from specprefill_langchain.middleware import merge_sessions
from specprefill_langchain.step import model_name

Wire = Callable[[Sequence[BaseMessage]], bytes]


def ask(question: str) -> dict[str, Any]:
    return {"messages": [HumanMessage(question)]}


def test_the_wire_is_short_while_the_state_keeps_every_text_whole(
    make_agent: Any, model: Any, compressor: Compressor, question: str
) -> None:
    state = make_agent(compressor).invoke(ask(question))
    sent = {m.tool_call_id: m for m in model.requests[-1] if isinstance(m, ToolMessage)}
    kept = {m.tool_call_id: m for m in state["messages"] if isinstance(m, ToolMessage)}
    assert sent.keys() == kept.keys()
    compressed = ("call-0-0", "call-1-0", "call-1-1", "call-2-1")
    for call_id in compressed:
        assert "[…" not in kept[call_id].content
        assert "[…" in sent[call_id].content
    assert sum(len(sent[c].content) for c in compressed) < 0.5 * sum(len(kept[c].content) for c in compressed)
    assert "specprefill" not in state


def test_each_request_extends_the_one_before_byte_for_byte(
    make_agent: Any, model: Any, compressor: Compressor, question: str, wire: Wire
) -> None:
    agent = make_agent(compressor, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "a"}}
    agent.invoke(ask(question), config)
    agent.invoke(ask("And how does the JSON decoder report a missing delimiter?"), config)
    assert len(model.requests) == 10
    for before, after in zip(model.requests, model.requests[1:], strict=False):
        assert wire(after).startswith(wire(before))


def test_a_conversation_kept_by_the_caller_extends_without_any_checkpointer(
    make_agent: Any, model: Any, compressor: Compressor, question: str, wire: Wire
) -> None:
    first = make_agent(compressor).invoke(ask(question))
    make_agent(compressor).invoke({"messages": [*first["messages"], HumanMessage("Is the same true of textwrap.dedent?")]})
    assert wire(model.requests[5]).startswith(wire(model.requests[4]))


def test_ids_order_pairing_and_count_are_those_of_the_conversation(
    make_agent: Any, model: Any, compressor: Compressor, question: str
) -> None:
    state = make_agent(compressor).invoke(ask(question))
    _system, *sent = model.requests[-1]
    for was, now in zip(state["messages"][:-1], sent, strict=True):
        assert type(was) is type(now)
        assert was.id == now.id
        changed = {k for k, v in was.model_dump().items() if now.model_dump()[k] != v}
        assert changed <= ({"content"} if isinstance(was, ToolMessage) else set())


def test_tool_errors_pictures_and_artifacts_pass_untouched(make_agent: Any, model: Any, compressor: Compressor, question: str) -> None:
    state = make_agent(compressor).invoke(ask(question))
    sent = {m.tool_call_id: m for m in model.requests[-1] if isinstance(m, ToolMessage)}
    whole = {m.tool_call_id: m for m in state["messages"] if isinstance(m, ToolMessage)}
    assert sent["call-2-0"].status == "error"
    assert sent["call-2-0"].content == whole["call-2-0"].content
    caption, picture, _subject = sent["call-3-0"].content
    assert picture == whole["call-3-0"].content[1]
    assert len(caption["text"]) < len(whole["call-3-0"].content[0]["text"])
    assert sent["call-3-0"].artifact == {"file": "textwrap.py"}


def test_sync_async_and_streamed_runs_send_the_same_bytes(
    make_agent: Any, model: Any, compressor: Compressor, question: str, wire: Wire
) -> None:
    agent = make_agent(compressor)

    async def drained(stream: Any) -> None:
        assert [piece async for piece in stream]

    runs = (
        lambda: agent.invoke(ask(question)),
        lambda: list(agent.stream(ask(question), stream_mode="updates")),
        lambda: asyncio.run(agent.ainvoke(ask(question))),
        lambda: list(agent.stream(ask(question), stream_mode="messages")),
        lambda: asyncio.run(drained(agent.astream(ask(question), stream_mode="messages"))),
        lambda: asyncio.run(drained(agent.astream(ask(question), stream_mode="values"))),
        lambda: asyncio.run(drained(agent.astream_events(ask(question), version="v2"))),
        lambda: agent.batch([ask(question)]),
        lambda: asyncio.run(agent.abatch([ask(question)])),
    )
    sent = []
    for run in runs:
        model.requests.clear()
        run()
        sent.append([wire(request) for request in model.requests])
    assert len(sent[0]) == 5
    assert all(requests == sent[0] for requests in sent)


def test_a_batch_of_conversations_sends_what_each_sends_alone(
    make_agent: Any, model: Any, compressor: Compressor, question: str, wire: Wire
) -> None:
    agent = make_agent(compressor, checkpointer=InMemorySaver())
    asked = [f"{question} ({number})" for number in range(4)]
    alone = set()
    for one in asked:
        make_agent(compressor).invoke(ask(one))
        alone.update(map(wire, model.requests))
    for way in ("batch", "abatch"):
        model.requests.clear()
        threads: Any = [{"configurable": {"thread_id": f"{way} {number}"}} for number in range(4)]
        given = [ask(one) for one in asked]
        _ = agent.batch(given, threads) if way == "batch" else asyncio.run(agent.abatch(given, threads))
        assert len(model.requests) == 20
        assert set(map(wire, model.requests)) == alone


def test_scoring_runs_in_no_thread_that_runs_an_event_loop(
    model: Any, tools: Any, lexical: Callable[..., Compressor], question: str
) -> None:
    compressor, found = lexical(), []
    compress = compressor.compress

    def watched(segments: Any, query: str) -> Any:
        found.append((threading.current_thread().name, asyncio._get_running_loop()))
        return compress(segments, query)

    compressor.compress = watched  # type: ignore[method-assign]
    agent: Any = create_agent(model, tools, middleware=[SpecPrefillMiddleware(compressor)])

    async def many() -> None:
        await asyncio.gather(*(agent.ainvoke(ask(f"{question} ({number})")) for number in range(5)))

    asyncio.run(many())
    assert len(found) == 20
    assert {loop for _, loop in found} == {None}
    assert len({thread for thread, _ in found}) == 1


def test_a_new_middleware_continues_from_a_checkpoint_with_the_same_bytes(
    make_agent: Any, model: Any, lexical: Callable[..., Compressor], question: str, wire: Wire
) -> None:
    saver = InMemorySaver(serde=JsonPlusSerializer(allowed_msgpack_modules=None))  # strict: no types but the safe ones
    config = {"configurable": {"thread_id": "a"}}
    for _ in make_agent(lexical(), checkpointer=saver).stream(ask(question), config, stream_mode="updates"):
        if len(model.requests) == 3:
            break
    reports: list[StepReport] = []
    resumed = make_agent(SpecPrefillMiddleware(lexical(), on_step=reports.append), checkpointer=saver)
    resumed.invoke(None, config)
    whole = make_agent(lexical())
    sent = [wire(request) for request in model.requests]
    model.requests.clear()
    whole.invoke(ask(question))
    assert sent[-1] == wire(model.requests[-1])
    assert reports[-1].result.usage.fallback_reason is None
    stored = resumed.get_state(config).values["specprefill"]
    assert json.loads(json.dumps(stored)) == stored


def test_only_new_decisions_are_written_to_the_state(make_agent: Any, compressor: Compressor, question: str) -> None:
    updates = [step["model"] for step in make_agent(compressor).stream(ask(question), stream_mode="updates") if "model" in step]
    written = [set(update["specprefill"]["decisions"]) if "specprefill" in update else set() for update in updates]
    assert [len(keys) for keys in written] == [0, 1, 2, 2, 2]
    assert len(set().union(*written)) == 7


def test_the_reducer_adds_decisions_made_under_the_same_settings_and_replaces_others() -> None:
    old = {"version": 1, "conversation_id": "", "fingerprint": "f", "decisions": {"a": [1]}}
    assert merge_sessions({}, old) == old
    assert merge_sessions(old, {**old, "decisions": {"b": [2]}})["decisions"] == {"a": [1], "b": [2]}
    assert merge_sessions(old, {**old, "fingerprint": "g", "decisions": {}})["decisions"] == {}


@pytest.mark.prefix_moves(reason="the same thread goes on with another keep ratio")
def test_other_settings_start_a_new_session_and_say_so(
    make_agent: Any, model: Any, lexical: Callable[..., Compressor], question: str, caplog: pytest.LogCaptureFixture
) -> None:
    saver = InMemorySaver()
    config = {"configurable": {"thread_id": "a"}}
    make_agent(lexical(keep_ratio=0.5), checkpointer=saver).invoke(ask(question), config)
    with caplog.at_level(logging.WARNING, "specprefill_agents.audit"):
        make_agent(lexical(keep_ratio=0.2), checkpointer=saver).invoke(ask("Once more: which ones?"), config)
    records = [record for record in caplog.records if "fingerprint" in record.getMessage()]
    assert len(records) == 1
    generous, strict = (next(m for m in request if isinstance(m, ToolMessage)) for request in (model.requests[4], model.requests[5]))
    assert len(strict.content) < len(generous.content)


def test_a_damaged_state_is_replaced_not_fatal(make_agent: Any, model: Any, compressor: Compressor, question: str, wire: Wire) -> None:
    make_agent(compressor).invoke(ask(question))
    undisturbed = wire(model.requests[-1])
    saver = InMemorySaver()
    config = {"configurable": {"thread_id": "a"}}
    agent = make_agent(compressor, checkpointer=saver)
    damaged = {"version": 1, "fingerprint": compressor.fingerprint, "conversation_id": "a", "decisions": {"k": "not a decision"}}
    agent.update_state(config, {**ask(question), "specprefill": damaged}, as_node="__start__")
    agent.invoke(None, config)
    assert wire(model.requests[-1]) == undisturbed


class Broken:
    """A scorer that fails with a text that must not reach any prompt."""

    def score(self, contexts: Sequence[str], query: str) -> Any:
        raise RuntimeError("the draft is out of order")


def broken(lexical: Callable[..., Compressor], **settings: Any) -> Compressor:
    return Compressor(config=lexical(**settings).config, scorer=Broken())


def test_a_failing_scorer_forwards_the_originals_and_the_agent_goes_on(
    make_agent: Any, model: Any, lexical: Callable[..., Compressor], question: str
) -> None:
    reports: list[StepReport] = []
    state = make_agent(SpecPrefillMiddleware(broken(lexical), on_step=reports.append)).invoke(ask(question))
    assert list(model.requests[-1][1:]) == state["messages"][:-1]
    assert isinstance(state["messages"][-1], AIMessage)
    assert "out of order" in (reports[1].result.usage.fallback_reason or "")


def test_a_failing_session_forwards_the_originals_and_names_the_error_only(
    make_agent: Any, model: Any, compressor: Compressor, question: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> None:
        raise ValueError("secret of the conversation")

    monkeypatch.setattr("specprefill_agents.session.Session.steps", fail)
    with caplog.at_level(logging.WARNING):
        state = make_agent(compressor).invoke(ask(question))
    assert list(model.requests[-1][1:]) == state["messages"][:-1]
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text


def test_on_error_raise_reaches_the_caller(make_agent: Any, lexical: Callable[..., Compressor], question: str) -> None:
    with pytest.raises(RuntimeError, match="out of order"):
        make_agent(broken(lexical, on_error="raise")).invoke(ask(question))


class Unwilling(AgentMiddleware[Any, Any, Any]):
    """Stands for a provider that refuses, the first `times` times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def wrap_model_call(self, request: ModelRequest[Any], handler: Any) -> Any:
        if any(isinstance(message, ToolMessage) for message in request.messages) and self.times:
            self.times -= 1
            raise ConnectionError("refused")
        return handler(request)


def test_errors_of_the_model_reach_the_caller_unchanged(model: Any, tools: Any, compressor: Compressor, question: str) -> None:
    agent = create_agent(model, tools, middleware=[SpecPrefillMiddleware(compressor), Unwilling(1)])
    with pytest.raises(ConnectionError, match="refused"):
        agent.invoke(ask(question))


def test_a_retried_call_sends_the_same_bytes(
    make_agent: Any, model: Any, tools: Any, compressor: Compressor, question: str, wire: Wire
) -> None:
    make_agent(compressor).invoke(ask(question))
    undisturbed = [wire(request) for request in model.requests]
    model.requests.clear()
    retry = ModelRetryMiddleware(max_retries=2, initial_delay=0, jitter=False)
    stack = [retry, SpecPrefillMiddleware(compressor), Unwilling(2)]
    create_agent(model, tools, middleware=stack, system_prompt="You read source code.").invoke(ask(question))
    assert [wire(request) for request in model.requests] == undisturbed


def test_the_report_of_each_call_holds_the_messages_as_sent(make_agent: Any, model: Any, compressor: Compressor, question: str) -> None:
    reports: list[StepReport] = []
    make_agent(SpecPrefillMiddleware(compressor, on_step=reports.append)).invoke(ask(question))
    assert [list(report.sent) for report in reports] == [request[1:] for request in model.requests]
    assert reports[0].result.usage.original_tokens == 0
    for before, after in itertools.pairwise(reports):
        assert after.result.usage.original_tokens > before.result.usage.original_tokens
        assert after.result.usage.kept_tokens < after.result.usage.original_tokens
        assert after.messages[: len(before.messages)] == before.messages


def test_a_failing_report_hook_changes_nothing(
    make_agent: Any, model: Any, compressor: Compressor, question: str, caplog: pytest.LogCaptureFixture
) -> None:
    def hook(report: StepReport) -> None:
        raise ScoringError("the screen is gone")

    make_agent(SpecPrefillMiddleware(compressor, on_step=hook)).invoke(ask(question))
    assert len(model.requests) == 5
    assert "on_step failed" in caplog.text


def test_switched_off_it_sends_the_very_objects_of_the_state(
    make_agent: Any, model: Any, lexical: Callable[..., Compressor], question: str
) -> None:
    reports: list[StepReport] = []
    make_agent(SpecPrefillMiddleware(lexical(enabled=False), on_step=reports.append)).invoke(ask(question))
    assert all(sent is given for report in reports for sent, given in zip(report.sent, report.messages, strict=True))


def test_results_of_excluded_tools_pass_whole(make_agent: Any, model: Any, lexical: Callable[..., Compressor], question: str) -> None:
    state = make_agent(lexical(exclude_tools=["read_file"])).invoke(ask(question))
    changed = {was.name for was, sent in zip(state["messages"], model.requests[-1][1:], strict=False) if was.content != sent.content}
    assert changed == {"grep", "plate"}


def test_audit_records_name_the_conversation_the_call_and_the_model(model: Any, tools: Any, question: str, tmp_path: Path) -> None:
    class Named(type(model)):  # type: ignore[misc]
        model_name: str = "deepseek-chat"

    path = tmp_path / "audit.jsonl"
    config = CompressionConfig(scorer="bm25", min_tokens=0, target_tokenizer="o200k_base")
    middleware: SpecPrefillMiddleware[Any, Any] = SpecPrefillMiddleware(Compressor(config=config, audit=JsonlAudit(path), cache="memory"))
    agent: Any = create_agent(Named(answers=model.answers), tools, middleware=[middleware], checkpointer=InMemorySaver())
    agent.invoke(ask(question), {"configurable": {"thread_id": "thread-1"}})
    decisions = [record for record in read_audit(path) if record["event"] == "decision"]
    assert {(record["conversation"], record["model_id"]) for record in decisions} == {("thread-1", "deepseek-chat")}
    assert [(record["name"], record["tool_call_id"]) for record in decisions][:2] == [("grep", "call-0-0"), ("read_file", "call-1-0")]
    assert "argparse" not in path.read_text(encoding="ascii"), "arguments of calls are text of the conversation"


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (SimpleNamespace(model_name="a", model="b"), "a"),
        (SimpleNamespace(model_name=None, model="b"), "b"),
        (SimpleNamespace(model_id="c", model=object()), "c"),
        (SimpleNamespace(bound=SimpleNamespace(model="d")), "d"),
        (SimpleNamespace(), None),
    ],
)
def test_a_model_is_called_what_it_says(model: object, name: str | None) -> None:
    assert model_name(model) == name
