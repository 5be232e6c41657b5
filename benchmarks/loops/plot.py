"""Dollars as they add up over the requests of the longest conversation of each set, by matplotlib without a display."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from benchmarks.drawing import BLUE, CYAN, GREEN, GREY, ORANGE, PINK, YELLOW, drawn
from benchmarks.loops.dollars import Bill, price_of

COLOURS = {
    "none": GREY,
    "ours": GREEN,
    "ours_no_expand": CYAN,
    "window": ORANGE,
    "rescore": PINK,
    "clear": YELLOW,
    "clear_batch": BLUE,
}
"""Policies that are drawn, in this order."""
LABELS = {
    "ours": "this library",
    "ours_no_expand": "this library without expand",
    "clear_batch": "all but the last 3 cleared every 10 steps",
}
"""What policies are called in the legend, where what the document says about them refers to another one."""


def write_plot(document: Mapping[str, Any], file: Path) -> None:
    """Draw the first model's dollars and the first keep ratio's runs into an SVG; the same document gives the same bytes."""
    settings = document["settings"]
    model = settings["models"][0]
    bill = Bill(price_of(model))
    rows = [row for row in document["runs"] if row["policy"] in COLOURS and row["keep"] in ("", settings["keep_ratios"][0])]
    names = list(dict.fromkeys(row["set"] for row in rows))
    with drawn(file, 3.9 * len(names), 4.2) as figure:
        lines = {}
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            inside = [row for row in rows if row["set"] == name]
            longest = max(inside, key=lambda row: len(row["hit"]))["id"]
            for row in sorted((row for row in inside if row["id"] == longest), key=lambda row: list(COLOURS).index(row["policy"])):
                values = [1000 * value for value in accumulate(bill.steps(row))]
                policy = row["policy"]
                style, width = ("--", 1.8) if policy == "none" else ("-", 2.6 if policy == "ours" else 1.4)
                (lines[policy],) = axes.plot(range(1, len(values) + 1), values, linestyle=style, linewidth=width, color=COLOURS[policy])
            axes.set_title(f"{name}: {longest}", fontsize="small")
            axes.set_xlabel("requests")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.set_ylim(bottom=0)
        figure.axes[0].set_ylabel(f"USD / 1000, {model} off-peak")
        labels = [LABELS.get(policy, document["policies"].get(policy, policy)) for policy in lines]
        figure.legend(lines.values(), labels, loc="outside upper center", ncols=3, fontsize="small")
