"""The ledger of agents: what each model call cost is recorded as it happens, and prefixes are looked at before each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ClearToolUsesEdit, ContextEditingMiddleware, ModelRetryMiddleware
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from specprefill_agents import Compressor
from specprefill_agents.accounting.amounts import Tokens
from specprefill_agents.accounting.ledger import Conversation, Step
from specprefill_agents.accounting.ledger_file import LedgerFile, read_ledger
from specprefill_agents.accounting.pricing import price_for
from specprefill_agents.accounting.recording import LATE, NO_PRICE, LedgerSettings
from specprefill_agents.accounting.tokens import FunctionCounter
from specprefill_agents.accounting.usage import read_usage
from specprefill_agents.guardrails.settings import AbSettings, Guardrails
from specprefill_langchain import Meter, SpecPrefillMiddleware, StepReport
from specprefill_langchain.parts import part_of, reported_usage

SATURDAY = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
THREAD: dict[str, Any] = {"configurable": {"thread_id": "t"}}


def ask(question: str) -> dict[str, Any]:
    return {"messages": [HumanMessage(question)]}


class Clock:
    """A second passes with every look at it."""

    def __init__(self) -> None:
        self.now = SATURDAY

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def meter(compressor: Compressor) -> Meter:
    return Meter(compressor.counter, model="deepseek-flash", now=Clock())


def test_an_agents_calls_are_in_its_ledger_cheaper_than_uncompressed(
    make_agent: Any, compressor: Compressor, meter: Meter, question: str
) -> None:
    make_agent(SpecPrefillMiddleware(compressor, ledger=meter), checkpointer=InMemorySaver()).invoke(ask(question), THREAD)
    (conversation,) = meter.ledger.conversations
    assert (conversation.id, conversation.rule, len(conversation.steps)) == ("t", "deepseek", 5)
    assert all(step.moved is None and step.flags == ("no usage was reported",) for step in conversation.steps)
    sent = [step.sent.tokens for step in conversation.steps]
    assert all(after.hit_tokens == before.input_tokens + before.output_tokens for before, after in pairwise(sent))
    assert (conversation.totals.saved_usd or 0) > 0
    last = conversation.steps[-1]
    assert last.sent.tokens.input_tokens < 0.6 * last.plain.tokens.input_tokens


def test_what_describes_the_tool_that_expands_gaps_counts_against_compression(
    make_agent: Any, lexical: Callable[..., Compressor], meter: Meter, question: str
) -> None:
    make_agent(SpecPrefillMiddleware(lexical(enabled=False), ledger=meter)).invoke(ask(question))
    make_agent(SpecPrefillMiddleware(lexical(enabled=False, originals=False), ledger=meter)).invoke(ask(question))
    with_tool, without = meter.ledger.conversations
    assert all(step.sent.tokens == step.plain.tokens for step in without.steps)
    extra = {step.sent.tokens.input_tokens - step.plain.tokens.input_tokens for step in with_tool.steps}
    assert len(extra) == 1
    assert extra.pop() > 50
    assert [step.plain for step in with_tool.steps] == [step.plain for step in without.steps]


def test_a_file_gets_a_line_per_step_in_synchronous_and_asynchronous_runs(
    make_agent: Any, compressor: Compressor, question: str, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.jsonl"
    agent = make_agent(SpecPrefillMiddleware(compressor, ledger=LedgerFile(path)))
    agent.invoke(ask(question))
    asyncio.run(agent.ainvoke(ask(question)))
    one, other = read_ledger(path).ledger.conversations
    assert [step.sent.tokens for step in one.steps] == [step.sent.tokens for step in other.steps]
    assert len(one.steps) == 5
    assert one.id != other.id
    assert one.steps[0].flags == ("no usage was reported", NO_PRICE)


def test_a_function_is_told_of_each_step_off_the_event_loop(make_agent: Any, compressor: Compressor, question: str) -> None:
    threads: list[str] = []

    def listen(conversation: Conversation, step: Step) -> None:
        threads.append(threading.current_thread().name)

    asyncio.run(make_agent(SpecPrefillMiddleware(compressor, ledger=listen)).ainvoke(ask(question)))
    assert len(threads) == 5
    assert all(name.startswith("specprefill-ledger") for name in threads)


def test_what_the_provider_reported_is_billed(make_agent: Any, model: Any, compressor: Compressor, meter: Meter, question: str) -> None:
    for hit, answer in enumerate(model.answers):
        answer.usage_metadata = {
            "input_tokens": 1000,
            "output_tokens": 10,
            "total_tokens": 1010,
            "input_token_details": {"cache_read": 100 * hit},
        }
    make_agent(SpecPrefillMiddleware(compressor, ledger=meter)).invoke(ask(question))
    totals = meter.ledger.totals
    price = price_for("deepseek-flash", SATURDAY)
    assert price
    assert (totals.billed.tokens.hit_tokens, totals.billed.tokens.miss_tokens, totals.flagged_steps) == (1000, 4000, 0)
    assert totals.billed.usd == pytest.approx(price.cost_usd(1000, 4000, 50))


DEEPSEEK = {"prompt_tokens": 70, "completion_tokens": 5, "total_tokens": 75, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 6}
COMMON: Any = {"input_tokens": 70, "output_tokens": 5, "total_tokens": 75}
WITH_HITS: Any = {**COMMON, "input_token_details": {"cache_read": 9}}
ANTHROPIC = {"input_tokens": 6, "output_tokens": 5, "cache_read_input_tokens": 64}


@pytest.mark.parametrize(
    ("metadata", "usage", "read"),
    [
        ({"token_usage": DEEPSEEK}, COMMON, Tokens(64, 6, output_tokens=5)),
        ({}, WITH_HITS, Tokens(9, 61, output_tokens=5)),
        ({"token_usage": None}, COMMON, Tokens(unsplit_tokens=70, output_tokens=5)),
        ({"token_usage": {"prompt_tokens": "many"}}, COMMON, Tokens(unsplit_tokens=70, output_tokens=5)),
        ({"token_usage": {**DEEPSEEK, "prompt_cache_hit_tokens": 1}}, WITH_HITS, Tokens(9, 61, output_tokens=5)),
        ({"usage": ANTHROPIC}, None, Tokens(64, 6, output_tokens=5)),
        ({"token_usage": {}}, None, None),
        ({}, None, None),
    ],
)
def test_of_two_reports_the_one_that_says_more_is_read(metadata: Any, usage: Any, read: Tokens | None) -> None:
    answer = AIMessage("x", response_metadata=metadata, usage_metadata=usage)
    assert read_usage(reported_usage(answer)).tokens == read


def test_a_tier_that_is_stated_beside_the_usage_is_not_at_list_price(
    make_agent: Any, model: Any, compressor: Compressor, meter: Meter
) -> None:
    model.answers = [AIMessage("Done.", response_metadata={"token_usage": DEEPSEEK, "service_tier": "flex"})]
    make_agent(SpecPrefillMiddleware(compressor, ledger=meter)).invoke(ask("Well?"))
    (step,) = meter.ledger.conversations[0].steps
    assert not step.at_list_price
    assert step.billed.usd is None


def test_every_step_reports_what_it_shares_with_the_one_before_under_each_rule(
    make_agent: Any, compressor: Compressor, question: str
) -> None:
    reports: list[StepReport] = []
    make_agent(SpecPrefillMiddleware(compressor, on_step=reports.append)).invoke(ask(question))
    prefixes = [report.prefix for report in reports if report.prefix]
    assert len(prefixes) == 5
    for before, after in pairwise(prefixes):
        assert after.extends_previous
        assert after.common_bytes == after.previous_bytes == before.bytes < after.bytes
        assert {use.rule for use in after.uses} == {"deepseek", "openai", "anthropic", "anthropic-1h", "none"}
        assert after.use("none").tokens.hit_tokens == 0
        is_cached = before.tokens >= 1024
        assert after.use("anthropic").tokens.hit_tokens == is_cached * before.tokens
        assert after.use("deepseek").tokens.hit_tokens > before.tokens, "and the answer, which came from there"
        assert after.use("openai").tokens.hit_tokens == is_cached * (before.tokens // 128 * 128)
    assert prefixes[-1].use("openai").tokens.hit_tokens > 0
    assert reports[0].system == SystemMessage("You read source code.")
    assert [getattr(tool, "name", "") for tool in reports[0].tools] == ["expand", "grep", "read_file", "plate"]
    assert len({report.conversation_id for report in reports}) == 1


@pytest.mark.prefix_moves(reason="clears old results, as some agents do")
def test_history_that_somebody_else_rewrites_is_reported_with_the_byte_and_the_cause(
    make_agent: Any, model: Any, tools: Any, compressor: Compressor, meter: Meter, question: str
) -> None:
    reports: list[StepReport] = []
    ours = SpecPrefillMiddleware(compressor, on_step=reports.append, ledger=meter)
    clearing: Any = ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=1, keep=2)])
    create_agent(model, tools, middleware=[clearing, ours]).invoke(ask(question))
    moved = [report.prefix.moved for report in reports if report.prefix]
    assert moved[:2] == [None, None]
    found = moved[2]
    assert found
    assert (found.cause, found.role, found.tool_call_id) == ("content", "tool", "call-0-0")
    assert 0 < found.byte < (reports[1].prefix.bytes if reports[1].prefix else 0)
    assert [step.moved for step in meter.ledger.conversations[0].steps] == moved


class Monday(AgentMiddleware[Any, Any, Any]):
    """Tells the model how often it was asked, and so moves its prefix."""

    asked = 0

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        self.asked += 1
        return handler(request.override(system_message=SystemMessage(f"Request {self.asked}.")))


@pytest.mark.prefix_moves(reason="the system prompt changes with every call")
def test_a_system_prompt_that_changes_is_the_cause(model: Any, tools: Any, compressor: Compressor, meter: Meter, question: str) -> None:
    ours = SpecPrefillMiddleware(compressor, ledger=meter)
    create_agent(model, tools, middleware=[Monday(), ours]).invoke(ask(question))
    causes = [step.moved and step.moved.cause for step in meter.ledger.conversations[0].steps]
    assert causes == [None, "system", "system", "system", "system"]


def test_a_conversation_kept_by_the_caller_goes_on_in_the_ledger(
    make_agent: Any, compressor: Compressor, meter: Meter, question: str
) -> None:
    agent = make_agent(SpecPrefillMiddleware(compressor, ledger=meter))
    state = agent.invoke(ask(question))
    agent.invoke(ask("Another question?"))
    agent.invoke({"messages": [*state["messages"], HumanMessage("Is the same true of textwrap.dedent?")]})
    first, other = sorted(meter.ledger.conversations, key=lambda one: one.started)
    assert [len(first.steps), len(other.steps)] == [10, 5]
    assert all(step.moved is None and LATE not in step.flags for step in first.steps)


def test_two_runs_of_one_question_are_two_conversations_even_at_once(
    make_agent: Any, compressor: Compressor, meter: Meter, question: str
) -> None:
    agent = make_agent(SpecPrefillMiddleware(compressor, ledger=meter))
    same = ask(question)
    agent.invoke(same)
    agent.batch([same] * 4)
    assert [len(one.steps) for one in meter.ledger.conversations] == [5] * 5
    assert len({one.id for one in meter.ledger.conversations}) == 5
    assert all(step.moved is None for one in meter.ledger.conversations for step in one.steps)


def test_an_agent_that_a_tool_runs_is_a_conversation_of_its_own_though_it_is_handed_the_thread(
    model: Any, tools: Any, compressor: Compressor, meter: Meter, question: str
) -> None:
    ours = SpecPrefillMiddleware(compressor, ledger=meter)
    inner = create_agent(type(model)(answers=[*model.answers]), tools, middleware=[ours])

    @tool
    def delegate(task: str) -> str:
        """Have somebody else do it."""
        return str(inner.invoke(ask(task))["messages"][-1].text)

    calls = [AIMessage("", tool_calls=[{"name": "delegate", "args": {"task": question}, "id": f"call-{n}"}]) for n in range(2)]
    model.answers = [*calls, AIMessage("Done.")]
    create_agent(model, [delegate], middleware=[ours], checkpointer=InMemorySaver()).invoke(ask("Please."), THREAD)
    lengths = {one.id: len(one.steps) for one in meter.ledger.conversations}
    assert sorted(lengths.values()) == [3, 5, 5]
    assert lengths.pop("t") == 3
    assert all(name.startswith("t/") for name in lengths)
    assert all(step.moved is None for one in meter.ledger.conversations for step in one.steps)


def test_a_thread_that_another_process_continues_has_one_name_in_both_ledgers(
    make_agent: Any, model: Any, lexical: Callable[..., Compressor], question: str, tmp_path: Path
) -> None:
    saver = InMemorySaver()
    file = LedgerFile(tmp_path / "ledger.jsonl")
    for text in (question, "And how does the JSON decoder report a missing delimiter?"):
        make_agent(SpecPrefillMiddleware(lexical(), ledger=file), checkpointer=saver).invoke(ask(text), THREAD)
    first, later = read_ledger(tmp_path / "ledger.jsonl").ledger.conversations
    assert first.id == later.id == "t"
    assert LATE not in first.steps[0].flags
    assert LATE in later.steps[0].flags


class Unwilling(AgentMiddleware[Any, Any, Any]):
    """Stands for a provider that refuses the first call."""

    has_refused = False

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        if not self.has_refused:
            self.has_refused = True
            raise ConnectionError("refused")
        return handler(request)


def test_a_call_that_fails_costs_nothing_and_one_that_is_made_again_costs_once(
    model: Any, tools: Any, compressor: Compressor, meter: Meter, question: str
) -> None:
    retry = ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)
    stack = [retry, SpecPrefillMiddleware(compressor, ledger=meter), Unwilling()]
    create_agent(model, tools, middleware=stack).invoke(ask(question))
    assert sum(len(one.steps) for one in meter.ledger.conversations) == 5


def test_calls_to_several_models_are_accounted_for_each_on_its_own(compressor: Compressor) -> None:
    meter = Meter(compressor.counter, now=Clock())
    names = ["deepseek-flash", "deepseek-v4-pro", "deepseek-flash"]
    for name in names:
        report = StepReport((HumanMessage("Well?"),), (HumanMessage("Well?"),), result=compressor.compress([], ""), model=name)
        meter.asked(report)
        meter.answered(report, AIMessage("Yes."))
    assert sorted((one.steps[0].model, len(one.steps)) for one in meter.ledger.conversations) == [
        ("deepseek-flash", 2),
        ("deepseek-v4-pro", 1),
    ]


def test_only_the_conversations_used_last_are_followed(compressor: Compressor) -> None:
    steps: list[tuple[str, int]] = []
    meter = Meter(compressor.counter, lambda one, step: steps.append((one.id, step.number)), max_conversations=2, now=Clock())
    for name in ("a", "b", "a", "c", "a", "b"):
        report = StepReport((), (), compressor.compress([], ""), conversation_id=name, is_named=True)
        meter.asked(report)
        meter.answered(report, AIMessage("Yes."))
    assert steps == [("a", 1), ("b", 1), ("a", 2), ("c", 1), ("a", 3), ("b", 1)]
    assert {one.id for one in meter.ledger.conversations} == {"a", "b"}


def test_the_arm_of_an_experiment_is_the_conversations_in_the_ledger(
    make_agent: Any, lexical: Callable[..., Compressor], question: str
) -> None:
    base = lexical()
    guarded = Compressor(config=base.config, cache="memory", guardrails=Guardrails(id="g", version="1", ab=AbSettings(control_share=0.5)))
    meter = Meter(base.counter, now=Clock())
    agent = make_agent(SpecPrefillMiddleware(guarded, ledger=meter))
    for number in range(12):
        agent.invoke(ask(f"{question} ({number})"))
    arms = {one.arm for one in meter.ledger.conversations}
    assert arms == {"control", "treated"}
    for one in meter.ledger.conversations:
        sent, plain = one.steps[-1].sent.tokens.input_tokens, one.steps[-1].plain.tokens.input_tokens
        assert (sent > plain) == (one.arm == "control")


def test_settings_bring_prices_and_the_label_of_an_arm(make_agent: Any, compressor: Compressor, question: str) -> None:
    settings = LedgerSettings(caching="openai", arm="mine", machine_usd_per_hour=3600)
    meter = Meter(compressor.counter, settings=settings)
    make_agent(SpecPrefillMiddleware(compressor, ledger=meter)).invoke(ask(question))
    (conversation,) = meter.ledger.conversations
    assert (conversation.rule, conversation.arm) == ("openai", "mine")
    assert conversation.totals.scorer_usd == pytest.approx(conversation.totals.scorer_ms / 1000)
    assert conversation.totals.scorer_ms > 0


@pytest.mark.parametrize("asynchronous", [False, True])
def test_accounting_that_fails_leaves_a_record_and_stops_no_agent(
    make_agent: Any, model: Any, compressor: Compressor, question: str, caplog: pytest.LogCaptureFixture, asynchronous: bool
) -> None:
    def fail(*_: object) -> int:
        raise RuntimeError("secret of the conversation")

    told: list[StepReport] = []
    for ledger in (fail, Meter(FunctionCounter("broken", fail))):
        agent = make_agent(SpecPrefillMiddleware(compressor, on_step=told.append, ledger=ledger))
        state = asyncio.run(agent.ainvoke(ask(question))) if asynchronous else agent.invoke(ask(question))
        assert len(state["messages"]) == 12
    assert len(told) == 10, "who listens is told all the same"
    assert [report.prefix is None for report in told] == [False] * 5 + [True] * 5
    assert "the ledger failed: RuntimeError" in caplog.text
    assert "looking at the prefix failed: RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_parts_tell_contents_apart_as_a_provider_does() -> None:
    def call(name: str, arguments: Any) -> dict[str, Any]:
        return {"name": name, "args": arguments, "id": "1"}

    messages = [
        AIMessage("x"),
        HumanMessage("x"),
        AIMessage("", tool_calls=[call("x", {})]),
        AIMessage("", tool_calls=[call("x", {"a": 1})]),
        AIMessage("", tool_calls=[call("x", {})], additional_kwargs={"reasoning_content": "hm"}),
        AIMessage("", invalid_tool_calls=[{**call("x", "{"), "error": "?"}]),  # type: ignore[list-item]
        HumanMessage(["x", "y"]),
        HumanMessage([{"type": "text", "text": "x"}, {"type": "image", "url": "https://example.org/a.png"}]),
        HumanMessage([{"type": "text", "text": "x"}, {"type": "image", "url": "https://example.org/b.png"}]),
    ]
    assert len({part_of(message).wire for message in messages}) == len(messages)
    assert part_of(AIMessage("x", additional_kwargs={"reasoning_content": "hm"})) == part_of(AIMessage("x")), "it is not sent back"
    assert part_of(SystemMessage("x")).section == "system"
