"""This library beside other compressors: on the same rows, budgets and draft weights, judged by one function, in one run.

    python -m benchmarks.peers --n 40,slow=5 --jobs 2 --out benchmarks/results/compare-smollm2.json --plot docs/compare.svg

A peer runs in an environment of its own, made on first use, behind a worker process without network. Its replies are kept
beside that environment, so an interrupted run goes on behind the last one; finished cells are kept in `--out`. What a
system costs at a budget is what it takes cold, at that budget alone. A peer that cannot be had here is listed as not
measured, with the cause.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import data
from benchmarks.machine import ROOT, shown_command
from benchmarks.peers import chart
from benchmarks.peers.counts import Counts
from benchmarks.peers.plan import NAMES, SETS, PeerHost, Plan
from benchmarks.peers.report import markdown
from benchmarks.peers.run import measure
from benchmarks.results import load
from benchmarks.settings import named
from specprefill_agents import SpecPrefillError
from specprefill_agents.draft.loading import choose_device, choose_dtype
from specprefill_agents.draft.registry import DEFAULT_DRAFT


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--systems", default=",".join(NAMES), help="default: %(default)s")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "eval", help="folder of the evaluation files")
    parser.add_argument("--sets", default=",".join(SETS), help="as in benchmarks.needles (default: %(default)s)")
    parser.add_argument("--n", help="rows: N,SET=N,SYSTEM=N,slow=N,slow/SET=N,SYSTEM/SET=N (default: all); slow: peers with a model")
    parser.add_argument("--keep", default="0.1,0.2,0.3,0.5", help="keep ratios (default: %(default)s)")
    parser.add_argument("--draft", default=DEFAULT_DRAFT, help="draft that all systems read with (default: %(default)s)")
    parser.add_argument("--dtype", default="auto", help="of peers' draft (default: %(default)s, as the library chooses)")
    parser.add_argument(
        "--weights", action="append", default=[], metavar="SYSTEM=WHERE", help="folder or hub name, for llmlingua2 and headroom"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sample and the random scorer")
    parser.add_argument("--min-tokens", type=int, help="as in benchmarks.needles: 0 for questions, the library's default for agent runs")
    parser.add_argument("--threads", type=int, default=1, help="of each system (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="cells measured at once (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="JSON file of the results; cells it holds are not measured again")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw recall against the share kept")
    parser.add_argument("--report", action="store_true", help="print the tables of --out, and measure nothing")
    return parser.parse_args(arguments)


def plan_of(options: argparse.Namespace) -> Plan:
    """The plan a command line asks for. Raises ValueError for what cannot be measured."""
    systems = named("systems", options.systems, NAMES)
    keeps = tuple(float(keep) for keep in options.keep.split(","))
    if not all(0 < keep <= 1 for keep in keeps):
        raise ValueError("--keep takes numbers in (0, 1]")
    if options.jobs < 1:
        raise ValueError("--jobs takes a number from 1 on")
    sets = tuple(data.expand(options.data, options.sets.split(",")))
    given = dict(one.split("=", 1) for one in options.weights if "=" in one)
    if len(given) < len(options.weights) or {*given} - {*NAMES}:
        raise ValueError("--weights must read SYSTEM=WHERE")
    dtype = str(choose_dtype(choose_device("cpu"), options.dtype)).removeprefix("torch.")
    host = PeerHost(options.draft, dtype, options.threads, given)
    counts = Counts.parse(options.n, {*systems, *sets})
    return Plan(options.data, sets, systems, keeps, counts, options.seed, host, options.jobs, options.min_tokens)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, store, print tables and draw; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parse(given)
    try:
        if options.report:
            results = load(options.out)
        else:
            results = measure(plan_of(options), options.out, shown_command("benchmarks.peers", given), Console(stderr=True))
        tables = markdown(results)
        if options.plot:
            chart.plot(results, options.plot)
    except (ValueError, OSError, SpecPrefillError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(tables)
    return 0


if __name__ == "__main__":
    sys.exit(main())
