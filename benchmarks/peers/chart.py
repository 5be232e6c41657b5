"""Stored results of `benchmarks.peers` -> a drawing: recall against the share of tokens that was really kept."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.plan import NONE
from benchmarks.peers.summary import OURS, RECALLS, Comparison
from benchmarks.results import Results
from specprefill_agents.errors import missing_extra


def plot(results: Results, file: Path) -> None:
    """Draw a line for each system, a panel for each way to judge, on the rows that all systems share; `file` says the format.

    Raises ImportError without matplotlib, ValueError when the systems share no row.
    """
    try:
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("Drawing", "plot") from error
    one = Comparison(results)
    systems = [system for system in one.systems if system != NONE]
    judged = {recall: rows for recall in list(RECALLS)[:2] if systems and (rows := one.shared(systems, recall))}
    if not judged:
        raise ValueError("the systems share no row")
    figure = Figure(figsize=(5.5 * len(judged), 4.5), layout="constrained")
    FigureCanvasSVG(figure)
    for axes, (recall, rows) in zip(figure.subplots(1, len(judged), squeeze=False)[0], judged.items(), strict=True):
        for system in systems:
            found = [(_share(one, system, keep, rows), one.mean(system, keep, recall, rows)) for keep in one.keeps]
            points = sorted((share, mean.mean) for share, mean in found if mean)
            width, order = (2.5, 3) if system == OURS else (1.2, 2)
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, linewidth=width, label=system, zorder=order)
        axes.set(xlim=(0, 1.05), ylim=(0, 1.02), xlabel="share of target tokens kept", ylabel=f"recall, {recall}")
        axes.grid(alpha=0.3)
    count = sum(map(len, next(iter(judged.values())).values()))
    figure.suptitle(f"Mean over {len(next(iter(judged.values())))} sets, {count} rows, the same for all", fontsize=10)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def _share(one: Comparison, system: str, keep: str, rows: dict[str, list[str]]) -> float:
    """The mean share of the rows that the recall is taken from, over sets."""
    means = []
    for name, ids in rows.items():
        cell = one.cells[name, system]
        shares = dict(zip(cell.ids, cell.rows[keep]["share"], strict=True))
        found = [share for row in ids if (share := shares[row]) is not None]
        means.append(sum(found) / len(found))
    return sum(means) / len(means)
