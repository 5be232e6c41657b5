"""How stored results read in Markdown: tables, and means with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.metrics import Estimate
from benchmarks.results import Results
from specprefill_agents.types import KeepRatio


def table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; each row has as many cells as `head`."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def with_interval(one: Estimate | None, sign: str = "") -> str:
    """A mean and its interval, "" where there is none; `sign` is "+" for a difference."""
    return "" if one is None else f"{one.mean:{sign}.2f} [{one.low:{sign}.2f}, {one.high:{sign}.2f}]"


def keep_names(results: Results) -> list[str]:
    """The keep ratios that were measured, by the names under which a cell holds its rows."""
    return [keep_name(keep) for keep in results.conditions["settings"]["keep_ratios"]]


def keep_name(keep: KeepRatio) -> str:
    """The name of a keep ratio in results."""
    return keep if keep == "auto" else f"{keep:g}"
