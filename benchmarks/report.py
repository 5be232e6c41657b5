"""Stored benchmark results -> Markdown tables.

    python -m benchmarks.report benchmarks/results/needles.json --paired key_index

Brackets hold 95 % bootstrap intervals over rows. `share` is the mean share of target tokens that was really kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.machine import origin
from benchmarks.metrics import estimate, mean_over, paired_difference
from benchmarks.results import Cell, Results, load
from benchmarks.tables import keep_names, table, with_interval

LABELS = {
    "answer": "answer",
    "evidence": "evidence",
    "evidence_chars": "evidence characters",
    "values": "needed values",
    "share": "share of tokens",
}


def markdown(results: Results, paired: str | None = None) -> str:
    """All tables of one result: recall, differences to the scorer named by `paired`, time.

    Raises ValueError when `paired` was not measured.
    """
    if paired is not None and all(cell.scorer != paired for cell in results.cells):
        raise ValueError(f"no results of a scorer {paired!r}")
    parts = [_heading(results), _recall(results)]
    if paired is not None:
        parts.append(_paired(results, paired))
    return "\n\n".join([*parts, _time(results)])


def _heading(results: Results) -> str:
    settings, machine = results.conditions["settings"], results.conditions["machine"]
    where = ", ".join([machine["processor"], f"{machine['cores']} cores", *([machine["gpu"]] if "gpu" in machine else [])])
    commands = dict.fromkeys((cell.provenance.get("command", ""), cell.provenance.get("commit", "")) for cell in results.cells)
    lines = [origin(command, commit) for command, commit in commands]
    return "\n".join([*lines, f"on {where}; draft {settings['draft']}, tokens counted with {settings['target_tokenizer']}"])


def _of_fixed(columns: list[list[float | None]], keeps: list[str]) -> list[list[float | None]]:
    """The columns of fixed ratios: what `auto` keeps differs from row to row, and has no part in the mean."""
    return [column for column, keep in zip(columns, keeps, strict=True) if keep != "auto"] or columns


def _recall(results: Results) -> str:
    keeps = keep_names(results)
    rows = []
    for name, cells in _by_set(results.cells):
        for metric, label in LABELS.items():
            for cell in cells:
                columns = [cell.rows[keep][metric] for keep in keeps]
                found = [estimate(column) for column in columns]
                count = next((one.n for one in found if one), 0)
                if not count:
                    continue
                if metric == "share":
                    shown = [*(f"{one.mean:.3f}" if one else "" for one in found), ""]
                else:
                    shown = [*map(with_interval, [*found, estimate(mean_over(_of_fixed(columns, keeps)))])]
                rows.append([f"{name} (n={count}, min_tokens={cell.min_tokens})", label, cell.scorer, *shown])
    return table(["set", "kept", "scorer", *(f"keep {keep}" for keep in keeps), "mean"], rows)


def _paired(results: Results, first: str) -> str:
    keeps = keep_names(results)
    rows = []
    for name, cells in _by_set(results.cells):
        base = next((cell for cell in cells if cell.scorer == first), None)
        for metric, label in LABELS.items():
            for cell in cells if base else ():
                if base is None or cell is base or metric == "share" or cell.ids != base.ids:
                    continue
                ours, theirs = ([one.rows[keep][metric] for keep in keeps] for one in (base, cell))
                means = [mean_over(_of_fixed(columns, keeps)) for columns in (ours, theirs)]
                found = [paired_difference(a, b) for a, b in zip([*ours, means[0]], [*theirs, means[1]], strict=True)]
                if any(found):
                    rows.append([name, label, cell.scorer, *(with_interval(one, "+") for one in found)])
    return table(["set", "kept", f"{first} minus", *(f"keep {keep}" for keep in keeps), "mean"], rows)


def _time(results: Results) -> str:
    rows = [
        [cell.set, cell.scorer, f"{cell.seconds:.1f}", f"{cell.scorer_seconds:.1f}", str(cell.draft_tokens_per_s or "")]
        for cell in results.cells
    ]
    return table(["set", "scorer", "seconds", "of which scoring", "draft tokens/s"], rows)


def _by_set(cells: Iterable[Cell]) -> Iterator[tuple[str, list[Cell]]]:
    held = list(cells)
    for name in dict.fromkeys(cell.set for cell in held):
        yield name, [cell for cell in held if cell.set == name]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables of each file; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--paired", metavar="SCORER", help="show the differences between this scorer and each other one")
    options = parser.parse_args(arguments)
    for file in options.files:
        try:
            print(markdown(load(file), options.paired), end="\n\n")
        except (ValueError, OSError) as error:
            print(f"error: {file.name}: {error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
