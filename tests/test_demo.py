"""The demo plays a real agent over real files and reports what happened, not what should have."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage

from specprefill_agents import CompressionConfig, Compressor
from specprefill_agents.accounting.pricing import price_for
from specprefill_agents.accounting.tokens import counter_for
from specprefill_agents.cli import demo as verb
from specprefill_langchain.chat_local import ChatLocal
from specprefill_langchain.demo import MAX_MODEL_CALLS, Played
from specprefill_langchain.demo.model import DEEPSEEK_MODEL, ScriptedModel
from specprefill_langchain.demo.task import FACTS, QUESTION, check_facts, script
from specprefill_langchain.demo.tools import TOOLS, grep, help_topic, read_file
from tests.demo_runs import SATURDAY, Writer, watch, writer

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture(scope="module")
def example() -> tuple[Played, str, Writer]:
    """The whole scripted loop, scored by BM25."""
    config = CompressionConfig(scorer="bm25", target_tokenizer="o200k_base", keep_ratio=0.3)
    answering = writer()
    played, screen = watch(Compressor(config=config), ScriptedModel(steps=script(), writer=answering, reminder=QUESTION))
    return played, screen, answering


def test_the_agent_makes_at_least_eight_calls_of_real_tools(example: tuple[Played, str, Writer]) -> None:
    results = [message for message in example[2].read if isinstance(message, ToolMessage)]
    assert len(results) >= 8
    assert all(message.status == "success" for message in results)


def test_tool_outputs_are_of_the_size_that_agents_meet() -> None:
    counter = counter_for("o200k_base")
    by_name = {tool.name: tool for tool in TOOLS}
    for message in script():
        (call,) = message.tool_calls
        assert 500 <= counter.count(by_name[call["name"]].invoke(call["args"])) <= 4_000, call


def test_the_model_reads_shorter_outputs_and_loses_no_cached_prefix(example: tuple[Played, str, Writer]) -> None:
    calls = example[0].calls
    assert all(call.kept_tokens <= 0.3 * call.new_tokens + CompressionConfig().recall_tokens for call in calls)
    assert sum(call.kept_tokens for call in calls) <= 0.4 * sum(call.new_tokens for call in calls)
    assert all(call.step.moved is None for call in calls)
    sent = [call.step.sent.tokens for call in calls]
    assert all(after.hit_tokens == before.input_tokens + before.output_tokens for before, after in pairwise(sent))
    assert all(call.fallback_reason is None for call in calls)


def test_the_writer_gets_the_compressed_messages_and_the_question_again(example: tuple[Played, str, Writer]) -> None:
    read = example[2].read
    assert read[-1] == HumanMessage(QUESTION)
    assert any("omitted" in str(message.content) for message in read if isinstance(message, ToolMessage))
    assert example[0].answer.content == "By a pattern."


def test_dollars_are_hits_misses_and_output_at_the_price_of_the_hour(example: tuple[Played, str, Writer]) -> None:
    price = price_for(DEEPSEEK_MODEL, SATURDAY)
    assert price is not None
    for step in (call.step for call in example[0].calls):
        for amount in (step.sent, step.plain):
            assert amount.usd == price.cost_usd(amount.tokens.hit_tokens, amount.tokens.miss_tokens, amount.tokens.output_tokens)


def test_plain_output_has_a_row_for_every_call_and_no_control_characters(example: tuple[Played, str, Writer]) -> None:
    played, screen, _ = example
    rows = [line for line in screen.splitlines() if line[:2].strip().isdigit()]
    assert [int(row[:2]) for row in rows] == list(range(1, len(played.calls) + 1))
    assert "\x1b" not in screen
    assert f"{len(rows) - 1} of {len(rows) - 1} requests begin with the whole request before them" in screen
    assert "off-peak at 2026-11-21 12:00 UTC" in screen


def test_without_compression_both_sides_cost_the_same(lexical: Callable[..., Compressor]) -> None:
    played, _ = watch(lexical(keep_ratio=1, originals=False), ScriptedModel(steps=script()[:2], writer=writer(), reminder=QUESTION))
    assert all(call.step.sent == call.step.plain for call in played.calls)
    assert all(check.sent == check.found for check in played.facts)


def test_a_fact_that_was_not_sent_is_reported_as_lost() -> None:
    line = "_negative_number_matcher = compile()"
    checks = check_facts([ToolMessage(f"{line}\nx\n{line}", tool_call_id="1")], [ToolMessage("x", tool_call_id="1")])
    assert (checks[0].fact, checks[0].found, checks[0].sent) == (FACTS[0], 2, 0)
    assert (checks[1].found, checks[1].sent) == (0, 0)


def test_a_scorer_that_fails_is_said_on_the_screen() -> None:
    class Broken:
        def score(self, contexts: object, query: str) -> Any:
            raise RuntimeError("out of order")

    compressor = Compressor(scorer=Broken(), config=CompressionConfig(target_tokenizer="o200k_base", originals=False))
    played, screen = watch(compressor, ScriptedModel(steps=script()[:1], writer=writer(), reminder=QUESTION))
    assert played.calls[1].fallback_reason is not None
    assert "RuntimeError" in screen
    assert played.calls[1].step.sent == played.calls[1].step.plain


def test_the_loop_runs_with_the_real_draft_and_the_local_model(embedded_draft: str) -> None:
    chat = ChatLocal(model=embedded_draft, max_tokens=4)
    played, screen = watch(Compressor(embedded_draft), ScriptedModel(steps=script()[-1:], writer=chat, reminder=QUESTION))
    assert 0 < played.calls[1].kept_tokens <= 0.3 * played.calls[1].new_tokens
    assert played.calls[1].step.scorer_ms > 0
    assert played.answer.usage_metadata is not None
    assert "first token after" in screen


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "json",
        "no_such_file.py",
        "../__init__.py",
        "site-packages/pytest/__init__.py",
        "\0",
        "LICENSE.txt",
    ],
)
def test_tools_read_nothing_but_sources_of_the_standard_library(path: str) -> None:
    for tool, arguments in ((grep, {"pattern": ".", "path": path}), (read_file, {"path": path, "start_line": 1, "end_line": 9})):
        result = tool.invoke({"name": tool.name, "args": arguments, "id": "1", "type": "tool_call"})
        assert result.status == "error"
        assert "is no source file of the standard library" in result.content


def test_tools_show_what_was_asked_for_with_line_numbers() -> None:
    assert read_file.invoke({"path": "this.py", "start_line": 1, "end_line": 1}).startswith('1: s = """Gur Mra')
    assert "1: " in grep.invoke({"pattern": "Gur Mra", "path": "this.py"})
    assert grep.invoke({"pattern": "no such words", "path": "this.py"}) == "No line of this.py matches."
    assert "raise" in help_topic.invoke({"name": "raise"})


def test_a_bad_regular_expression_is_an_answer_that_the_agent_can_read() -> None:
    result = grep.invoke({"name": "grep", "args": {"pattern": "(", "path": "this.py"}, "id": "1", "type": "tool_call"})
    assert result.status == "error"
    assert "not a regular expression" in result.content


def test_a_model_that_never_answers_is_stopped_and_summed_up(lexical: Callable[..., Compressor]) -> None:
    steps = [script()[0].model_copy(update={"id": f"step-{number}"}) for number in range(100)]
    played, screen = watch(lexical(), ScriptedModel(steps=steps, writer=writer(), reminder=QUESTION))
    assert len(played.calls) == MAX_MODEL_CALLS
    assert "(none: the last model call asked for another tool" in screen


def arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return parser.parse_args(given)


def test_without_the_integration_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "entry_points", lambda **_: EntryPoints([]))
    with pytest.raises(ImportError, match=r"pip install 'specprefill-agents\[all\]'"):
        verb.run(arguments())


def test_without_the_integrations_packages_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = EntryPoint("langchain", "no_such_framework.demo:run", verb.GROUP)
    monkeypatch.setattr(verb, "entry_points", lambda **_: EntryPoints([missing]))
    with pytest.raises(ImportError, match=r"pip install 'specprefill-agents\[all\]'"):
        verb.run(arguments())


def test_the_command_starts_the_installed_demo_with_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, Any]] = []
    monkeypatch.setattr("specprefill_langchain.demo.run", lambda **settings: started.append(settings) or 0)
    installed = EntryPoint("langchain", "specprefill_langchain.demo:run", verb.GROUP)
    monkeypatch.setattr(verb, "entry_points", lambda **_: EntryPoints([installed]))
    assert verb.run(arguments("--keep-ratio", "0.5", "--html", "out.html")) == 0
    assert started == [{"keep_ratio": 0.5, "draft": "smollm2-135m", "html": Path("out.html")}]


def test_the_distribution_declares_the_demo(repository: Any) -> None:
    declared = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    assert declared["project"]["entry-points"][verb.GROUP] == {verb.DEMO: "specprefill_langchain.demo:run"}
