"""Audit files: shared by threads and processes, set aside when full, read back in order; no record is lost or doubled."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from specprefill_agents import ConfigError
from specprefill_agents.observe.audit import JsonlAudit
from specprefill_agents.observe.audit_file import read_audit
from specprefill_agents.observe.rotation import RotatingLines

WRITER = """
import sys, threading
from specprefill_agents.observe.audit import JsonlAudit
log, name = JsonlAudit(sys.argv[1], max_bytes=8_000, keep=500), sys.argv[2]
def write(thread):
    for number in range(150):
        log.record("decision", {"id": f"{name}-{thread}-{number}", "config": "f", "settings": {"keep_ratio": 0.3}, "pad": "x" * 100})
threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
print("ready", flush=True)
sys.stdin.read()
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
FORK = """
import os, sys
from specprefill_agents.observe.audit import JsonlAudit
log = JsonlAudit(sys.argv[1], max_bytes=3_000, keep=100)
log.record("before", {"config": "f", "settings": {}})
child = os.fork()
for number in range(100):
    log.record("after", {"id": f"{bool(child)}-{number}", "config": "f", "settings": {}, "pad": "x" * 50})
if child:
    assert os.waitpid(child, 0)[1] == 0
else:
    os._exit(0)
"""


def files_of(path: Path) -> list[Path]:
    """Every file of a log."""
    return [path, *sorted(path.parent.glob(f"{path.name}.*"))]


def test_two_processes_of_four_threads_lose_and_double_no_record(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    arguments = [sys.executable, "-c", WRITER, str(path)]
    writers = [subprocess.Popen([*arguments, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for name in ("one", "two")]
    for writer in writers:
        assert writer.stdout
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        assert writer.stdin
        writer.stdin.close()
        writer.stdin = None
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    log = read_audit(path)
    records = list(log)
    assert log.unreadable_lines == 0
    ids = Counter(record["id"] for record in records if record["event"] == "decision")
    assert set(ids.values()) == {1}
    assert len(ids) == 2 * 4 * 150
    assert len(files_of(path)) > 5
    for name in ("one", "two"):
        for thread in range(4):
            own = [int(one.rpartition("-")[2]) for one in ids if one.startswith(f"{name}-{thread}-")]
            assert own == sorted(own), "records are read in the order in which each thread left them"


def test_each_file_says_the_settings_of_its_records_once(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    logs = [JsonlAudit(path, max_bytes=2_000, keep=50) for _ in range(2)]
    for number in range(60):
        name = "ab"[number % 2]
        logs[number % 2].record("decision", {"config": name, "settings": {"keep_ratio": name}, "pad": "x" * 80})
    files = files_of(path)
    assert len(files) > 5
    for file in files:
        rows = [json.loads(line) for line in file.read_text(encoding="ascii").splitlines()]
        said = Counter(row["config"] for row in rows if row["event"] == "config")
        assert said == dict.fromkeys({row["config"] for row in rows if row["event"] == "decision"}, 1)
        assert all("settings" not in row for row in rows if row["event"] == "decision")
        assert file.stat().st_size < 2_300


def test_only_so_many_files_are_kept_the_oldest_going_first(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = JsonlAudit(path, max_bytes=1_000, keep=2)
    for number in range(100):
        log.record("decision", {"number": number, "pad": "x" * 100})
    assert sorted(file.name for file in tmp_path.iterdir()) == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"]
    numbers = [record["number"] for record in read_audit(path)]
    assert numbers == list(range(numbers[0], 100))
    assert len(numbers) > 8


def test_a_record_larger_than_a_file_has_one_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = JsonlAudit(path, max_bytes=500, keep=5)
    for size in (10, 5_000, 10):
        log.record("decision", {"pad": "x" * size})
    assert [len(record["pad"]) for record in read_audit(path)] == [10, 5_000, 10]
    assert len(files_of(path)) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_goes_on_with_a_file_of_its_own_opening(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    subprocess.run([sys.executable, "-c", FORK, str(path)], check=True)
    records = list(read_audit(path))
    assert Counter(record["event"] for record in records)["before"] == 1
    ids = Counter(record["id"] for record in records if record["event"] == "after")
    assert len(ids) == 200
    assert set(ids.values()) == {1}


def test_after_a_crash_in_the_middle_of_a_line_the_next_record_begins_its_own(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = JsonlAudit(path)
    log.record("first", {})
    with path.open("ab") as stream:
        stream.write(b'{"time": "2026-01-01", "event": "deci')
    log.record("second", {})
    read = read_audit(path)
    assert [record["event"] for record in read] == ["first", "second"]
    assert read.unreadable_lines == 1


def test_lines_that_are_no_records_are_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    lines = [b"\xff\xfe", b"[1]", b"{}", b'{"event": 7}', b"", b"[" * 100_000, b'{"event": "fine"}']
    path.write_bytes(b"\n".join(lines))
    read = read_audit(path)
    assert [record["event"] for record in read] == ["fine"]
    assert read.unreadable_lines == 5
    assert len(list(read)) == 1
    assert read.unreadable_lines == 5, "counted anew each time"


def test_a_log_can_be_read_while_its_files_are_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = JsonlAudit(path, max_bytes=1_000, keep=200)
    done = threading.Event()

    def write() -> None:
        for number in range(400):
            log.record("decision", {"number": number, "pad": "x" * 100})
        done.set()

    log.record("decision", {"number": -1})
    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        numbers = [record["number"] for record in read_audit(path)]
        assert numbers == list(range(-1, len(numbers) - 1))
    writer.join()
    assert len(list(read_audit(path))) == 401


def test_other_files_beside_a_log_are_none_of_it(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    JsonlAudit(path).record("mine", {})
    for name in ("audit.jsonl.bak", "audit.jsonl.²", "3", "other.jsonl.1", "audit.jsonl."):
        (tmp_path / name).write_text('{"event": "theirs"}\n', encoding="ascii")
    (tmp_path / "audit.jsonl.99999999999").write_text('{"event": "old"}\n', encoding="ascii")
    assert [record["event"] for record in read_audit(path)] == ["old", "mine"]


def test_a_log_without_any_file_is_not_found(tmp_path: Path) -> None:
    for path in (tmp_path / "audit.jsonl", tmp_path / "absent" / "audit.jsonl"):
        with pytest.raises(FileNotFoundError) as raised:
            list(read_audit(path))
        assert raised.value.filename == str(path)


def test_a_file_that_was_removed_is_made_again_with_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = JsonlAudit(path)
    for _ in range(2):
        log.record("decision", {"config": "f", "settings": {}})
        assert [record["event"] for record in read_audit(path)] == ["config", "decision"]
        path.unlink()


def test_a_file_that_was_set_aside_while_its_lock_was_asked_for_is_not_set_aside_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl", reason="this system has no flock")
    path, flock = tmp_path / "audit.jsonl", fcntl.flock
    one, other = (RotatingLines(path, 100, keep=9) for _ in range(2))
    one.append("a" * 80)

    def overtaken(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        other.append("b" * 80)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", overtaken)
    one.append("c" * 80)
    assert [file.read_text(encoding="ascii").split() for file in files_of(path)] == [["b" * 80, "c" * 80], ["a" * 80]]


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = JsonlAudit(path, max_bytes=100)
    for _ in range(4):
        log.record("decision", {"pad": "x" * 80})
    assert {stat.S_IMODE(file.stat().st_mode) for file in files_of(path)} == {0o600}


def test_a_file_that_cannot_be_written_loses_records_to_the_logger_and_raises_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with caplog.at_level(logging.WARNING, "specprefill_agents.audit"):
        for path in (tmp_path, tmp_path / "absent" / "audit.jsonl", tmp_path / "file" / "audit.jsonl"):
            JsonlAudit(path, include_text=True).record("decision", {"name": "grep", "text": "walrus", "settings": {}, "config": "f"})
    assert caplog.text.count("audit record lost") == 3
    assert caplog.text.count("grep") == 3
    assert "walrus" not in caplog.text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk to write to")
def test_a_full_disk_loses_a_record_to_the_logger(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "specprefill_agents.audit"):
        JsonlAudit("/dev/full").record("decision", {"name": "grep"})
    assert "No space left" in caplog.text


def test_half_a_line_on_a_disk_that_fills_up_is_lost_and_the_next_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path, write = tmp_path / "audit.jsonl", os.write
    log = JsonlAudit(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[: len(data) // 2]))
        log.record("half", {"config": "f", "settings": {}})
    log.record("whole", {"config": "f", "settings": {}})
    assert [record["event"] for record in read_audit(path)][-2:] == ["config", "whole"]
    assert "only a part" in caplog.text


def test_a_file_that_cannot_be_set_aside_grows_on(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    (tmp_path / "audit.jsonl.1" / "in the way").mkdir(parents=True)
    log = JsonlAudit(path, max_bytes=100, keep=1)
    for number in range(5):
        log.record("decision", {"number": number, "pad": "x" * 80})
    assert [json.loads(line)["number"] for line in path.read_text(encoding="ascii").splitlines()] == list(range(5))


@pytest.mark.parametrize(("setting", "value"), [("max_bytes", 0), ("max_bytes", 1.5), ("keep", 0), ("keep", True)])
def test_a_wrong_setting_is_named(tmp_path: Path, setting: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{setting}="):
        JsonlAudit(tmp_path / "audit.jsonl", **{setting: value})
