"""Runs the benchmarks that the README's numbers come from, and makes tables, drawings and the README's blocks of what they found.

    python -m benchmarks.suite                 all of them; go on by the same command after an interruption
    python -m benchmarks.suite needles speed   these (`--list` names all)
    python -m benchmarks.suite report          docs/benchmarks.md, docs/plots and the README's blocks from the stored results
    python -m benchmarks.suite report --check  whether these say what the results say

A benchmark that is finished, by code, data, machine, versions and command, is not run again. Results of other conditions are set
aside under their name with `.old` behind it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import ROOT
from benchmarks.suite import report
from benchmarks.suite.journal import Journal
from benchmarks.suite.plan import Where, chosen, plan
from benchmarks.suite.running import Suite

RESULTS = ROOT / "benchmarks" / "results"
INTERRUPTED = 130


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.suite",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of the plan (default: those of the README)")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "eval", help="folder of the evaluation files")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    parser.add_argument("--n", type=int, help="rows per set, in place of the plan's")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="show what there is, and what is finished")
    return parser.parse_args(arguments)


def listed(suite: Suite) -> str:
    """Every benchmark of the plan: its minutes, what it measures, and whether it is finished."""
    width = max(map(len, plan()))
    journal = Journal(suite.where.results)
    lines = []
    for one in plan().values():
        marks = f"{'*' if one.is_default else ' '} {one.name:<{width}} {one.minutes:>4g} min"
        record = journal.get(one.name)
        state = f"finished in {record.seconds / 60:.1f} min: " if record and suite.is_finished(one) else ""
        lines.append(f"{marks}  {state}{one.about}")
    total = sum(one.minutes for one in chosen([]))
    return "\n".join([*lines, f"* run without a name, about {total:g} minutes on two cores"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, list, or report; the exit status: 1 when a benchmark failed, 2 for a wrong argument, 130 when interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["report"]:
        return report.main(given[1:])
    options = parse(given)
    where = Where(options.data.resolve(), options.results.resolve(), options.device, options.n)
    suite = Suite(where, lambda text: print(text, file=sys.stderr))
    if options.list:
        print(listed(suite))
        return 0
    try:
        failed = suite.run(chosen(options.names))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
