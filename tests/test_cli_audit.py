"""`specprefill audit show | replay`: decisions as a table, filters, sums, and the proof of the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from specprefill_agents import CompressionConfig, Compressor, Segment
from specprefill_agents.guardrails.kill_switch import VARIABLE
from specprefill_agents.observe.audit import JsonlAudit
from specprefill_agents.observe.audit_file import read_audit
from specprefill_agents.storage.directory import originals_directory
from specprefill_agents.storage.maintenance import clear
from tests.audited import RECORDS, WORDS, Broken, audited, conversation
from tests.conftest import Outcome

Command = Callable[..., Outcome]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Four decisions, one of them a repeat and one with recall; originals are in the user's store."""
    path = tmp_path / "audit.jsonl"
    conversation(audited(path))
    return path


@pytest.fixture
def failing(file: Path) -> Path:
    """The same and a decision of another conversation, whose scorer failed."""
    made = Compressor(config=CompressionConfig(min_tokens=0), scorer=Broken(), audit=JsonlAudit(file), cache="memory")
    made.session("conversation-2").step([Segment(RECORDS, name="grep", id="call-9")], "entry")
    return file


def calls(done: Outcome) -> list[str]:
    """The ids of the calls that a table shows, in order."""
    return [word for line in done.text.splitlines() for word in line.split() if word.startswith("call-")]


def test_show_prints_a_line_per_decision_and_the_sums(command: Command, file: Path) -> None:
    done = command("audit", "show", str(file))
    assert (done.status, done.err) == (0, "")
    assert done.text.startswith("TIME")
    assert calls(done) == ["call-1", "call-2", "call-3", "call-4"]
    assert "compressed, repeat" in done.text
    assert "compressed, recall" in done.text
    assert "4 decisions: 3 compressed, 1 protected; " in done.text
    assert not [word for word in WORDS if word in done.text]


@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        (["--conversation", "conversation-2"], ["call-9"]),
        (["--conversation", "no such"], []),
        (["--tool", "read_file"], ["call-1", "call-2", "call-4"]),
        (["--tool", "read_file", "--outcome", "protected"], ["call-4"]),
        (["--outcome", "passthrough"], ["call-9"]),
        (["--last", "2"], ["call-4", "call-9"]),
        (["--tool", "read_file", "--last", "1"], ["call-4"]),
        (["--failures"], ["call-9"]),
    ],
)
def test_filters_choose_what_is_shown(command: Command, failing: Path, filters: list[str], shown: list[str]) -> None:
    done = command("audit", "show", str(failing), *filters)
    assert (done.status, calls(done)) == (0, shown)
    found = json.loads(command("audit", "show", str(failing), *filters, "--json").text)
    assert [record["tool_call_id"] for record in found["records"] if record["event"] == "decision"] == shown
    assert sum(found["sums"]["outcomes"].values()) == len(shown)
    assert ("nothing to show" in done.text) == (not shown)


def test_failures_are_shown_of_every_event_and_counted_by_reason(command: Command, failing: Path) -> None:
    JsonlAudit(failing).record("recall", {"fallback_reason": "scores are not finite"})
    done = command("audit", "show", str(failing), "--failures")
    assert "(compress)" in done.text
    assert "(recall)" in done.text
    assert "scores are not finite" in done.text
    assert "1 decision: 1 passthrough; " in done.text
    assert "1 not as configured: RuntimeError." in done.text


def test_the_sums_are_those_of_the_records(command: Command, file: Path) -> None:
    found = json.loads(command("audit", "show", str(file), "--json").text)
    for name in ("original_tokens", "kept_tokens"):
        assert found["sums"][name] == sum(record[name] for record in found["records"])
    assert found["unreadable_lines"] == 0


def test_replay_proves_the_same_bytes(command: Command, file: Path) -> None:
    done = command("audit", "replay", str(file))
    assert (done.status, done.err) == (0, "")
    assert "Bytes: 4 same." in done.text
    assert "Decided afresh" not in done.text


def test_replay_of_a_changed_record_is_status_1_and_says_what_differs(command: Command, file: Path) -> None:
    file.write_text(file.read_text(encoding="ascii").replace('"spans": [[', '"spans": [[1, 2], [', 1), encoding="ascii")
    done = command("audit", "replay", str(file))
    assert done.status == 1
    assert "Bytes: 3 same, 1 differs." in done.text
    found = json.loads(command("audit", "replay", str(file), "--json").text)
    assert [one["bytes"]["verdict"] for one in found["decisions"]].count("differs") == 1


def test_replay_without_the_originals_says_so_and_is_status_0(command: Command, file: Path) -> None:
    clear(originals_directory())
    done = command("audit", "replay", str(file))
    assert done.status == 0
    assert "Bytes: 3 not replayed, 1 same." in done.text
    assert "expired, or kept elsewhere" in done.text


def test_replay_decides_afresh_what_a_log_with_texts_holds(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    conversation(audited(path, include_text=True))
    done = command("audit", "replay", str(path), "--decide")
    assert done.status == 0
    assert "Decided afresh: 3 same, 1 not replayed." in done.text
    (one,) = json.loads(command("audit", "replay", str(path), "--decide", "--last", "1", "--json").text)["decisions"]
    assert (one["tool_call_id"], one["bytes"]["verdict"], one["spans"]["verdict"]) == ("call-4", "same", "same")


def test_nothing_is_decided_afresh_while_compression_is_switched_off(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.jsonl"
    conversation(audited(path, include_text=True))
    monkeypatch.setenv(VARIABLE, "1")
    done = command("audit", "replay", str(path), "--decide")
    assert done.status == 0
    assert "Bytes: 4 same." in done.text
    assert "Decided afresh: 4 not replayed." in done.text
    assert f"switched off by {VARIABLE}" in " ".join(done.text.split())


def test_spans_that_no_decision_makes_are_status_1(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    conversation(audited(path, include_text=True))
    other = tmp_path / "other.jsonl"
    conversation(audited(other, include_text=True, keep_ratio=0.4))
    spans = next(record["spans"] for record in read_audit(other) if record.get("tool_call_id") == "call-1")
    lines = [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]
    path.write_text("".join(json.dumps({**one, "spans": spans} if one.get("tool_call_id") == "call-1" else one) + "\n" for one in lines))
    done = command("audit", "replay", str(path), "--decide")
    assert done.status == 1
    assert "decided afresh, other spans are kept" in done.text


def test_replay_chooses_by_conversation_and_knows_the_whole_log_for_it(command: Command, failing: Path) -> None:
    done = command("audit", "replay", str(failing), "--conversation", "conversation-1", "--last", "2")
    assert calls(done) == ["call-3", "call-4"]
    assert "Bytes: 2 same." in done.text
    assert "no decisions" in command("audit", "replay", str(failing), "--conversation", "none").text


@pytest.mark.parametrize("action", ["show", "replay"])
def test_lines_that_cannot_be_read_are_counted_on_standard_error(command: Command, file: Path, action: str) -> None:
    with file.open("ab") as stream:
        stream.write(b'{"event": "deci')
    done = command("audit", action, str(file))
    assert done.status == 0
    assert done.err == "specprefill: 1 line could not be read and are not counted\n"
    assert calls(done) == ["call-1", "call-2", "call-3", "call-4"]


@pytest.mark.parametrize("action", ["show", "replay"])
def test_records_of_any_shape_are_shown_and_steer_no_terminal(command: Command, tmp_path: Path, action: str) -> None:
    path = tmp_path / "audit.jsonl"
    rows = [
        {"event": "decision"},
        {"event": "decision", "name": "\x1b[31mred \ud800", "turn": 7, "original_tokens": "many", "kept_tokens": float("inf"), "spans": 3},
        {"event": "decision", "outcome": ["a"], "scorer_ms": None, "decision": {}, "config": [], "settings": [], "text_sha256": []},
        {"event": "config", "config": {}, "settings": {"keep_ratio": "x"}},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="ascii")
    for more in ([], ["--json"], *([["--decide"]] if action == "replay" else [])):
        done = command("audit", action, str(path), *more)
        assert done.status == (1 if action == "replay" else 0)
        assert "\x1b" not in done.text


def test_a_missing_file_is_one_line_and_status_2(command: Command, tmp_path: Path) -> None:
    for action in ("show", "replay"):
        done = command("audit", action, str(tmp_path / "absent.jsonl"))
        assert (done.status, done.err) == (2, f"specprefill: {tmp_path / 'absent.jsonl'}: No such file or directory\n")


@pytest.mark.parametrize(
    "arguments", [(), ("show",), ("show", "f", "--last", "0"), ("replay", "f", "--last", "x"), ("show", "f", "--outcome", "x")]
)
def test_wrong_usage_is_status_2(command: Command, arguments: tuple[str, ...]) -> None:
    done = command("audit", *arguments)
    assert done.status == 2
    assert "usage: specprefill" in done.err


def test_the_verb_explains_itself(command: Command) -> None:
    assert "those set aside beside it" in " ".join(command("audit", "--help").text.split())
    assert "--failures" in command("audit", "show", "--help").text
    assert "Exit status 1" in " ".join(command("audit", "replay", "--help").text.split())


def test_showing_and_replaying_load_no_model_and_no_framework(file: Path) -> None:
    code = "import sys; from specprefill_agents.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    for action in ("show", "replay"):
        done = subprocess.run([sys.executable, "-c", code, "audit", action, str(file)], capture_output=True, text=True, check=True)
        assert not {"torch", "transformers", "langchain_core", "llama_index"} & set(done.stderr.split())
