"""A conversation that another process goes on with: the same bytes, from nothing but a checkpointer's database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.langchain.two_processes import ASYNCHRONOUS, BEGUN, CONVERSATIONS, QUESTIONS

NAMES = [*CONVERSATIONS, *ASYNCHRONOUS]
GRAPHS = {"chat model", "compressor"}
CALLS = {"call-0-0", "call-1-0", "call-1-1", "call-2-0", "call-2-1", "call-3-0"}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> dict[str, Any]:
    """What two processes, one after the other, say of the conversations."""
    database = tmp_path_factory.mktemp("checkpoints") / "graph.sqlite"
    found = {}
    for part in ("begin", "end"):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "tests.langchain.two_processes", part, str(database)],
            env={**os.environ, "LANGGRAPH_STRICT_MSGPACK": "true", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            cwd=repository,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == "", "a strict checkpointer says what it would not load"
        found[part] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_each_request_of_the_second_process_extends_the_last_of_the_first(parts: dict[str, Any], name: str) -> None:
    begun, ended = (parts[part]["conversations"][name]["requests"] for part in ("begin", "end"))
    assert (len(begun), len(begun + ended)) == (BEGUN, 5)
    for before, after in zip([*begun, *ended], [*begun[1:], *ended], strict=False):
        assert after[: len(before)] == before
    assert QUESTIONS.get(name, QUESTIONS["agent"]) in [message["content"] for message in ended[-1]]
    outputs = [message["content"] for message in ended[-1] if message["role"] == "tool"]
    assert len(outputs) == 6
    assert sum("[…" in str(output) for output in outputs) >= 4


@pytest.mark.parametrize("name", NAMES)
def test_an_agents_decisions_are_read_back_and_those_of_a_graph_are_made_again(parts: dict[str, Any], name: str) -> None:
    begun, ended = (set(parts[part]["conversations"][name]["decided"]) for part in ("begin", "end"))
    assert begun == {"call-0-0", "call-1-0", "call-1-1"}
    assert ended == (CALLS if name in GRAPHS else CALLS - begun)


def test_all_ways_of_keeping_a_conversation_send_the_same(parts: dict[str, Any]) -> None:
    sent = [parts["end"]["conversations"][name]["requests"] for name in NAMES if name != "other"]
    assert len(sent) == 6
    assert all(requests == sent[0] for requests in sent)
    assert parts["end"]["conversations"]["other"]["requests"] != sent[0]


def test_no_process_loads_torch_where_no_draft_reads(parts: dict[str, Any]) -> None:
    assert [parts[part]["has_torch"] for part in ("begin", "end")] == [False, False]
