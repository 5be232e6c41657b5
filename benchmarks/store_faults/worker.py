"""A process that steps through conversations over a shared store, beginning anew now and then, and says what it sent."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

from benchmarks.crash.worker import Job, Task, digest, tasks
from benchmarks.evaluate import query_at, segments_of, trusted
from benchmarks.loops.policies import results_in, with_results
from benchmarks.loops.requests import Message, turns
from specprefill_agents import CompressionResult, Compressor, Originals, Turn
from specprefill_agents.observe.audit import SilentAudit
from specprefill_agents.session.sessions import Steps
from specprefill_agents.session.shared import SessionStore
from specprefill_agents.storage.redis_rows import RedisRows
from specprefill_agents.storage.redis_server import RedisServer

Announce: TypeAlias = Callable[[Mapping[str, Any]], None]

SECRET = b"the secret of a benchmark"
WAIT_S, PAUSE_S = 0.1, 0.2
"""Short, so that many faults find the server in use."""


GENERATION = 60
"""After so many conversations a worker goes on to new scores and new decisions, so that there is always something to write."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a conversation has come to when its target is asked: all messages, and all turns of the session so far."""

    messages: Sequence[Message]
    turns: tuple[Turn, ...]


def requests_of(task: Task) -> list[Request]:
    """Every request of a run; the turn of each has the results that are new with it."""
    found, so_far, seen = list[Request](), tuple[Turn, ...](), 0
    for turn in turns(task.run):
        segments = segments_of(turn.messages, results_in(turn.messages))
        so_far = (*so_far, Turn(tuple(segments[seen:]), query_at(turn.messages)))
        seen = len(segments)
        found.append(Request(turn.messages, so_far))
    return found


def sent(session: Steps, request: Request) -> tuple[str, list[CompressionResult]]:
    """The digest of what is sent, and the results of all turns. Raises RuntimeError for a step that failed."""
    results = [trusted(result) for result in session.steps(request.turns)]
    segments = [segment for result in results for segment in result.segments]
    return digest(with_results(request.messages, results_in(request.messages), segments).messages), results


def lost(compressor: Compressor, request: Request, results: Sequence[CompressionResult]) -> int:
    """How many of the originals that are named to the model cannot be had."""
    assert compressor.originals is not None
    named = [
        (segment.text, decided.original_id)
        for turn, result in zip(request.turns, results, strict=True)
        for segment, decided in zip(turn.segments, result.segments, strict=True)
        if decided.original_id
    ]
    return sum(compressor.originals.get(name) != text for text, name in named)


def reference(job: Job, folder: Path) -> dict[tuple[str, int], str]:
    """What is sent without any store."""
    before = dict(os.environ)
    try:
        prepare(job, folder)
        return _undisturbed(job)
    finally:
        os.environ.clear()
        os.environ.update(before)


def _undisturbed(job: Job) -> dict[tuple[str, int], str]:
    found = {}
    for task in tasks(job):
        originals = Originals.in_memory(secret=SECRET)
        session = Compressor(job.draft, job.config(task.scorer), device="cpu", cache="memory", originals=originals).session(task.name)
        for step, request in enumerate(requests_of(task), start=1):
            found[task.name, step] = sent(session, request)[0]
    return found


@dataclass(frozen=True, slots=True)
class Worker:
    """Calling it is what each process does, until killed; `url` is where the store is, or not."""

    job: Job
    folder: Path
    url: str

    def __call__(self, index: int, announced: Connection) -> None:
        """Work for ever."""
        prepare(self.job, self.folder)
        with (self.folder / "workers.err").open("ab", buffering=0) as errors:
            os.dup2(errors.fileno(), sys.stderr.fileno())
        random, every = Random(index), tasks(self.job)
        cycle = 0
        while True:
            cycle += 1
            self.converse(random.choice(every), random, cycle, lambda event: announced.send_bytes(json.dumps(event).encode()))

    def converse(self, task: Task, random: Random, cycle: int, announce: Announce) -> None:
        """Step through a run as another process would that has nothing in memory; begin so again in the middle.

        Workers of one generation step the same conversations.
        """
        generation = cycle // GENERATION
        server = RedisServer(self.url, timeout_s=WAIT_S, connect_timeout_s=WAIT_S, pause_s=PAUSE_S, audit=SilentAudit())
        cache = RedisRows(server, secret=SECRET, tenant=f"{generation}")
        compressor = Compressor(
            self.job.draft,
            self.job.config(task.scorer),
            device="cpu",
            cache=cache,
            originals=Originals.on_redis(server, secret=SECRET),
            audit=SilentAudit(),
        )
        store = SessionStore(server, compressor, secret=SECRET)
        session = store.session(f"{task.name} {generation}")
        for step, request in enumerate(requests_of(task), start=1):
            if random.random() < 0.2:
                session = store.session(session.conversation_id)
            try:
                made, results = sent(session, request)
                missing = lost(compressor, request, results)
            except Exception as error:
                announce({"event": "failed", "task": task.name, "step": step, "error": f"{type(error).__name__}: {error}"})
                continue
            announce({"event": "step", "task": task.name, "step": step, "digest": made, "lost": missing})
        rows = [cache.stats, store.rows.stats]
        counts = {name: sum(getattr(one, name) for one in rows) for name in ("hits", "stores", "damaged")}
        stats = server.stats
        announce({"event": "end", **counts, "asked": stats.asked, "failed": stats.failed, "skipped": stats.skipped})
        server.close()


def prepare(job: Job, folder: Path) -> None:
    """Set the folders and threads of this process."""
    os.environ |= variables(folder)
    if job.needs_draft:
        from specprefill_agents.draft.loading import set_threads

        set_threads(1)


def variables(folder: Path) -> dict[str, str]:
    """The environment of processes that share `folder`: its cache, and what it has of a made draft."""
    home = {"SPECPREFILL_HOME": str(folder / "home")} if (folder / "home").is_dir() else {}
    return {"SPECPREFILL_CACHE_DIR": str(folder / "cache"), **home}
