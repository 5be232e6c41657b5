"""Conversations from several processes over one Redis server that is killed, emptied, filled, frozen, delayed and corrupted.

    python -m benchmarks.store_faults --seconds 120 --processes 3 --out benchmarks/results/store-faults.json

Workers step through agent runs; scores, originals and decisions are on the server, and now and then a worker begins in the
middle of a conversation with nothing in memory. Meanwhile one fault after the other, chosen at random, befalls the server.
No step may fail, every request must have the bytes of a run without a store, and every original that it names must be had.
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
from benchmarks.crash.yard import DRAFT_MODULES
from benchmarks.machine import machine_kind, made_by, origin, shown_command, versions
from benchmarks.made.draft import write_tiny_draft, write_tiny_preset
from benchmarks.results import write_document
from benchmarks.settings import named
from benchmarks.store_faults.disturbing import Times, add_arguments, disturbed
from benchmarks.store_faults.faults import FAULTS
from benchmarks.store_faults.server import LocalServer
from benchmarks.store_faults.worker import Worker, reference
from benchmarks.tables import table
from specprefill_agents import SpecPrefillError

SCHEMA = 1
LONGEST_S = 1.5
"""Of a fault, and of the calm after it."""


@dataclass
class Tally:
    """Counts, and what went wrong in words. `expected` has the digest of each request, by task and step."""

    expected: Mapping[tuple[str, int], str]
    faults: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def note(self, event: Mapping[str, Any]) -> None:
        """Add one event of a worker."""
        if event["event"] == "end":
            self.counts["conversations"] += 1
            for name in ("hits", "stores", "damaged", "asked", "failed", "skipped"):
                self.counts[name] += event[name]
            return
        if event["event"] == "step":
            self.counts["steps"] += 1
            self.counts["lost"] += event["lost"]
            if event["digest"] == self.expected[event["task"], event["step"]]:
                return
        self.counts["wrong_bytes" if event["event"] == "step" else "failed_steps"] += 1
        self.wrong.append(json.dumps(event))

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong, and something was done."""
        bad = sum(self.counts[name] for name in ("failed_steps", "wrong_bytes", "lost"))
        return not (bad or self.wrong) and self.counts["steps"] > 0


def measure(job: Job, processes: int, faults: Sequence[str], seconds: float, command: str) -> dict[str, Any]:
    """The run without a store, then the one with all that happens to it; returns the document."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="sp-", ignore_cleanup_errors=True)))
        if job.needs_draft:
            write_tiny_draft(folder / "draft")
            write_tiny_preset(folder / "draft", folder / "home")
            job = replace(job, draft=str(folder / "draft"))
        tally = Tally(reference(job, folder))
        server = stack.enter_context(LocalServer(folder, appendonly="yes"))
        preload = [Worker.__module__, *(DRAFT_MODULES if job.needs_draft else ())]
        fleet = stack.enter_context(Fleet(Worker(job, folder, server.url), processes, preload))
        started = time.perf_counter()
        random = Random(job.seed)
        chosen = {name: partial(FAULTS[name], server, random) for name in faults}
        disturbed(fleet, tally, chosen, random, Times(seconds, LONGEST_S))
        with server.client() as admin:
            version = str(admin.info("server")["redis_version"])
        return {
            "schema": SCHEMA,
            "benchmark": "store_faults",
            **made_by(command),
            "settings": {"sets": job.sets, "runs_per_set": job.count, "scorers": job.scorers, "processes": processes, "seed": job.seed},
            "machine": machine_kind(),
            "versions": {**versions(), "redis-server": version},
            "reference_steps": len(tally.expected),
            "seconds": round(time.perf_counter() - started, 1),
            "faults": dict(tally.faults),
            "counts": {name: tally.counts[name] for name in COUNTS},
            "wrong": tally.wrong,
            "is_sound": tally.is_sound,
        }


COUNTS = ("conversations", "steps", "failed_steps", "wrong_bytes", "lost", "hits", "stores", "damaged", "asked", "failed", "skipped")
"""In the order of the table; from `hits` on of conversations that came to their end."""


def markdown(document: Mapping[str, Any]) -> str:
    """The document in words."""
    machine, settings = document["machine"], document["settings"]
    heading = (
        f"{origin(document['command'], document['commit'])}\n"
        f"on {machine['processor']}, {machine['cores']} cores; {settings['processes']} processes, "
        f"scorers {', '.join(settings['scorers'])}, redis-server {document['versions']['redis-server']}, {document['seconds']} s"
    )
    tables = [table(list(document[name]), [list(document[name].values())]) for name in ("faults", "counts")]
    return "\n\n".join([heading, *tables, *document["wrong"]])


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store_faults", description=(__doc__ or "").split("\n\n")[0])
    add_arguments(parser)
    parser.add_argument("--scorers", default="bm25,key_index", help="of which those with a draft get a tiny one (default: %(default)s)")
    parser.add_argument("--faults", default=",".join(FAULTS), help="what happens (default: all)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, store and print; returns the exit status: 1 when something was wrong, 2 when nothing could be run."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parse(given)
    try:
        job = Job.asked(options, named("scorers", options.scorers, SCORERS))
        faults = named("faults", options.faults, tuple(FAULTS))
        document = measure(job, options.processes, faults, options.seconds, shown_command("benchmarks.store_faults", given))
    except (ValueError, OSError, RuntimeError, SpecPrefillError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.out:
        write_document(document, options.out)
    print(markdown(document))
    return 0 if document["is_sound"] else 1


if __name__ == "__main__":
    sys.exit(main())
