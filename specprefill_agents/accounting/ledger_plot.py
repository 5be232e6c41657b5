"""The ledger as a picture, PNG or SVG, drawn by matplotlib without a display."""

from __future__ import annotations

from pathlib import Path

from specprefill_agents.accounting.curve import curve_of
from specprefill_agents.accounting.ledger import Ledger
from specprefill_agents.errors import ConfigError, missing_extra

SUFFIXES = (".png", ".svg")
_LINES = {
    "plain": ("uncompressed", "--", "#555555"),
    "sent": ("sent, scorer included", "-", "#0b6e4f"),
    "billed": ("billed", ":", "#b3541e"),
}


def check_plot_path(path: Path) -> None:
    """Raise `ConfigError` for a file name that is neither .png nor .svg."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError("plot", str(path), f"a file that ends in {' or '.join(SUFFIXES)}")


def write_plot(ledger: Ledger, path: Path) -> None:
    """Draw cumulative cost over steps, and how the input of `sent` and `plain` was billed, into `path`.

    The same ledger gives the same bytes. Raises ImportError with the pip command where matplotlib is missing.
    """
    check_plot_path(path)
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise missing_extra("The plot", "plot") from error
    # Without a fixed salt and date, every drawing of one ledger would be another file.
    with mpl.rc_context({"svg.hashsalt": "specprefill", "svg.fonttype": "none"}):
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        curves, bars = figure.subplots(1, 2, width_ratios=(2, 1))
        curve = curve_of(ledger)
        for name, (label, style, colour) in _LINES.items():
            values = getattr(curve, name)
            if values:
                marker = "o" if len(values) == 1 else ""
                curves.plot(range(1, len(values) + 1), values, linestyle=style, color=colour, marker=marker, label=label)
        curves.set_xlabel("steps")
        curves.set_ylabel(f"{curve.unit}, summed over conversations")
        curves.set_ylim(bottom=0)
        if curve.sent:
            curves.legend(frameon=False)
        _draw_bars(bars, ledger)
        is_svg = path.suffix.lower() == ".svg"
        figure.savefig(path, dpi=144, metadata={"Date": None} if is_svg else {"Software": None})


def _draw_bars(axes: object, ledger: Ledger) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    totals = ledger.totals
    names = ("uncompressed", "sent")
    amounts = [totals.plain.tokens, totals.sent.tokens]
    kinds = {
        "cache hit": [tokens.hit_tokens for tokens in amounts],
        "written": [tokens.write_tokens + tokens.long_write_tokens for tokens in amounts],
        "miss": [tokens.miss_tokens + tokens.unsplit_tokens for tokens in amounts],
    }
    below = [0, 0]
    for (label, heights), colour in zip(kinds.items(), ("#9fc8b8", "#e0b354", "#b3541e"), strict=True):
        if any(heights):
            axes.bar(names, heights, bottom=below, color=colour, label=label)
        below = [low + height for low, height in zip(below, heights, strict=True)]
    axes.set_ylabel("input tokens of all calls")
    if any(below):
        axes.legend(frameon=False)
