"""Kill -9 at random moments during steps, with several processes that share the stores: no wrong byte, no exception.

    python -m benchmarks.crash --kills 200 --processes 4 --out benchmarks/results/crash.json

Workers step through agent runs, with the score cache and the originals on disk, and sessions saved at every step. One after
another, at a moment chosen at random, is killed and started again. Whatever a worker sends, before or after, is compared
with the bytes of a run that nobody killed. The scorers are BM25, which needs no draft, and the key index over a tiny random
draft: fast, so that a large share of the time goes into the stores.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.crash.fleet import Fleet
from benchmarks.crash.tally import Reference, Tally
from benchmarks.crash.worker import SCORERS, Job
from benchmarks.crash.yard import Yard
from benchmarks.machine import ROOT, machine_kind, made_by, origin, shown_command, versions
from benchmarks.made.draft import write_tiny_draft, write_tiny_preset
from benchmarks.results import write_document
from benchmarks.settings import named, setting
from benchmarks.tables import table
from specprefill_agents import SpecPrefillError

SCHEMA = 1
STUCK_S = 120.0
"""Without any event for so long, workers count as stuck."""
MOST_EXCEPTIONS = 20
"""After so many the run ends."""
PROGRESS_KILLS = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """How often and when to kill: after 1 to `most_steps` further steps of the one chosen, and up to `pause_s` more."""

    kills: int
    processes: int
    seed: int
    most_steps: int = 6
    pause_s: float = 0.2


def undisturbed(yard: Yard) -> Reference:
    """What one worker sends that nobody kills. Raises RuntimeError when it fails."""
    reference: Reference = {}
    with yard.fleet(1) as fleet:
        while events := list(fleet.events(STUCK_S)):
            for _, event in events:
                if event["event"] == "step":
                    reference[event["task"], event["step"]] = event["digest"]
                elif event["event"] == "ended" and event["status"] == 0:
                    return reference
                elif event["event"] == "ended":
                    raise RuntimeError(f"the run without kills failed:\n{yard.errors()}")
    raise RuntimeError(f"the run without kills made no step in {STUCK_S:g} s")


def disturbed(yard: Yard, plan: Plan, reference: Reference) -> Tally:
    """Kill and restart as planned; in the end every worker must come through a few steps more."""
    tally, random = Tally(reference), Random(plan.seed)
    with yard.fleet(plan.processes) as fleet:
        while tally.kills < plan.kills and len(tally.exceptions) < MOST_EXCEPTIONS:
            victim = random.randrange(plan.processes)
            _listen(fleet, tally, {victim: random.randint(1, plan.most_steps)})
            if plan.pause_s:
                for worker, event in fleet.until(time.monotonic() + random.uniform(0, plan.pause_s)):
                    _note(fleet, tally, worker, event)
            for worker, event in fleet.kill(victim):
                tally.note(worker, event)
            tally.kills += 1
            fleet.restart(victim)
            tally.restarts += 1
            if tally.kills % PROGRESS_KILLS == 0:
                print(f"{tally.kills} kills, {tally.steps} steps, {len(tally.wrong)} wrong", file=sys.stderr, flush=True)
        _listen(fleet, tally, dict.fromkeys(range(plan.processes), plan.most_steps))
    return tally


def _listen(fleet: Fleet, tally: Tally, wanted: dict[int, int]) -> None:
    """Note events until each worker in `wanted` has made so many steps."""
    left = dict(wanted)
    while any(count > 0 for count in left.values()) and len(tally.exceptions) < MOST_EXCEPTIONS:
        heard = False
        for worker, event in fleet.events(STUCK_S):
            heard = True
            _note(fleet, tally, worker, event)
            if event["event"] == "step" and worker in left:
                left[worker] -= 1
        if not heard:
            tally.exceptions.append(f"no worker made a step in {STUCK_S:g} s")
            return


def _note(fleet: Fleet, tally: Tally, worker: int, event: Mapping[str, Any]) -> None:
    tally.note(worker, event)
    if event["event"] == "ended":
        fleet.restart(worker)


def measure(plan: Plan, job: Job, command: str) -> dict[str, Any]:
    """The run without kills, then the one with them; returns the document."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="specprefill-crash-", ignore_cleanup_errors=True)))
        if job.needs_draft:
            draft = folder / "draft"
            write_tiny_draft(draft)
            write_tiny_preset(draft, folder / "home")
            job = replace(job, draft=str(draft))
        reference = undisturbed(Yard(folder, "undisturbed", replace(job, cycles=1)))
        print(f"{len(reference)} steps without kills", file=sys.stderr)
        yard = Yard(folder, "shared", replace(job, processes=plan.processes))
        started = time.perf_counter()
        tally = disturbed(yard, plan, reference)
        return {
            "schema": SCHEMA,
            "benchmark": "crash",
            **made_by(command),
            "settings": {**asdict(plan), "sets": job.sets, "runs_per_set": job.count, "scorers": job.scorers, "more": dict(job.more)},
            "machine": machine_kind(),
            "versions": versions(),
            "reference_steps": len(reference),
            "seconds": round(time.perf_counter() - started, 1),
            "counts": tally.counts,
            "wrong": tally.wrong,
            "exceptions": tally.exceptions,
            "errors": yard.errors() if tally.exceptions else "",
            "stores": {name: asdict(found) for name, found in yard.verified().items()},
        }


def is_sound(document: Mapping[str, Any]) -> bool:
    """Whether nothing was wrong, nobody failed, nothing was lost, and no row of a store is damaged."""
    counts = document["counts"]
    damaged = sum(store["damaged"] + store["foreign"] for store in document["stores"].values())
    return not (counts["wrong"] or counts["exceptions"] or counts["lost"] or damaged)


def markdown(document: Mapping[str, Any]) -> str:
    """The document in words."""
    machine, settings = document["machine"], document["settings"]
    heading = (
        f"{origin(document['command'], document['commit'])}\n"
        f"on {machine['processor']}, {machine['cores']} cores; {settings['processes']} processes, "
        f"scorers {', '.join(settings['scorers'])}, {document['seconds']} s"
    )
    counts = table(list(document["counts"]), [list(document["counts"].values())])
    names = list(next(iter(document["stores"].values())))
    stores = table(["store", *names], [[name, *found.values()] for name, found in document["stores"].items()])
    faults = [f"- {fault}" for fault in [*document["wrong"], *document["exceptions"]]]
    return "\n\n".join([heading, counts, stores, *(["\n".join(faults)] if faults else []), *filter(None, [document["errors"]])])


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crash", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "eval", help="folder of the evaluation files")
    parser.add_argument("--sets", default="agentdojo,sweagent", help="agent sets (default: %(default)s)")
    parser.add_argument("--n", type=int, default=8, help="runs per set, spread evenly (default: %(default)s)")
    parser.add_argument("--scorers", default="bm25,key_index", help="of which those with a draft get a tiny one (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=200, help="(default: %(default)s)")
    parser.add_argument("--processes", type=int, default=4, help="workers at a time (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of who is killed when, and of the sample")
    parser.add_argument(
        "--pause", type=float, default=0.2, help="longest time between a step and a kill, in seconds (default: %(default)s)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the compressor, as benchmarks.loops")
    parser.add_argument("--out", type=Path, help="JSON file of the results")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, store and print; returns the exit status: 1 when something was wrong, 2 when nothing could be run."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parse(given)
    try:
        job = Job.asked(options, named("scorers", options.scorers, SCORERS), more=tuple(map(setting, options.set)))
        for scorer in job.scorers:
            job.config(scorer)
        document = measure(
            Plan(options.kills, options.processes, options.seed, pause_s=options.pause), job, shown_command("benchmarks.crash", given)
        )
    except (ValueError, OSError, RuntimeError, SpecPrefillError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.out:
        write_document(document, options.out)
    print(markdown(document))
    return 0 if is_sound(document) else 1


if __name__ == "__main__":
    sys.exit(main())
