"""Needle recall of other compressors, on the rows, the budgets and the draft weights that the library is measured with.

    python -m benchmarks.peers --system longllmlingua --draft DIR --sets nq_20doc,agentdojo --n 20 --out FILE --against OURS

A peer runs in an environment of its own, made on first use, behind one worker process. Its replies are kept beside that
environment, so an interrupted run goes on behind the last one; finished cells are kept in `--out`. `--against` names a
result of `benchmarks.needles` on the same rows (all, or the same `--n` and `--seed`) and adds the differences row by row.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks import data
from benchmarks.machine import ROOT, git_commit, shown_command
from benchmarks.peers import compare
from benchmarks.peers.environment import SYSTEMS, PeerError, System
from benchmarks.peers.journal import Peer
from benchmarks.peers.measure import PEER_METRICS, Measure
from benchmarks.peers.plan import Plan
from benchmarks.results import Cell, Results, load, rounded
from specprefill_agents.accounting.tokens import counter_for

COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())


def run_cell(plan: Plan, name: str, system: System, peer: Peer, progress: Progress) -> Cell:
    """Measure one set under one system at every keep ratio, row by row. `seconds` is what the peer took, in whichever run."""
    how = Measure(peer.compress, counter_for(), plan.min_tokens_for(name))
    rows = plan.rows(name)
    tracked = progress.track(rows, description=f"{name} / {system.name}")
    outcomes = [[how.row(row, keep) for keep in plan.keeps] for row in tracked]
    seconds = round(sum(one.seconds for row in outcomes for one in row), 2)
    columns = {f"{keep:g}": [row[index].metrics for row in outcomes] for index, keep in enumerate(plan.keeps)}
    errors = [one.error for row in outcomes for one in row if one.error is not None]
    failed = {"failed": f"{len(errors)} times, first: {errors[0]}"} if errors else {}
    return Cell(
        set=name,
        scorer=system.name,
        ids=[row.id for row in rows],
        rows={keep: {metric: rounded([one[metric] for one in column]) for metric in PEER_METRICS} for keep, column in columns.items()},
        min_tokens=how.min_tokens,
        seconds=seconds,
        scorer_seconds=seconds,
        draft_tokens_per_s=None,
        provenance={"needs": " ".join(system.requirements), **failed},
    )


def measure(plan: Plan, out: Path | None, command: str, console: Console) -> Results:
    """Run every cell of `plan` that `out` does not hold yet, saving after each; returns all cells of `out` and `plan`.

    Raises ValueError when `out` was measured under other conditions, `PeerError` when a peer cannot be run.
    """
    conditions = plan.conditions()
    results = load(out) if out and out.is_file() else Results(conditions)
    if results.conditions != conditions:
        differing = [name for name, value in conditions.items() if results.conditions.get(name) != value]
        raise ValueError(f"{out} holds results under other conditions ({', '.join(differing)}); name another --out or remove it")
    shared = {"command": command, "commit": git_commit(), "date": datetime.now(timezone.utc).date().isoformat()}
    with Progress(*COLUMNS, console=console, transient=True) as progress:
        for system in plan.systems:
            with plan.peer(system) as peer:
                for name in plan.sets:
                    key = plan.key(name, system)
                    if results.get(f"{name}/{system.name}", key):
                        console.print(f"{name}, {system.name}: held already")
                        continue
                    cell = run_cell(plan, name, system, peer, progress)
                    results = results.with_cell(replace(cell, provenance={**shared, **cell.provenance}, key=key))
                    if out:
                        results.save(out)
                    console.print(f"{name}, {system.name}: {len(cell.ids)} rows, {cell.seconds:.1f} s")
    return results


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--system", required=True, help=f"of: {', '.join(SYSTEMS)}; several separated by commas")
    parser.add_argument("--draft", type=Path, help="folder with the draft's weights (safetensors), for systems that use one")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "eval", help="folder of the evaluation files")
    parser.add_argument("--sets", default="nq_20doc,hotpotqa", help="as in benchmarks.needles (default: %(default)s)")
    parser.add_argument("--n", type=int, help="rows per set, spread evenly (default: all)")
    parser.add_argument("--keep", default="0.1,0.2,0.3,0.5", help="keep ratios (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--threads", type=int, default=1, help="of the worker (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="JSON file of the results; cells it holds are not measured again")
    parser.add_argument("--against", type=Path, nargs="+", metavar="FILE", help="results of benchmarks.needles to take differences to")
    parser.add_argument("--scorer", default="fused", help="the library's scorer in --against (default: %(default)s)")
    return parser.parse_args(arguments)


def plan_of(options: argparse.Namespace) -> Plan:
    """The plan a command line asks for. Raises ValueError for what cannot be measured."""
    asked = options.system.split(",")
    unknown = [name for name in asked if name not in SYSTEMS]
    if unknown:
        raise ValueError(f"unknown system {unknown[0]!r}; there are: {', '.join(SYSTEMS)}")
    systems = tuple(SYSTEMS[name] for name in asked)
    if any(system.needs_draft for system in systems) and (options.draft is None or not (options.draft / "config.json").is_file()):
        raise ValueError("--draft must name a folder with the draft's weights and config.json")
    keeps = tuple(float(keep) for keep in options.keep.split(","))
    if not all(0 < keep <= 1 for keep in keeps):
        raise ValueError("--keep takes numbers in (0, 1]")
    sets = tuple(data.expand(options.data, options.sets.split(",")))
    return Plan(options.data, sets, systems, keeps, options.n, options.seed, options.draft, options.threads)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, store, and print tables; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parse(given)
    try:
        plan = plan_of(options)
        results = measure(plan, options.out, shown_command("benchmarks.peers", given), Console(stderr=True))
        tables = [compare.shares(results), compare.recall(results)]
        if options.against:
            tables.append(compare.differences(results, [load(file) for file in options.against], options.scorer))
    except (ValueError, OSError, PeerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n\n".join(tables))
    return 0


if __name__ == "__main__":
    sys.exit(main())
