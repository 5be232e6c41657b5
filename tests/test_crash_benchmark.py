"""Kill -9 during steps, a few times, and what the benchmark would say if a byte were wrong. No sleeps: workers announce what they do."""

from __future__ import annotations

import json
import os
import signal
import struct
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from benchmarks.crash.__main__ import Plan, disturbed, is_sound, main, undisturbed
from benchmarks.crash.fleet import Fleet
from benchmarks.crash.tally import Tally
from benchmarks.crash.worker import Job, Task, converse, digest, save, tasks, work
from benchmarks.crash.yard import Yard
from benchmarks.loops.requests import turns
from specprefill_agents import Compressor
from tests.agent_runs import log, row, run, write

LOGS = [log(number) for number in range(3)]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Two made runs under BM25; the state of workers in a folder of its own."""
    (tmp_path / "data").mkdir()
    (tmp_path / "state").mkdir()
    write(tmp_path / "data", "agentdojo", [row("a", LOGS, answer="done"), row("b", LOGS[::-1])])
    return Job(str(tmp_path / "data"), ("agentdojo",), None, 0, ("bm25",), "auto", str(tmp_path / "state"), cycles=1)


def events_of(job: Job) -> list[dict[str, Any]]:
    """What a worker announces that runs in this process to its end."""
    heard: list[dict[str, Any]] = []
    work(job, lambda event: heard.append(dict(event)))
    return heard


class Killed(Exception):
    """Stands for the moment at which a process ends."""


def killed_at(job: Job, count: int) -> list[dict[str, Any]]:
    """What a worker announces that ends right after its event number `count`, before it saves anything."""
    heard: list[dict[str, Any]] = []

    def announce(event: Mapping[str, Any]) -> None:
        heard.append(dict(event))
        if len(heard) == count:
            raise Killed

    with pytest.raises(Killed):
        work(job, announce)
    return heard


def test_three_kills_change_no_byte(job: Job, tmp_path: Path) -> None:
    reference = undisturbed(Yard(tmp_path, "undisturbed", job))
    assert len(reference) == sum(len(turns(task.run)) for task in tasks(job))
    yard = Yard(tmp_path, "shared", replace(job, cycles=None, processes=2))
    tally = disturbed(yard, Plan(kills=3, processes=2, seed=1, most_steps=2, pause_s=0), reference)
    assert (tally.wrong, tally.exceptions, tally.lost) == ([], [], 0), yard.errors()
    assert (tally.kills, tally.restarts) == (3, 3)
    assert tally.steps > len(reference)
    stores = yard.verified()
    assert stores["originals"].sound > 0
    assert all(found.damaged == found.foreign == 0 for found in stores.values())


def test_a_worker_goes_on_where_it_was_and_sends_the_same(job: Job, tmp_path: Path) -> None:
    whole = {(one["task"], one["step"]): one["digest"] for one in events_of(job) if one["event"] == "step"}
    (tmp_path / "again").mkdir()
    again = replace(job, state=str(tmp_path / "again"))
    before = killed_at(again, 4)  # begins, sends three steps, and ends before the third is saved
    after = events_of(again)
    assert after[0]["event"] == "begin"
    assert after[0]["decisions"] == 1, "the second step's decision was saved, the third's was not"
    tally = Tally(whole)
    for event in [*before, *after]:
        tally.note(0, event)
    assert tally.wrong == []
    assert (tally.repeated, tally.found, tally.remade) == (3, 1, 1)
    assert (tally.reopened, tally.begun) == (1, 2)


def test_a_second_run_under_one_index_has_nothing_left_to_do(job: Job) -> None:
    assert events_of(job)
    assert events_of(job) == []


def test_workers_begin_at_different_tasks_and_all_have_the_same(job: Job) -> None:
    first, second = (tasks(replace(job, processes=2, index=index)) for index in (0, 1))
    assert [task.name for task in first] == ["bm25/a", "bm25/b"]
    assert [task.name for task in second] == ["bm25/b", "bm25/a"]


def test_an_original_that_is_gone_is_noticed(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compressor: Compressor = job.compressor("bm25", 0)
    assert compressor.originals is not None
    monkeypatch.setattr(compressor.originals, "get", lambda name: None)
    heard: list[Mapping[str, Any]] = []
    converse(Task("bm25", run(LOGS)), compressor, tmp_path / "session.json", heard.append)
    assert sum(event["lost"] for event in heard if event["event"] == "step") > 0


def test_a_wrong_byte_and_an_end_of_its_own_are_counted() -> None:
    step = {"event": "step", "task": "bm25/a", "cycle": 0, "step": 1, "digest": "aa", "arrived": 0, "made": 0, "lost": 0}
    tally = Tally({("bm25/a", 1): "aa"})
    tally.note(0, step)
    assert tally.is_sound
    tally.note(0, {**step, "digest": "bb"})
    tally.note(1, {**step, "step": 2})
    tally.note(1, {"event": "ended", "status": 1})
    assert not tally.is_sound
    assert (tally.counts["wrong"], tally.counts["exceptions"]) == (2, 1)
    assert "without kills aa" in tally.wrong[0]


def test_a_digest_tells_any_two_requests_apart() -> None:
    one = [{"role": "user", "content": "ab"}, {"role": "user", "content": "c"}]
    other = [{"role": "user", "content": "a"}, {"role": "user", "content": "bc"}]
    assert digest(one) == digest(list(one)) != digest(other)


def test_a_saved_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    save(file, [1])
    with pytest.raises(TypeError):
        save(file, [object()])
    assert json.loads(file.read_text(encoding="utf-8")) == [1]


def says_half(index: int, announced: Connection) -> None:
    """A worker that announces an event and half of another one, and then waits."""
    announced.send_bytes(b'{"event": "step"}')
    os.write(announced.fileno(), struct.pack("!i", 17) + b'{"event": "st')
    signal.pause()


def says_all(index: int, announced: Connection) -> None:
    """A worker that announces an event and ends."""
    announced.send_bytes(b'{"event": "step"}')


def fails(index: int, announced: Connection) -> None:
    """A worker that ends by itself."""
    os._exit(3)


def test_what_a_kill_cuts_off_was_not_announced() -> None:
    with Fleet(says_half, 1) as fleet:
        assert list(fleet.events(60)) == [(0, {"event": "step"})]
        assert list(fleet.kill(0)) == []
        fleet.restart(0)
        assert list(fleet.events(60)) == [(0, {"event": "step"})]


def test_what_was_announced_before_a_kill_is_heard_after_it() -> None:
    with Fleet(says_all, 1) as fleet:
        fleet._workers[0].process.join()
        assert list(fleet.kill(0)) == [(0, {"event": "step"})]


def test_a_worker_that_ends_by_itself_is_announced() -> None:
    with Fleet(fails, 1) as fleet:
        assert list(fleet.events(60)) == [(0, {"event": "ended", "status": 3})]


def test_the_benchmark_stores_what_it_counted(tmp_path: Path, job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "crash.json"
    given = [
        "--data",
        job.directory,
        "--sets",
        "agentdojo",
        "--n",
        "1",
        "--scorers",
        "bm25",
        "--kills",
        "1",
        "--processes",
        "1",
        "--pause",
        "0",
    ]
    assert main([*given, "--out", str(out)]) == 0
    document = json.loads(out.read_text(encoding="utf-8"))
    assert document["counts"]["kills"] == document["counts"]["restarts"] == 1
    assert is_sound(document)
    assert not is_sound({**document, "counts": {**document["counts"], "wrong": 1}})
    assert not is_sound({**document, "stores": {"scores": {"damaged": 1, "foreign": 0}}})
    assert "| kills | restarts |" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [["--sets", "nothing"], ["--set", "no_such_setting=1"], ["--set", "x"]])
def test_what_cannot_be_run_is_named(job: Job, capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
    given = ["--data", job.directory, "--sets", "agentdojo", "--scorers", "bm25", "--kills", "1", *wrong]
    assert main(given) == 2
    assert wrong[1].split("=")[0] in capsys.readouterr().err
