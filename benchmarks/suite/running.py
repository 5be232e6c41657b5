"""Runs benchmarks one after the other, each in a process of its own, and leaves out what is finished."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from benchmarks.data import SUFFIXES
from benchmarks.machine import ROOT, git_commit, machine_kind, shown_command, versions
from benchmarks.suite.journal import Journal, Record, digest, digests
from benchmarks.suite.plan import Benchmark, Where
from benchmarks.suite.sources import code_key

SET_ASIDE = ".old"
"""Put behind the name of a result that was measured under other conditions; only the last one is kept."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Suite:
    """Where benchmarks are run, and to whom their progress is told."""

    where: Where
    say: Say

    def run(self, benchmarks: Sequence[Benchmark]) -> list[str]:
        """Run what is not finished; the names of those that failed. One that fails does not stop the next.

        Raises ValueError, before anything is begun, when one reads evaluation data and the folder holds none.
        """
        if any(run.reads_data for one in benchmarks for run in one.runs) and not _data(self.where.data):
            raise ValueError(f"no evaluation data in {self.where.data}; name their folder by --data")
        waiting = [one for one in benchmarks if not self._told_finished(one)]
        self.say(f"{len(waiting)} to run, about {sum(one.minutes for one in waiting):.0f} minutes")
        failed = []
        for number, one in enumerate(waiting, start=1):
            self.say(f"[{number} of {len(waiting)}] {one.name}: {one.about} (about {one.minutes:g} min)")
            if not self._measured(one):
                failed.append(one.name)
        return failed

    def is_finished(self, one: Benchmark) -> bool:
        """Whether its results are there, as its last run left them, under the present commands, code, data, machine and versions."""
        record = Journal(self.where.results).get(one.name)
        if record is None or not record.files or record.files != digests(self.where.results, one.results):
            return False
        return record.key == self._key(one)

    def _told_finished(self, one: Benchmark) -> bool:
        is_finished = self.is_finished(one)
        if is_finished:
            self.say(f"{one.name}: finished already")
        return is_finished

    def _measured(self, one: Benchmark) -> bool:
        """Run all commands of one benchmark; whether they ended well and left their results."""
        journal, conditions = Journal(self.where.results), self._conditions(one)
        before = journal.get(one.name)
        goes_on = before is not None and before.conditions == conditions
        if not goes_on:
            self._set_aside(one)
        seconds = before.seconds if before is not None and goes_on and not before.files else 0.0
        record = Record(conditions, self._key(one), git_commit(), datetime.now(timezone.utc).date().isoformat(), seconds)
        journal.put(one.name, record)
        started = time.perf_counter()
        status = 0
        try:
            for arguments in one.commands(self.where):
                self.say(f"  {shown_command(one.module, arguments)}")
                status = status or _status(one.module, arguments)
        finally:
            record = replace(record, seconds=round(seconds + time.perf_counter() - started, 1))
            journal.put(one.name, record)
        left = digests(self.where.results, one.results)
        if status == 0 and left is not None:
            journal.put(one.name, replace(record, files=left))
            self.say(f"  {record.seconds / 60:.1f} min")
            return True
        self.say(f"  FAILED with exit status {status}" if status else f"  FAILED: did not write {', '.join(one.results)}")
        return False

    def _set_aside(self, one: Benchmark) -> None:
        """Results of other conditions would be mixed with new ones, or refused."""
        for name in one.results:
            file = self.where.results / name
            if file.is_file():
                file.replace(file.with_name(name + SET_ASIDE))

    def _conditions(self, one: Benchmark) -> str:
        """Without rows per set, which cells know of themselves."""
        return digest([run.arguments for run in one.runs], self.where.device, machine_kind(), versions())

    def _key(self, one: Benchmark) -> str:
        data = data_key(self.where.data) if any(run.reads_data for run in one.runs) else ""
        counts = [self.where.count or run.count for run in one.runs]
        return digest(self._conditions(one), counts, code_key(one.module), data)


def data_key(directory: Path) -> str:
    """Digest of the evaluation data in a folder."""
    return digest(digests(directory, _data(directory)))


def _data(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.glob("*") if file.name.endswith(SUFFIXES))


def _status(module: str, arguments: Sequence[str]) -> int:
    """The exit status of a benchmark; its tables are not shown, since the report makes them from what it stores."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode
