"""One fault after the other befalls what workers use, while all that they announce is noted."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol

from benchmarks.crash.fleet import Fleet
from benchmarks.machine import ROOT

MOST_WRONG = 20
"""After so many the run ends."""


class Noting(Protocol):
    """Counts of what was announced and of what befell, and what went wrong in words."""

    faults: Counter[str]
    counts: Counter[str]
    wrong: list[str]

    def note(self, event: Mapping[str, Any]) -> None:
        """Add one event of a worker."""
        ...


@dataclass(frozen=True, slots=True)
class Times:
    """How long to go on, at least, and the longest that a fault or the calm after it may take; all in seconds."""

    seconds: float
    longest_s: float


def disturbed(
    fleet: Fleet, tally: Noting, faults: Mapping[str, Callable[[], AbstractContextManager[None]]], random: Random, times: Times
) -> None:
    """One fault after the other for so long; each of them at least once."""
    while not (tally.counts["steps"] or tally.wrong):
        listen(fleet, tally, 0.1)
    end, due = time.monotonic() + times.seconds, list(faults)
    while (due or time.monotonic() < end) and len(tally.wrong) < MOST_WRONG:
        name = due.pop() if due else random.choice(list(faults))
        tally.faults[name] += 1
        with faults[name]():
            listen(fleet, tally, random.uniform(0, times.longest_s))
        listen(fleet, tally, random.uniform(0, times.longest_s))


def listen(fleet: Fleet, tally: Noting, seconds: float) -> None:
    """Note what is announced meanwhile; a worker that ended is started again."""
    for worker, event in fleet.until(time.monotonic() + seconds):
        tally.note({"step": 0, "task": "", **event})
        if event["event"] == "ended":
            fleet.restart(worker)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The runs that workers step through, how many workers, for how long, and where results go."""
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "eval", help="folder of the evaluation files")
    parser.add_argument("--sets", default="agentdojo,sweagent", help="agent sets (default: %(default)s)")
    parser.add_argument("--n", type=int, default=4, help="runs per set, spread evenly (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=120.0, help="at least; every fault comes once (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=3, help="workers (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of what happens when, and of the sample")
    parser.add_argument("--out", type=Path, help="JSON file of the results")
