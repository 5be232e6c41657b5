"""The loops benchmark as a command: what is stored, printed and drawn, and how it says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.loops.__main__ import main
from benchmarks.loops.policies import (
    KINDS,
    Frozen,
)
from benchmarks.results import read_columns
from benchmarks.settings import setting
from tests.agent_runs import Edited, log, row, write

LOGS = [log(number) for number in range(6)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with made runs of two sets: one long, one that has nothing to compress."""
    write(tmp_path, "agentdojo", [row("short", ["ok", "ok"], answer="yes", suite="a"), row("other", LOGS[:2], suite="b")])
    write(tmp_path, "sweagent", [row("long", [log(number, 90) for number in range(12)], system="Be brief.")])
    return tmp_path


def asked(folder: Path, *more: str) -> list[str]:
    return ["--data", str(folder), "--sets", "agentdojo,sweagent", "--scorer", "bm25", "--keep", "0.3,auto", *more]


def test_every_run_under_every_policy_is_stored_printed_and_drawn(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, plot = tmp_path / "loops.json", tmp_path / "loops.svg"
    assert main(asked(folder, "--out", str(out), "--plot", str(plot))) == 0
    printed = capsys.readouterr().out
    document = read_columns(out, "runs")
    assert {"schema", "benchmark", "command", "commit", "date", "settings", "machine", "versions", "prices", "runs"} <= set(document)
    assert document["settings"]["seed"] == 0
    per_run = {(one["policy"], one["keep"]) for one in document["runs"]}
    assert per_run == {(name, keep) for name, kind in KINDS.items() for keep in (("0.3", "auto") if kind.scored else ("",))}
    assert len(document["runs"]) == 3 * len(per_run)
    by_name = {(one["id"], one["policy"], one["keep"]): one for one in document["runs"]}
    short, ours = by_name["short", "none", ""], by_name["short", "ours", "0.3"]
    assert ours["usd"]["deepseek-flash"] > short["usd"]["deepseek-flash"], "a tool more and nothing to compress"
    assert by_name["short", "ours_no_expand", "0.3"]["usd"] == short["usd"]
    assert by_name["long", "ours", "0.3"]["usd"]["deepseek-v4-pro"] < by_name["long", "none", ""]["usd"]["deepseek-v4-pro"]
    assert by_name["long", "clear", ""]["moved"]
    assert "| deepseek-flash | new | sweagent | ours | 0.3 | yes | 0 of 1 | +0.0 % |" in printed
    assert f"The schema of `expand` has {document['expand_tool']['tokens']} tokens" in printed
    assert "Dearest of agentdojo, ours, keep 0.3" in printed
    assert "| short | +" in printed
    assert str(tmp_path) not in out.read_text(encoding="utf-8")
    drawn = plot.read_text(encoding="utf-8")
    assert "<svg" in drawn
    assert "sweagent: long" in drawn


def test_a_setting_of_the_compressor_can_be_given_and_reaches_it(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "loops.json"
    assert main(asked(folder, "--policies", "ours", "--set", "enabled=false", "--out", str(out))) == 0
    document = read_columns(out, "runs")
    assert document["settings"]["more"] == {"enabled": False}
    assert all(one["kept_tokens"] == one["result_tokens"] for one in document["runs"])
    assert (setting("a=1"), setting("a=x y"), setting('a=["b"]'), setting("a==")) == (("a", 1), ("a", "x y"), ("a", ["b"]), ("a", "="))
    capsys.readouterr()
    assert main(asked(folder, "--set", "no_such_setting=1")) == 2
    assert "no_such_setting" in capsys.readouterr().err


def test_a_sent_request_that_is_broken_makes_the_run_fail(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Edited(lambda messages: [{**messages[0], "content": "edited"}, *messages[1:]])
    monkeypatch.setattr(Frozen, "view", lambda self, messages: broken.view(messages))
    assert main(asked(folder, "--policies", "ours")) == 1
    assert "broken: agentdojo, short, ours at keep 0.3: altered message 0 (user)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [
        ["--sets", "nq_20doc"],
        ["--policies", "nothing"],
        ["--keep", "2"],
        ["--model", "gpt-nothing"],
        ["--scorer", "nothing"],
        ["--set", "x"],
    ],
)
def test_a_wrong_argument_is_named_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
    assert main([*asked(folder), *wrong]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert wrong[1] in error
