"""The benchmark of a failing store, for a moment; and what it would say if a byte were wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.store_faults import __main__ as benchmark
from benchmarks.store_faults.__main__ import Tally, main
from tests.agent_runs import log, row, write

STEP = {"event": "step", "task": "bm25/a", "step": 1, "digest": "aa", "lost": 0}


def test_faults_change_no_byte_and_fail_no_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "LONGEST_S", 0.2)
    logs = [log(number) for number in range(3)]
    write(tmp_path, "agentdojo", [row("a", logs, answer="done"), row("b", logs[::-1])])
    out = tmp_path / "faults.json"
    given = ["--data", str(tmp_path), "--sets", "agentdojo", "--scorers", "bm25", "--seconds", "0", "--processes", "2"]
    assert main([*given, "--faults", "killed,frozen,corrupted", "--out", str(out)]) == 0
    document = json.loads(out.read_text(encoding="utf-8"))
    assert document["faults"] == {"corrupted": 1, "frozen": 1, "killed": 1}
    assert (document["counts"]["failed_steps"], document["counts"]["wrong_bytes"], document["counts"]["lost"]) == (0, 0, 0)
    assert document["counts"]["steps"] > 0
    assert "| corrupted | frozen | killed |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("event", "count"),
    [
        ({**STEP, "digest": "bb"}, "wrong_bytes"),
        ({**STEP, "lost": 2}, "lost"),
        ({**STEP, "event": "failed"}, "failed_steps"),
        ({**STEP, "event": "ended"}, "failed_steps"),
    ],
)
def test_what_is_wrong_is_counted(event: dict[str, object], count: str) -> None:
    tally = Tally({("bm25/a", 1): "aa"})
    assert not tally.is_sound, "nothing was done"
    tally.note(STEP)
    assert tally.is_sound
    tally.note(event)
    assert not tally.is_sound
    assert tally.counts[count] > 0


@pytest.mark.parametrize("wrong", [["--sets", "nothing"], ["--faults", "flood"]])
def test_what_cannot_be_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
    assert main(["--data", str(tmp_path), *wrong]) == 2
    assert wrong[1] in capsys.readouterr().err
