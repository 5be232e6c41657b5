"""An agent's process: steps through conversations with a scorer that is elsewhere, goes on where it was, and says what it sent."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.crash.worker import Job, Task, digest, save, tasks
from benchmarks.loops.policies import results_in, with_results
from benchmarks.store_faults.worker import SECRET, Announce, prepare, requests_of, variables
from specprefill_agents import Compressor, Originals, ScoringError
from specprefill_agents.observe.audit import SilentAudit
from specprefill_agents.scoring.remote import Patience, RemoteScorer
from specprefill_agents.session.shared import SessionStore
from specprefill_agents.storage.redis_server import RedisServer

STORE_WAIT_S = 10.0
"""The store is none of the faults here, but for its restarts."""
PATIENCE = Patience(tries=2, failures=3, cooldown_s=1.0)
"""Short, so that many faults find the service in use."""
TIMEOUTS_S = (4.0, 10.0)
"""Of a step's scoring: shorter than what comes late, and longer."""
AGAIN_S = 0.5
PACE_S = 0.05
"""After a step: a model takes its time, and steps for which nobody is asked must not outnumber all others."""

Pairs = tuple[tuple[str, str], ...]
"""Digests of each message of a run, as it is sent when all goes well, and whole."""


class Recorded:
    """An audit log that remembers which calls' outputs were said to pass whole, and why."""

    def __init__(self) -> None:
        self.whole: dict[str, str] = {}

    def record(self, event: str, fields: Mapping[str, Any]) -> None:
        """Keep one record."""
        if event == "decision" and fields["outcome"] == "passthrough" and fields["fallback_reason"]:
            self.whole[str(fields["tool_call_id"])] = str(fields["fallback_reason"])


def reference(job: Job, folder: Path) -> dict[str, Pairs]:
    """What is sent of each task with the scorer in this process."""
    before = dict(os.environ)
    try:
        prepare(job, folder)
        return {task.name: _pairs(job, task) for task in tasks(job)}
    finally:
        os.environ.clear()
        os.environ.update(before)


def _pairs(job: Job, task: Task) -> Pairs:
    config = replace(job.config(task.scorer), on_error="raise")
    originals = Originals.in_memory(secret=SECRET)
    session = Compressor(job.draft, config, device="cpu", cache="memory", originals=originals).session(task.name)
    last = requests_of(task)[-1]
    segments = [segment for result in session.steps(last.turns) for segment in result.segments]
    sent = with_results(last.messages, results_in(last.messages), segments).messages
    return tuple((digest([one]), digest([whole])) for one, whole in zip(sent, last.messages, strict=True))


@dataclass(frozen=True, slots=True)
class Place:
    """Where the worker of an index is: in its `number`-th conversation, a run of `task`, whose last step that was sent is `step`."""

    file: Path
    number: int
    task: str
    step: int = 0

    @property
    def conversation(self) -> str:
        """Its name, which no other conversation has."""
        return f"{self.task} {self.file.stem} {self.number}"

    @classmethod
    def of(cls, file: Path, task: str) -> Place:
        """Where the process before was; where there was none, at the beginning of `task`."""
        return cls(file, *json.loads(file.read_text(encoding="utf-8"))) if file.exists() else cls(file, 0, task)

    def kept(self) -> Place:
        """The same, for the next process to find."""
        save(self.file, [self.number, self.task, self.step])
        return self


@dataclass(frozen=True, slots=True)
class Worker:
    """Calling it is what each process does, until killed. Every other worker asks the service directly, with the usual patience."""

    job: Job
    folder: Path
    store: str
    proxy: str
    service: str

    def __call__(self, index: int, announced: Connection) -> None:
        """Work for ever, from where the worker of this index was."""
        os.environ |= variables(self.folder)
        with (self.folder / "workers.err").open("ab", buffering=0) as errors:
            os.dup2(errors.fileno(), sys.stderr.fileno())
        random, every = Random(index), {task.name: task for task in tasks(self.job)}
        server = RedisServer(self.store, timeout_s=STORE_WAIT_S, connect_timeout_s=STORE_WAIT_S, pause_s=0.1, audit=SilentAudit())
        audit = Recorded()
        sessions = SessionStore(server, self.compressor(index, audit, Originals.on_redis(server, secret=SECRET)), secret=SECRET)
        place, is_anew = Place.of(self.folder / f"worker-{index}", random.choice(list(every))), True
        while True:
            converse(sessions, every[place.task], place, audit, is_anew, lambda event: announced.send_bytes(json.dumps(event).encode()))
            place, is_anew = Place(place.file, place.number + 1, random.choice(list(every))).kept(), False

    def compressor(self, index: int, audit: Recorded, originals: Originals) -> Compressor:
        """One whose scorer is the service; the impatient ones wait at their start until it is there."""
        is_direct = index % 2 == 1
        settings = self.job.config(self.service if is_direct else self.job.scorers[0])
        settings = replace(settings, timeout_s=TIMEOUTS_S[is_direct], on_error="passthrough")
        while True:
            try:
                scorer = None if is_direct else RemoteScorer(self.proxy, patience=PATIENCE)
                return Compressor(config=settings, scorer=scorer, cache="memory", audit=audit, originals=originals)
            except ScoringError:
                time.sleep(AGAIN_S)


def converse(sessions: SessionStore, task: Task, place: Place, audit: Recorded, is_anew: bool, announce: Announce) -> None:
    """Step through a run, from where it was; `is_anew` where an earlier process may have decided something."""
    session = sessions.session(place.conversation)
    for step, request in enumerate(requests_of(task), start=1):
        if step <= place.step:
            continue
        audit.whole.clear()
        started = time.perf_counter()
        try:
            segments = [segment for result in session.steps(request.turns) for segment in result.segments]
        except Exception as error:
            announce({"event": "failed", "task": task.name, "step": step, "error": f"{type(error).__name__}: {error}"})
            continue
        seconds, indices = time.perf_counter() - started, results_in(request.messages)
        announce(
            {
                "event": "step",
                "task": task.name,
                "conversation": place.conversation,
                "step": step,
                "messages": [digest([message]) for message in with_results(request.messages, indices, segments).messages],
                "recorded": [index for index in indices if request.messages[index]["tool_call_id"] in audit.whole],
                "reasons": list(audit.whole.values()),
                "is_anew": is_anew,
                "seconds": round(seconds, 3),
            }
        )
        place, is_anew = replace(place, step=step).kept(), False
        time.sleep(PACE_S)
