"""How the drawings of stored results look: legible on light and on dark pages, and the same bytes for the same numbers.

Text is text, so that a reader's own font is used; the ground is transparent and what is neither light nor dark is grey.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from specprefill_agents.errors import missing_extra

GREY = "#7d8590"
GREEN, BLUE, ORANGE, PINK, YELLOW, CYAN = "#2a9d5c", "#4a86e8", "#e07b39", "#c2579a", "#c9a227", "#3aa6b9"

STYLE = {
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelcolor": GREY,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": GREY,
    "axes.titlesize": "medium",
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "grid.alpha": 0.25,
    "grid.color": GREY,
    "legend.frameon": False,
    "legend.labelcolor": GREY,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "specprefill",
    "text.color": GREY,
    "xtick.color": GREY,
    "xtick.labelsize": "small",
    "ytick.color": GREY,
    "ytick.labelsize": "small",
}


@contextmanager
def drawn(file: Path, width: float, height: float) -> Iterator[Any]:
    """A matplotlib figure of so many inches, saved to `file` at the end, in the format of its suffix.

    Raises ImportError with the pip command where matplotlib is not installed.
    """
    with styled():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, metadata={"Date": None, "Creator": None} if file.suffix == ".svg" else {})


@contextmanager
def styled() -> Iterator[None]:
    """The same looks for a figure that is made elsewhere. Raises ImportError as `drawn` does."""
    try:
        import matplotlib as mpl
    except ModuleNotFoundError as error:
        raise missing_extra("The plot", "plot") from error
    with mpl.rc_context(STYLE):
        yield
