"""The benchmark of a failing service, for a moment; and what it would say if a byte were wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.service_faults import __main__ as benchmark
from benchmarks.service_faults.__main__ import Tally, main
from tests.agent_runs import log, row, write

EXPECTED = {"bm25/a": (("user", "user"), ("short", "whole"), ("short2", "whole2"))}
STEP: dict[str, Any] = {
    "event": "step",
    "task": "bm25/a",
    "conversation": "one",
    "step": 1,
    "messages": ["user", "short"],
    "recorded": [],
    "reasons": [],
    "is_anew": False,
    "seconds": 0.1,
}
NEXT = {**STEP, "step": 2, "messages": ["user", "short", "whole2"], "recorded": [2]}


def test_a_failing_service_changes_no_byte_and_fails_no_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "LONGEST_S", 0.3)
    logs = [log(number) for number in range(3)]
    write(tmp_path, "agentdojo", [row("a", logs, answer="done"), row("b", logs[::-1])])
    out = tmp_path / "faults.json"
    given = ["--data", str(tmp_path), "--sets", "agentdojo", "--scorer", "bm25", "--seconds", "0", "--processes", "2"]
    assert main([*given, "--faults", "garbage,refusing,cut_off,everything_restarted", "--out", str(out)]) == 0
    document = json.loads(out.read_text(encoding="utf-8"))
    assert document["faults"] == {"garbage": 1, "refusing": 1, "cut_off": 1, "everything_restarted": 1}
    assert document["wrong"] == []
    # Whether a fault of a moment meets a step is chance; what passes whole is tested below.
    assert document["counts"]["compressed"] + document["counts"]["passed"] > 0
    assert "| everything_restarted | cut_off | refusing | garbage |" in capsys.readouterr().out


def test_what_passes_whole_with_a_record_is_sound() -> None:
    tally = Tally(EXPECTED)
    assert not tally.is_sound, "nothing was done"
    tally.note(STEP)
    tally.note(NEXT)
    assert tally.is_sound
    assert (tally.counts["compressed"], tally.counts["passed"], tally.counts["conversations"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("event", "count"),
    [
        ({**NEXT, "messages": ["user", "whole", "whole2"]}, "moved_prefixes"),
        ({**NEXT, "messages": ["user", "short"][:1]}, "moved_prefixes"),
        ({**NEXT, "messages": ["user", "short", "other"]}, "wrong_bytes"),
        ({**NEXT, "recorded": []}, "unrecorded"),
        ({**NEXT, "event": "failed"}, "failed_steps"),
        ({"event": "ended", "status": 1}, "failed_steps"),
    ],
)
def test_what_is_wrong_is_counted(event: dict[str, Any], count: str) -> None:
    tally = Tally(EXPECTED)
    tally.note(STEP)
    tally.note(event)
    assert not tally.is_sound
    assert tally.counts[count] == 1


def test_what_an_earlier_process_decided_has_its_record_there() -> None:
    tally = Tally(EXPECTED)
    tally.note({**NEXT, "recorded": [], "is_anew": True})
    assert tally.is_sound
    assert tally.counts["passed"] == 1


@pytest.mark.parametrize("wrong", [["--sets", "nothing"], ["--faults", "flood"]])
def test_what_cannot_be_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
    assert main(["--data", str(tmp_path), *wrong]) == 2
    assert wrong[1] in capsys.readouterr().err
