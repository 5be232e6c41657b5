"""Dollars as they add up over the requests of the longest conversation of each set, by matplotlib without a display."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from benchmarks.loops.dollars import Bill, price_of
from specprefill_agents.errors import missing_extra

COLOURS = {
    "none": "#555555",
    "ours": "#0b6e4f",
    "window": "#b3541e",
    "rescore": "#8b2f6b",
    "clear": "#c9a227",
    "clear_batch": "#3b6fb6",
}
"""Policies that are drawn, in this order."""


def write_plot(document: Mapping[str, Any], file: Path) -> None:
    """Draw the first model's dollars and the first keep ratio's runs into an SVG; the same document gives the same bytes."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise missing_extra("The plot", "plot") from error
    settings = document["settings"]
    model = settings["models"][0]
    bill = Bill(price_of(model))
    rows = [row for row in document["runs"] if row["policy"] in COLOURS and row["keep"] in ("", settings["keep_ratios"][0])]
    names = list(dict.fromkeys(row["set"] for row in rows))
    with mpl.rc_context({"svg.hashsalt": "specprefill", "svg.fonttype": "none"}):
        figure = Figure(figsize=(4.6 * len(names), 4.2), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            inside = [row for row in rows if row["set"] == name]
            longest = max(inside, key=lambda row: len(row["hit"]))["id"]
            for row in sorted((row for row in inside if row["id"] == longest), key=lambda row: list(COLOURS).index(row["policy"])):
                values = [1000 * value for value in accumulate(bill.steps(row))]
                style = "--" if row["policy"] == "none" else "-"
                axes.plot(range(1, len(values) + 1), values, linestyle=style, color=COLOURS[row["policy"]], label=row["policy"])
            axes.set_title(f"{name}: {longest}", fontsize="small")
            axes.set_xlabel("requests")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.set_ylabel(f"USD / 1000, {model} off-peak")
            axes.set_ylim(bottom=0)
            axes.legend(frameon=False, fontsize="small")
        figure.savefig(file, format="svg", metadata={"Date": None})
