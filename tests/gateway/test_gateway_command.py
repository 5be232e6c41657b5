"""`specprefill gateway` as users start it, before a real model that this machine serves."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_deepseek import ChatDeepSeek
from openai import OpenAI

from specprefill_agents.accounting.ledger_file import read_ledger
from specprefill_agents.draft.registry import pulled_directory
from tests.conftest import Outcome
from tests.gateway.timetables import TOOLS, conversation, tool_texts
from tests.local_server import serving_model
from tests.openai_server import Recorded


@pytest.fixture(scope="module")
def local_model(embedded_draft: str) -> Iterator[Recorded]:
    with serving_model(str(pulled_directory(embedded_draft))) as recorded:
        yield recorded


def heeding_interrupts() -> None:
    """Lets SIGINT do what it does in a process that was started by hand."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def started(upstream: str, ledger: Path) -> Iterator[str]:
    """Runs a gateway in a process of its own, with the embedded draft; gives its base URL. Its ledger is complete afterwards."""
    options = ["--upstream", upstream, "--port", "0", "--min-tokens", "0", "--keep-ratio", "0.2", "--ledger", str(ledger)]
    command = [sys.executable, "-m", "specprefill_agents.cli", "gateway", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # Where the tests run in the background, a shell has them ignore SIGINT, and children inherit that.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, preexec_fn=heeding_interrupts) as process:
        assert process.stdout
        try:
            line = process.stdout.readline()
            assert line.endswith(f"/v1 -> {upstream}\n")
            yield line.split(" ")[0]
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130


def test_an_agent_before_a_real_model_is_answered_from_what_the_draft_kept(
    tmp_path: Path, local_model: Recorded, embedded_draft: str, client: Callable[..., OpenAI]
) -> None:
    model = str(pulled_directory(embedded_draft))
    settings: dict[str, Any] = {"model": model, "max_tokens": 4, "temperature": 0, "tools": TOOLS}
    streamed: dict[str, Any] = {**settings, "stream": True, "stream_options": {"include_usage": True}}
    whole = conversation(2)
    call: Any = {"name": "timetable", "args": {"page": 0, "town": "Basel"}, "id": "a"}
    asked = [HumanMessage(whole[1]["content"]), AIMessage("", tool_calls=[call]), ToolMessage(whole[3]["content"], tool_call_id="a")]
    with started(local_model.url, tmp_path / "ledger.jsonl") as url:
        for end in (2, 4, 6):
            answer = list(client(url).chat.completions.create(messages=whole[:end], **streamed))
            assert [one.usage.completion_tokens > 0 for one in answer if one.usage] == [True]
            assert [one.choices[0].finish_reason for one in answer if one.choices][-1] in ("stop", "length")
        chat: Any = ChatDeepSeek
        assert chat(model=model, api_key="key-2", base_url=url, max_tokens=4, max_retries=0).invoke(asked).usage_metadata
    *requests, last = local_model.requests
    for earlier, later in itertools.pairwise(requests):
        assert later["messages"][: len(earlier["messages"])] == earlier["messages"]
        assert later["tools"] == earlier["tools"] == TOOLS
    sent = requests[-1]["messages"]
    assert [one for one in sent if one["role"] != "tool"] == [one for one in whole if one["role"] != "tool"]
    for now, was in zip(tool_texts(sent) + tool_texts(last["messages"]), tool_texts(whole) + tool_texts(whole)[:1], strict=True):
        assert len(now) < 0.5 * len(was)
        assert "The train to Basel leaves at" in now
    kept = read_ledger(tmp_path / "ledger.jsonl").ledger.conversations
    assert sorted(len(one.steps) for one in kept) == [1, 3]
    assert all(step.billed.unread == 0 for one in kept for step in one.steps)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "upstream=None is not valid"),
        (("--upstream", "nowhere"), "upstream='nowhere' is not valid"),
        (("--upstream", "http://127.0.0.1", "--host", "0.0.0.0"), "token_file=None is not valid"),
        (("--upstream", "http://127.0.0.1", "--keep-ratio", "2"), "keep_ratio=2.0 is not valid"),
        (("--upstream", "http://127.0.0.1", "--api-key-env", "NO_SUCH_KEY"), "api_key_env='NO_SUCH_KEY' is not valid"),
        (("--upstream", "http://127.0.0.1", "--draft", "no-such-draft"), "no-such-draft"),
    ],
)
def test_what_cannot_be_started_says_why(command: Callable[..., Outcome], arguments: tuple[str, ...], says: str) -> None:
    outcome = command("gateway", *arguments)
    assert outcome.status == 2
    assert says in outcome.err
    assert outcome.err.count("\n") == 1


def test_without_its_extra_it_names_the_command_that_mends_it(command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("specprefill_agents.gateway.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    outcome = command("gateway", "--upstream", "http://127.0.0.1")
    assert outcome.status == 2
    assert "pip install 'specprefill-agents[serve]'" in outcome.err
