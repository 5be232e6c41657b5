"""The demo plays a real agent over real files and reports what happened, not what should have."""

from __future__ import annotations

import argparse
import io
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import EntryPoint, EntryPoints
from itertools import pairwise
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatResult
from pydantic import PrivateAttr
from rich.console import Console

from specprefill_agents import CompressionConfig, Compressor, SpecPrefillError
from specprefill_agents.accounting.pricing import price_for
from specprefill_agents.accounting.tokens import counter_for
from specprefill_agents.cli import demo as verb
from specprefill_langchain.chat_local import ChatLocal
from specprefill_langchain.demo import MAX_MODEL_CALLS, Played, play, run
from specprefill_langchain.demo.model import DEEPSEEK_MODEL, ScriptedModel, deepseek_model
from specprefill_langchain.demo.task import FACTS, QUESTION, check_facts, script
from specprefill_langchain.demo.tools import TOOLS, grep, help_topic, read_file

SATURDAY = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)


class Writer(GenericFakeChatModel):
    """Answers once, and remembers what it was sent."""

    _read: list[BaseMessage] = PrivateAttr(default_factory=list)

    @property
    def read(self) -> list[BaseMessage]:
        return self._read

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self._read.extend(messages)
        return super()._generate(messages, *args, **kwargs)


def writer() -> Writer:
    return Writer(messages=iter([AIMessage("By a pattern.")]))


def watch(compressor: Compressor, model: BaseChatModel) -> tuple[Played, str]:
    """A played demo and its plain output."""
    screen = io.StringIO()
    played = play(Console(file=screen, width=120), compressor, model, "a test", now=lambda: SATURDAY)
    return played, screen.getvalue()


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
    assert all(call.kept_tokens <= 0.3 * call.new_tokens for call in calls)
    assert all(call.sent.extends_previous for call in calls[1:])
    assert all(
        call.sent.hit_tokens == before.sent.hit_tokens + before.sent.miss_tokens + before.output_tokens for before, call in pairs(calls)
    )
    assert all(call.fallback_reason is None for call in calls)


def pairs(calls: tuple[Any, ...]) -> Iterator[tuple[Any, Any]]:
    return pairwise(calls)


def test_the_writer_gets_the_compressed_messages_and_the_question_again(example: tuple[Played, str, Writer]) -> None:
    read = example[2].read
    assert read[-1] == HumanMessage(QUESTION)
    assert any("omitted" in str(message.content) for message in read if isinstance(message, ToolMessage))
    assert example[0].answer.content == "By a pattern."


def test_dollars_are_hits_misses_and_output_at_the_price_of_the_hour(example: tuple[Played, str, Writer]) -> None:
    price = price_for(DEEPSEEK_MODEL, SATURDAY)
    assert price is not None
    for call in example[0].calls:
        assert call.sent_usd == price.cost_usd(call.sent.hit_tokens, call.sent.miss_tokens, call.output_tokens)
        assert call.plain_usd == price.cost_usd(call.plain.hit_tokens, call.plain.miss_tokens, call.output_tokens)


def test_plain_output_has_a_row_for_every_call_and_no_control_characters(example: tuple[Played, str, Writer]) -> None:
    played, screen, _ = example
    rows = [line for line in screen.splitlines() if line[:2].strip().isdigit()]
    assert [int(row[:2]) for row in rows] == list(range(1, len(played.calls) + 1))
    assert "\x1b" not in screen
    assert f"{len(rows) - 1} of {len(rows) - 1} requests begin with the whole request before them" in screen
    assert "off-peak at 2026-11-21 12:00 UTC" in screen


def test_without_compression_both_sides_cost_the_same(lexical: Callable[..., Compressor]) -> None:
    played, _ = watch(lexical(keep_ratio=1), ScriptedModel(steps=script()[:2], writer=writer(), reminder=QUESTION))
    assert all(call.sent == call.plain and call.sent_usd == call.plain_usd for call in played.calls)
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

    compressor = Compressor(scorer=Broken(), config=CompressionConfig(target_tokenizer="o200k_base"))
    played, screen = watch(compressor, ScriptedModel(steps=script()[:1], writer=writer(), reminder=QUESTION))
    assert played.calls[1].fallback_reason is not None
    assert "RuntimeError" in screen
    assert played.calls[1].sent == played.calls[1].plain


def test_the_loop_runs_with_the_real_draft_and_the_local_model(embedded_draft: str) -> None:
    chat = ChatLocal(model=embedded_draft, max_tokens=4)
    played, screen = watch(Compressor(embedded_draft), ScriptedModel(steps=script()[-1:], writer=chat, reminder=QUESTION))
    assert 0 < played.calls[1].kept_tokens <= 0.3 * played.calls[1].new_tokens
    assert played.calls[1].scorer_ms > 0
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


def test_without_a_key_there_is_no_deepseek(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPSEEK_API_KEY", raising=False)
    assert deepseek_model() is None


@pytest.fixture
def deepseek_requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Requests to a loopback server that answers as DeepSeek does: three tool calls of the script, then a text."""
    requests: list[dict[str, Any]] = []
    script_calls = [message.tool_calls[0] for message in script()[:3]]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            message: dict[str, Any] = {"role": "assistant", "content": "By a pattern."}
            if len(requests) < len(script_calls):
                call = script_calls[len(requests)]
                function = {"name": call["name"], "arguments": json.dumps(call["args"])}
                message = {"role": "assistant", "content": "", "tool_calls": [{"id": call["id"], "type": "function", "function": function}]}
            requests.append(body)
            usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            answer = json.dumps(
                {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("DEEPSEEK_API_KEY", "not-a-key")
    monkeypatch.setenv("DEEPSEEK_API_BASE", f"http://127.0.0.1:{server.server_port}/v1")
    yield requests
    server.shutdown()
    thread.join()
    server.server_close()


def test_deepseek_drives_the_whole_loop_over_compressed_outputs(
    deepseek_requests: list[dict[str, Any]], lexical: Callable[..., Compressor]
) -> None:
    model = deepseek_model()
    assert model is not None
    played, _ = watch(lexical(), model)
    assert played.answer.content == "By a pattern."
    assert len(deepseek_requests) == len(played.calls) == 4
    assert {body["model"] for body in deepseek_requests} == {DEEPSEEK_MODEL}
    assert all(body["thinking"] == {"type": "disabled"} for body in deepseek_requests)
    assert len({body["user_id"] for body in deepseek_requests}) == 1
    tool_texts = [message["content"] for message in deepseek_requests[-1]["messages"] if message["role"] == "tool"]
    assert len(tool_texts) == 3
    assert all("omitted" in text for text in tool_texts)
    for body, following in pairs(tuple(deepseek_requests)):
        assert following["messages"][: len(body["messages"])] == body["messages"]
        assert following["tools"] == body["tools"]


def test_a_model_that_never_answers_is_stopped_and_summed_up(lexical: Callable[..., Compressor]) -> None:
    steps = [script()[0].model_copy(update={"id": f"step-{number}"}) for number in range(100)]
    played, screen = watch(lexical(), ScriptedModel(steps=steps, writer=writer(), reminder=QUESTION))
    assert len(played.calls) == MAX_MODEL_CALLS
    assert "(none: the last model call asked for another tool" in screen


def test_a_deepseek_that_refuses_is_one_explained_error(monkeypatch: pytest.MonkeyPatch, deepseek_requests: list[dict[str, Any]]) -> None:
    import openai

    def refuse(*_: object) -> None:
        raise openai.OpenAIError("402 Insufficient Balance")

    monkeypatch.setattr("specprefill_langchain.demo.Compressor", lambda draft, config: Compressor(config=replace(config, scorer="bm25")))
    monkeypatch.setattr("specprefill_langchain.demo.play", refuse)
    with pytest.raises(SpecPrefillError, match=r"DeepSeek did not answer.*402 Insufficient Balance"):
        run(keep_ratio=0.3, draft="smollm2-135m")


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
    assert verb.run(arguments("--keep-ratio", "0.5")) == 0
    assert started == [{"keep_ratio": 0.5, "draft": "smollm2-135m"}]


def test_the_distribution_declares_the_demo(repository: Any) -> None:
    tomllib = pytest.importorskip("tomllib")
    declared = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    assert declared["project"]["entry-points"][verb.GROUP] == {verb.DEMO: "specprefill_langchain.demo:run"}
