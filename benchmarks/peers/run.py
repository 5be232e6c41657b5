"""Runs the cells of a plan, several at once, each in a process of its own, and stores each when it is finished."""

from __future__ import annotations

import multiprocessing
import os
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.machine import made_by
from benchmarks.peers.environment import PEERS, PeerError
from benchmarks.peers.measure import METRICS, Outcome
from benchmarks.peers.plan import Plan
from benchmarks.results import Cell, Results, begun, rounded

COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
NOT_MEASURED = "not_measured"
"""In a cell's provenance: why it holds no row."""
Key = tuple[str, str]
"""(set, system)."""


def run_cell(plan: Plan, name: str, system: str, step: Callable[[], object]) -> Cell:
    """Measure one set under one system at every keep ratio, row by row, calling `step` after each.

    A system whose worker ends gives a cell without rows that says why. The cell has no key.
    """
    rows = plan.rows(name, system)
    outcomes = []
    try:
        with plan.system(system, name) as measured:
            for row in rows:
                outcomes.append(measured.outcomes(row, plan.keeps))
                step()
    except PeerError as error:
        return not_measured(plan, name, system, str(error))
    errors = [one.error for row in outcomes for one in row if one.error is not None]
    failed = {"failed": f"{len(errors)} times, first: {errors[0]}"} if errors else {}
    ids = [row.id for row in rows]
    return _cell(plan, name, system, ids, outcomes, {**_about(plan, system), **failed})


def not_measured(plan: Plan, name: str, system: str, cause: str) -> Cell:
    """A cell without rows. It has no key, so the next run tries again."""
    return _cell(plan, name, system, [], [], {NOT_MEASURED: cause})


def _cell(plan: Plan, name: str, system: str, ids: list[str], outcomes: list[list[Outcome]], provenance: dict[str, str]) -> Cell:
    columns = {f"{keep:g}": [row[index].metrics for row in outcomes] for index, keep in enumerate(plan.keeps)}
    seconds = round(sum(one["seconds"] or 0.0 for column in columns.values() for one in column), 2)
    return Cell(
        set=name,
        scorer=system,
        ids=ids,
        rows={keep: {metric: rounded([one[metric] for one in column]) for metric in METRICS} for keep, column in columns.items()},
        min_tokens=plan.min_tokens_for(name),
        seconds=seconds,
        scorer_seconds=seconds,
        draft_tokens_per_s=None,
        provenance=provenance,
    )


def _about(plan: Plan, system: str) -> dict[str, str]:
    """What a system needs installed, what was replaced in it, and what it ran without."""
    if system not in PEERS:
        return {}
    peer = PEERS[system]
    said = {"needs": peer.needs, "replaced": peer.replaced}
    if peer.does_without and not plan.host.weights(peer):
        said["without"] = peer.weights
    return {name: text for name, text in said.items() if text}


def measure(plan: Plan, out: Path | None, command: str, console: Console) -> Results:
    """Run every cell of `plan` that `out` does not hold yet, saving after each; returns all cells of `out` and `plan`.

    Raises ValueError when `out` was measured under other conditions.
    """
    from specprefill_agents.draft.loading import set_threads  # loads torch, which not every process of the pool needs

    set_threads(plan.host.threads)
    conditions = plan.conditions()
    results = begun(out, conditions)
    shared = made_by(command)
    available, causes = _available(plan, console)
    lacking = [not_measured(plan, name, system, cause) for system, cause in causes.items() for name in plan.sets]
    missing = _missing(plan, available, results, console)
    for cell in chain(lacking, _finished(plan, [*missing], console)):
        key = missing[cell.set, cell.scorer] if cell.ids else ""
        results = results.with_cell(replace(cell, provenance={**shared, **cell.provenance}, key=key))
        if out:
            results.save(out)
    return results


def _available(plan: Plan, console: Console) -> tuple[list[str], dict[str, str]]:
    """The systems that can be had here, their environments made one after the other; why the others cannot."""
    available, causes = [], {}
    for system in plan.systems:
        try:
            if system in PEERS:
                command = plan.host.command(PEERS[system])
                console.print(f"{system}: runs with {command[0]}", highlight=False, soft_wrap=True)
            available.append(system)
        except PeerError as error:
            causes[system] = str(error)
            console.print(f"{system}: not measured, {error}", highlight=False)
    return available, causes


def _missing(plan: Plan, systems: Sequence[str], results: Results, console: Console) -> dict[Key, str]:
    """The cells that are to be measured, those that take longest first, and the key of each."""
    missing = {}
    for system in systems:
        for name in plan.sets:
            key = plan.key(name, system)
            if results.get(f"{name}/{system}", key):
                console.print(f"{name}, {system}: held already")
            else:
                missing[name, system] = key
    return dict(sorted(missing.items(), key=lambda item: not plan.is_slow(item[0][1])))


def _finished(plan: Plan, keys: list[Key], console: Console) -> Iterator[Cell]:
    """The cells of `keys`, in the order in which they are finished."""
    total = sum(len(plan.rows(*key)) for key in keys)
    with Progress(*COLUMNS, console=console, transient=True) as progress:
        task = progress.add_task("rows", total=total)

        def said(cell: Cell) -> Cell:
            how = cell.provenance.get(NOT_MEASURED) or f"{len(cell.ids)} rows, {cell.seconds:.1f} s"
            console.print(f"{cell.set}, {cell.scorer}: {how}", highlight=False)
            return cell

        if plan.jobs == 1:
            for key in keys:
                yield said(run_cell(plan, *key, lambda: progress.advance(task)))
            return
        context = multiprocessing.get_context("spawn")
        steps: Any = context.Queue()
        os.environ["OMP_NUM_THREADS"] = str(plan.host.threads)  # which the processes of the pool inherit
        with ProcessPoolExecutor(plan.jobs, context, _begin, (steps,)) as pool:
            waiting: set[Future[Cell]] = {pool.submit(_run_in_pool, plan, *key) for key in keys}
            try:
                while waiting:
                    done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                    progress.advance(task, _drained(steps))
                    for future in done:
                        yield said(future.result())
            finally:
                pool.shutdown(cancel_futures=True)


_steps: Any = None
"""In a process of the pool: where it reports each row. A queue can be handed over when a process begins, and not with a task."""


def _begin(steps: Any) -> None:
    global _steps
    _steps = steps


def _run_in_pool(plan: Plan, name: str, system: str) -> Cell:
    return run_cell(plan, name, system, lambda: _steps.put(1))


def _drained(steps: Any) -> int:
    count = 0
    while True:
        try:
            count += steps.get_nowait()
        except queue.Empty:
            return count
