"""The table of all benchmarks, `plan.toml`, as objects, and the command lines that it stands for. Starts nothing."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path(__file__).with_name("plan.toml")


@dataclass(frozen=True, slots=True)
class Where:
    """What fills the places in a command: folders, the device, and rows per set, of which None leaves the plan's."""

    data: Path
    results: Path
    device: str = "auto"
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One command of a benchmark: arguments with places to fill, and its rows per set, as its `--n` takes them."""

    arguments: str
    count: int | str | None

    def filled(self, where: Where, out: str) -> list[str]:
        """The arguments, the file `out` among them in its folder."""
        places = {
            "data": where.data,
            "results": where.results,
            "out": where.results / out,
            "device": where.device,
            "n": where.count or self.count,
        }
        return [argument.format(**places) for argument in shlex.split(self.arguments)]

    @property
    def reads_data(self) -> bool:
        """Whether the evaluation data have a part in it."""
        return "{data}" in self.arguments


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A line of the plan.

    `results` are the names of the files it writes, `minutes` about what it takes on two cores, `feeds` the blocks that show its
    first result.
    """

    name: str
    about: str
    module: str
    runs: tuple[Run, ...]
    results: tuple[str, ...]
    minutes: float
    is_default: bool
    feeds: tuple[str, ...]

    def commands(self, where: Where) -> list[list[str]]:
        """The arguments of each of its runs."""
        return [run.filled(where, self.results[0]) for run in self.runs]


def benchmark_of(row: Mapping[str, Any]) -> Benchmark:
    """A benchmark from a table of the plan. Raises KeyError for a missing entry."""
    return Benchmark(
        name=row["name"],
        about=row["about"],
        module=row["module"],
        runs=tuple(Run(run["arguments"], run.get("n")) for run in row["runs"]),
        results=tuple(row["results"]),
        minutes=row["minutes"],
        is_default=row.get("default", False),
        feeds=tuple(row.get("feeds", ())),
    )


@cache
def plan() -> Mapping[str, Benchmark]:
    """Every benchmark by its name, in the order of the file."""
    rows = tomllib.loads(FILE.read_text(encoding="utf-8"))["benchmark"]
    return {row["name"]: benchmark_of(row) for row in rows}


def chosen(names: list[str]) -> list[Benchmark]:
    """The benchmarks named, in the plan's order; the default ones for no name. Raises ValueError for an unknown name."""
    known = plan()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"unknown benchmark {', '.join(unknown)}; there are: {', '.join(known)}")
    return [one for one in known.values() if (one.name in names if names else one.is_default)]


def feeding(block: str) -> Benchmark | None:
    """The benchmark whose first result a block shows."""
    return next((one for one in plan().values() if block in one.feeds), None)
