"""Drawings of stored results: recall against the share kept, and time against length. Those of dollars are in `loops.plot`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.drawing import BLUE, CYAN, GREEN, GREY, ORANGE, PINK, YELLOW, drawn, styled
from benchmarks.loops.plot import write_plot
from benchmarks.metrics import estimate
from benchmarks.results import load, read_columns
from benchmarks.suite.blocks import ABOUT, needed_metric
from benchmarks.suite.documents import read
from benchmarks.tables import keep_names

PANELS_IN_A_ROW = 4
SCORERS = {
    "fused": (GREEN, "-"),
    "fused@chunks": (CYAN, "--"),
    "key_index": (BLUE, "-"),
    "key_index@chunks": (BLUE, "--"),
    "speculative": (YELLOW, "-"),
    "bm25": (ORANGE, "-"),
    "random": (GREY, ":"),
    "head_tail": (PINK, ":"),
}
"""Scorers that are drawn, in this order; the first one thickest and on top."""


def needles(file: Path, out: Path) -> None:
    """Recall of each set against the share of tokens that was really kept, one line for each scorer."""
    results = load(file)
    keeps = [keep for keep in keep_names(results) if keep != "auto"]
    names = list(dict.fromkeys(cell.set for cell in results.cells))
    rows = -(-len(names) // PANELS_IN_A_ROW)
    with drawn(out, 2.7 * min(len(names), PANELS_IN_A_ROW), 2.3 * rows + 0.5) as figure:
        panels = figure.subplots(rows, min(len(names), PANELS_IN_A_ROW), sharey=True, squeeze=False)
        lines: dict[str, Any] = {}
        for index, axes in enumerate(panels.flat):
            if index >= len(names):
                axes.set_axis_off()
                continue
            name = names[index]
            axes.set_title(f"{name.partition(':')[0]}, {ABOUT[name]}" if name in ABOUT else name, fontsize="x-small")
            axes.set_ylim(-0.03, 1.05)
            for order, (scorer, (colour, style)) in enumerate(SCORERS.items()):
                cell = results.get(f"{name}/{scorer}")
                if cell is None:
                    continue
                points = [(estimate(cell.rows[keep]["share"]), estimate(cell.rows[keep][needed_metric(cell)])) for keep in keeps]
                drawn_points = [(share.mean, kept.mean) for share, kept in points if share and kept]
                width = 2.4 if order == 0 else 1.4
                (lines[scorer],) = axes.plot(
                    *zip(*drawn_points, strict=True), linestyle=style, linewidth=width, color=colour, marker="o", zorder=9 - order
                )
            # Where short outputs are left alone, more is kept than was asked for.
            axes.set_xlim(0, 0.55 if axes.dataLim.x1 < 0.55 else 1.03)
        figure.supxlabel("share of tokens kept", fontsize="small")
        figure.supylabel("share of what is needed that is kept", fontsize="small")
        ordered = [scorer for scorer in SCORERS if scorer in lines]
        figure.legend([lines[scorer] for scorer in ordered], ordered, loc="outside upper center", ncols=len(ordered), fontsize="small")


def loops(file: Path, out: Path) -> None:
    """Dollars as they add up over the requests of each set's longest run, one line for each policy."""
    write_plot(read_columns(file, "runs"), out)


def speed(file: Path, out: Path) -> None:
    """Seconds against the tokens of a text: reading it, asking anew over what was read, and everything around the draft."""
    parts = read(file)["parts"]
    with drawn(out, 6.4, 3.9) as figure:
        axes = figure.subplots()
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        series: list[tuple[str, str, list[tuple[int, float]]]] = []
        if "growth" in parts:
            series.append(("the draft reads a text, once", GREEN, [(row["tokens"], row["build_s"]) for row in parts["growth"]["rows"]]))
        if "outside" in parts:
            outside = [(int(tokens), ms / 1000) for tokens, ms in parts["outside"]["ms"].items()]
            series.append(("everything outside draft and tokenizer", BLUE, outside))
        if "questions" in parts:
            asked = parts["questions"]
            series.append(("a new question over a text read before", ORANGE, [(asked["tokens"], asked["ms"]["fused_new_memory"] / 1000)]))
            series.append(("the same question again", PINK, [(asked["tokens"], asked["ms"]["fused_repeated_memory"] / 1000)]))
        for label, colour, points in series:
            axes.plot(*zip(*points, strict=True), color=colour, marker="o", label=label)
        ticks = sorted({tokens for _, colour, points in series for tokens, _ in points if colour == GREEN})
        axes.set_xticks(ticks, [f"{tokens:,}" for tokens in ticks])
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.set_xlabel("tokens")
        axes.set_ylabel("seconds")
        figure.legend(loc="outside upper center", ncols=2, fontsize="small")


def peers(file: Path, out: Path) -> None:
    """Recall against the share kept, one line for each system."""
    from benchmarks.peers.chart import plot

    with styled():
        plot(load(file), out)


PLOTS: Mapping[str, Callable[[Path, Path], None]] = {"needles": needles, "loops": loops, "speed": speed, "peers": peers}
"""By the name of a benchmark, whose first result a drawing shows."""
