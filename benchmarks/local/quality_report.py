"""Stored answers' quality -> Markdown tables.

    python -m benchmarks.local.quality_report benchmarks/results/local-quality.json

Brackets hold 95 % bootstrap intervals over rows, differences are paired by row.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.metrics import estimate, paired_difference
from benchmarks.results import Cell, Results, load
from benchmarks.tables import table, with_interval

METRICS_OF: Mapping[str, tuple[str, ...]] = {"hotpotqa": ("contains", "f1"), "ruler_8k:vt": ("share_contained",)}
"""Of a set; of all others whether the answer is contained."""
BASE = "fused"


def markdown(results: Sequence[Results]) -> str:
    """A table of means, and one of differences to the scorer `fused` at the same keep ratio."""
    cells = [cell for one in results for cell in one.cells]
    sets = list(dict.fromkeys(cell.set for cell in cells))
    means = [line for name in sets for line in _means([cell for cell in cells if cell.set == name])]
    paired = [line for name in sets for line in _paired([cell for cell in cells if cell.set == name])]
    settings = results[0].conditions["settings"]
    heading = f"target {settings['target']}, draft {settings['draft']}, {settings['device']}, {settings['dtype']}"
    head = ["set", "metric", "system", "keep", "mean", "rows", "too long", "prompt tokens", "positions restored"]
    tables = [heading, table(head, means)]
    return "\n\n".join([*tables, *([table(["set", "metric", "fused minus", "keep", "difference"], paired)] if paired else [])])


def metrics_of(name: str) -> tuple[str, ...]:
    """The metrics by which a set is judged."""
    return METRICS_OF.get(name, ("contains",))


def _means(cells: Sequence[Cell]) -> list[list[object]]:
    lines: list[list[object]] = []
    for cell in cells:
        ((keep, columns),) = cell.rows.items()
        fits = [value for value in columns["prompt_tokens"] if value is not None]
        tokens = round(sum(fits) / len(fits)) if fits else ""
        restored = sum(value or 0 for value in columns["restored"])
        more = [len(fits), len(cell.ids) - len(fits), tokens, f"{restored:.0f}"]
        for metric in metrics_of(cell.set):
            found = with_interval(estimate(columns[metric]))
            lines.append([cell.set, metric, cell.scorer.rpartition(" ")[0], keep, found, *more])
    return lines


def _paired(cells: Sequence[Cell]) -> list[list[object]]:
    """`fused` against every other system at its keep ratio, and against the full prompt where that fits."""
    lines: list[list[object]] = []
    for base in (cell for cell in cells if cell.scorer.startswith(f"{BASE} ")):
        keep = base.scorer.rpartition(" ")[2]
        for cell in cells:
            system, _, other = cell.scorer.rpartition(" ")
            if cell is base or other not in (keep, "1") or cell.ids != base.ids:
                continue
            for metric in metrics_of(base.set):
                difference = paired_difference(base.rows[keep][metric], cell.rows[other][metric])
                if difference:
                    lines.append([base.set, metric, system, keep, with_interval(difference, "+")])
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables of all files together; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local.quality_report", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    try:
        print(markdown([load(file) for file in parser.parse_args(arguments).files]))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
