"""The process that is killed: steps through agent runs, over stores that it shares with others, and says what it sent.

A step is announced before the session is saved, as an agent sends a request before its checkpointer writes: so a kill may
fall between the two, and the step must come out the same again. What is computed anew in every cycle goes under the cycle's
own name into the score cache, so that there is always something to write; workers of one cycle share it. Originals are
shared by all.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks import data
from benchmarks.evaluate import query_at, segments_of, trusted
from benchmarks.loops.policies import results_in, with_results
from benchmarks.loops.requests import Message, Turn, message_part, turns
from benchmarks.settings import DRAFTLESS, named
from specprefill_agents import CompressionConfig, CompressionResult, Compressor, Session
from specprefill_agents.storage.directory import cache_directory
from specprefill_agents.storage.score_cache import ScoreCache

Announce: TypeAlias = Callable[[Mapping[str, Any]], None]


SCORERS = (*sorted(DRAFTLESS), "key_index", "fused")


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker does. `cycles` is how often it goes through its tasks, None for no end; `more` are settings of the compressor."""

    directory: str
    sets: tuple[str, ...]
    count: int | None
    seed: int
    scorers: tuple[str, ...]
    draft: str
    state: str
    index: int = 0
    processes: int = 1
    cycles: int | None = None
    more: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def asked(cls, options: argparse.Namespace, scorers: Sequence[str], draft: str = "auto", more: tuple[tuple[str, Any], ...] = ()) -> Job:
        """The job of a command line that names `data`, `sets`, `n` and `seed`. Raises ValueError for sets that are no agent runs."""
        sets = named("sets", options.sets, data.TRAJECTORY_SETS)
        return cls(str(options.data), sets, options.n, options.seed, tuple(scorers), draft, state="", more=more)

    @property
    def needs_draft(self) -> bool:
        """Whether any scorer reads with a draft."""
        return bool(set(self.scorers) - DRAFTLESS)

    def config(self, scorer: str) -> CompressionConfig:
        """Settings of a compressor; a failure must be seen, never become a kept original."""
        return CompressionConfig.from_dict({"scorer": scorer, "min_tokens": 0, "timeout_s": None, "on_error": "raise", **dict(self.more)})

    def compressor(self, scorer: str, cycle: int) -> Compressor:
        """One whose stores are on disk."""
        cache = ScoreCache(cache_directory(), tenant=f"cycle {cycle}")
        return Compressor(self.draft, self.config(scorer), device="cpu", cache=cache)


@dataclass(frozen=True, slots=True)
class Task:
    """One run under one scorer."""

    scorer: str
    run: data.Trajectory

    @property
    def name(self) -> str:
        """`scorer/run`."""
        return f"{self.scorer}/{self.run.id}"


def tasks(job: Job) -> list[Task]:
    """Every task, beginning at another one for each worker, so that they meet in the stores now and then."""
    runs = [run for name in job.sets for run in data.sample(data.load_runs(Path(job.directory), name), job.count, job.seed)]
    found = [Task(scorer, run) for run in runs for scorer in job.scorers]
    start = job.index * len(found) // job.processes
    return found[start:] + found[:start]


def work(job: Job, announce: Announce) -> None:
    """Go on where the worker of this index was, or begin."""
    state, every = Path(job.state), tasks(job)
    progress = state / f"progress-{job.index}.json"
    cycle, position = json.loads(progress.read_text(encoding="utf-8")) if progress.exists() else (0, 0)
    while job.cycles is None or cycle < job.cycles:
        compressors = {scorer: job.compressor(scorer, cycle) for scorer in job.scorers}
        while position < len(every):
            task, file = every[position], state / f"session-{job.index}-{cycle}-{position}.json"
            converse(task, compressors[task.scorer], file, lambda event: announce({**event, "task": task.name, "cycle": cycle}))  # noqa: B023 (called before the next turn)
            position += 1
            save(progress, [cycle, position])
            file.unlink(missing_ok=True)
        cycle, position = cycle + 1, 0


def converse(task: Task, compressor: Compressor, file: Path, announce: Announce) -> None:
    """Step through a run, with the session in `file` if there is one."""
    session = compressor.session(task.run.id)
    if file.exists():
        session = Session.from_dict(json.loads(file.read_text(encoding="utf-8")), compressor)
    announce({"event": "begin", "decisions": _decisions(session)})
    seen = 0
    for step, turn in enumerate(turns(task.run), start=1):
        before = _decisions(session)
        indices = results_in(turn.messages)
        result = trusted(session.step(segments_of(turn.messages, indices), query_at(turn.messages)))
        counts = {"arrived": len(indices) - seen, "made": _decisions(session) - before, "lost": _lost(compressor, turn, indices, result)}
        sent = with_results(turn.messages, indices, result.segments).messages
        announce({"event": "step", "step": step, "digest": digest(sent), **counts})
        save(file, session.to_dict())
        seen = len(indices)


def digest(messages: Sequence[Message]) -> str:
    """16 hex digits of the bytes that are sent."""
    state = hashlib.sha256()
    for message in messages:
        wire = message_part(message).wire.encode("utf-8", "surrogatepass")
        state.update(f"{len(wire)}:".encode() + wire)
    return state.hexdigest()[:16]


def save(file: Path, value: object) -> None:
    """Write in one step: a kill leaves the old file or the new one."""
    written = file.with_name(f".{file.name}.part")
    written.write_text(json.dumps(value), encoding="utf-8")
    written.replace(file)


def _decisions(session: Session) -> int:
    return len(session.to_dict()["decisions"])


def _lost(compressor: Compressor, turn: Turn, indices: Sequence[int], result: CompressionResult) -> int:
    """How many of the originals that are named to the model cannot be had."""
    found = 0
    for index, decided in zip(indices, result.segments, strict=True):
        if decided.original_id and compressor.originals:
            found += compressor.originals.get(decided.original_id) != turn.messages[index]["content"]
    return found
