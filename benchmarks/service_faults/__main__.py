"""Conversations from several processes whose scorer is a service that is killed, frozen, drained, delayed, and answers nonsense.

    python -m benchmarks.service_faults --seconds 120 --processes 3 --out benchmarks/results/service-faults.json
    python -m benchmarks.service_faults --engine ray --seconds 60      # replicas on Ray Serve, one of which is killed now and then

Workers step through agent runs, with decisions and originals on a Redis server of their own; most ask the service through a
proxy that can misbehave. One fault after the other, chosen at random, befalls the service or everything at once. No step may
fail; every message that is sent must have the bytes that the scorer in the same process leads to, or be whole, and be said to
be so in an audit record; and what a conversation has sent must never change, whichever process goes on with it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.crash.fleet import Fleet
from benchmarks.crash.worker import SCORERS, Job
from benchmarks.machine import machine_kind, made_by, origin, shown_command, versions
from benchmarks.made.draft import write_tiny_draft, write_tiny_preset
from benchmarks.results import write_document
from benchmarks.service_faults.faults import FAULTS, Scene
from benchmarks.service_faults.proxy import Proxy
from benchmarks.service_faults.service import LocalService
from benchmarks.service_faults.worker import Pairs, Worker, reference
from benchmarks.settings import named
from benchmarks.store_faults.disturbing import Times, add_arguments, disturbed
from benchmarks.store_faults.server import LocalServer
from benchmarks.tables import table
from specprefill_agents import SpecPrefillError

SCHEMA = 1
LONGEST_S = 4.0
"""Of a fault, and of the calm after it."""
TINY = "tiny"
CONTEXT_FREE = (("repeats", False), ("recall_tokens", 0))
"""So that what is sent of a text does not depend on what was sent of others: some of them pass whole here."""
COUNTS = ("conversations", "steps", "failed_steps", "wrong_bytes", "moved_prefixes", "unrecorded", "compressed", "passed")
"""In the order of the table; the last two are messages, those that went out shortened, and whole for want of a scorer."""


@dataclass
class Tally:
    """Counts, and what went wrong in words. `expected` has the digests of each message of a task, as it should be, and whole."""

    expected: Mapping[str, Pairs]
    faults: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    sent: dict[str, list[str]] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)

    def note(self, event: Mapping[str, Any]) -> None:
        """Add one event of a worker."""
        if event["event"] != "step":
            self._bad("failed_steps", event)
            return
        self.counts["steps"] += 1
        self.seconds.append(event["seconds"])
        self.reasons.update(event["reasons"])
        before, now = self.sent.get(event["conversation"], []), event["messages"]
        self.counts["conversations"] += not before
        self.sent[event["conversation"]] = now
        if now[: len(before)] != before:
            self._bad("moved_prefixes", event)
        for index, (found, (shortened, whole)) in enumerate(zip(now, self.expected[event["task"]], strict=False)):
            if found not in (shortened, whole):
                self._bad("wrong_bytes", event)
            elif index >= len(before) and shortened != whole:
                self.counts["passed" if found == whole else "compressed"] += 1
                if found == whole and index not in event["recorded"] and not event["is_anew"]:
                    self._bad("unrecorded", event)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong, and something was compressed."""
        return not self.wrong and self.counts["compressed"] > 0

    def _bad(self, what: str, event: Mapping[str, Any]) -> None:
        self.counts[what] += 1
        self.wrong.append(f"{what}: {json.dumps({name: value for name, value in event.items() if name != 'messages'})}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What befalls whom: `faults` of the `engine`, for so many seconds, `processes` workers that do `job`."""

    job: Job
    engine: str
    faults: Sequence[str]
    processes: int
    seconds: float


def measure(plan: Plan, command: str) -> dict[str, Any]:
    """The run with the scorer in the same process, then the one with all that happens to the service; returns the document."""
    job, random = plan.job, Random(plan.job.seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="sp-", ignore_cleanup_errors=True)))
        if job.draft == TINY and job.needs_draft:
            write_tiny_draft(folder / "draft")
            write_tiny_preset(folder / "draft", folder / "home")
            job = replace(job, draft=str(folder / "draft"))
        tally = Tally(reference(job, folder))
        service = stack.enter_context(LocalService(folder, job.draft, job.scorers[0], plan.engine))
        while not service.is_ready():
            time.sleep(0.1)
        store = stack.enter_context(LocalServer(folder, appendonly="yes"))
        proxy = stack.enter_context(Proxy(service.port, random).running())
        worker = Worker(job, folder, store.url, proxy.url, service.url)
        fleet = stack.enter_context(Fleet(worker, plan.processes, [Worker.__module__]))
        scene, known = Scene(service, proxy, store, fleet, tally, plan.processes), FAULTS[plan.engine]
        started = time.perf_counter()
        chosen = {name: partial(known[name], scene, random) for name in plan.faults}
        disturbed(fleet, tally, chosen, random, Times(plan.seconds, LONGEST_S))
        seconds = time.perf_counter() - started
    return {
        "schema": SCHEMA,
        "benchmark": "service_faults",
        **made_by(command),
        "settings": {
            "engine": plan.engine,
            "processes": plan.processes,
            "sets": job.sets,
            "runs_per_set": job.count,
            "scorer": job.scorers[0],
            "draft": plan.job.draft,
            "seed": job.seed,
        },
        "machine": machine_kind(),
        "versions": versions(),
        "seconds": round(seconds, 1),
        "faults": dict(tally.faults),
        "counts": {name: tally.counts[name] for name in COUNTS},
        "reasons": dict(tally.reasons.most_common()),
        "slowest_step_s": max(tally.seconds, default=None),
        "wrong": tally.wrong,
        "is_sound": tally.is_sound,
    }


def markdown(document: Mapping[str, Any]) -> str:
    """The document in words."""
    machine, settings = document["machine"], document["settings"]
    heading = (
        f"{origin(document['command'], document['commit'])}\n"
        f"on {machine['processor']}, {machine['cores']} cores; {settings['processes']} processes, {settings['engine']}, "
        f"{settings['scorer']} over {settings['draft']}, {document['seconds']} s, slowest step {document['slowest_step_s']} s"
    )
    tables = [table(list(document[name]), [list(document[name].values())]) for name in ("faults", "counts")]
    tables.append(table(["passed for", "tool outputs"], [[name, count] for name, count in document["reasons"].items()]))
    return "\n\n".join([heading, *tables, *document["wrong"]])


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service_faults", description=(__doc__ or "").split("\n\n")[0])
    add_arguments(parser)
    parser.add_argument("--engine", choices=tuple(FAULTS), default="uvicorn", help="of the service (default: %(default)s)")
    parser.add_argument("--draft", default=TINY, help=f"a model by its name; {TINY}: a random one of two layers (default: %(default)s)")
    parser.add_argument("--scorer", default="fused", help="of the service (default: %(default)s)")
    parser.add_argument("--faults", help="what happens, names separated by commas (default: all)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, store and print; returns the exit status: 1 when something was wrong, 2 when nothing could be run."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parse(given)
    try:
        job = Job.asked(options, named("scorer", options.scorer, SCORERS), options.draft, CONTEXT_FREE)
        known = tuple(FAULTS[options.engine])
        faults = named("faults", options.faults, known) if options.faults else known
        plan = Plan(job, options.engine, faults, options.processes, options.seconds)
        document = measure(plan, shown_command("benchmarks.service_faults", given))
    except (ValueError, OSError, RuntimeError, SpecPrefillError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.out:
        write_document(document, options.out)
    print(markdown(document))
    return 0 if document["is_sound"] else 1


if __name__ == "__main__":
    sys.exit(main())
