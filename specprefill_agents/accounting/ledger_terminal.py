"""The ledger on the terminal: a table, a small plot of dollars over steps, and notes. Nothing is said by colour alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from specprefill_agents.accounting.curve import Curve, curve_of
from specprefill_agents.accounting.ledger import Ledger
from specprefill_agents.accounting.ledger_table import By, TextTable, notes_of, table_of
from specprefill_agents.errors import missing_extra
from specprefill_agents.observe.explain import visible

_ROWS = 8
_COLUMNS = 60
_PIPE_WIDTH = 200
_SIGNS = {"sent": ("█", "#"), "saved": ("░", "."), "dearer": ("▒", "!")}


def print_ledger(ledger: Ledger, by: By, stream: TextIO, width: int | None = None) -> None:
    """Print the table, the plot and the notes; `width` in columns, else as wide as the terminal, and wide in a pipe.

    Raises ImportError with the pip command where rich is missing.
    """
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ModuleNotFoundError as error:
        raise missing_extra("The terminal view", "cli") from error
    console = Console(file=stream, width=width or (None if stream.isatty() else _PIPE_WIDTH))
    text = table_of(ledger, by).fitting(console.width)
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, name in enumerate(text.header):
        is_text = name in text.texts
        overflow = "fold" if number == 0 or name == "PREFIX" else "ellipsis"
        shown.add_column(name, justify="left" if is_text else "right", no_wrap=overflow != "fold", overflow=overflow)  # type: ignore[arg-type]
    for row, style in _styled(text):
        shown.add_row(*(Text(visible(cell)) for cell in row), style=style)
    console.print(shown)
    console.print()
    for line in plot_lines(curve_of(ledger), console.options.ascii_only, console.width):
        console.print(Text(line), highlight=False)
    for note in notes_of(ledger, by):
        console.print(Text(visible(note)), highlight=False)


def _styled(table: TextTable) -> Iterator[tuple[tuple[str, ...], str]]:
    last = len(table.rows) - 1
    return ((row, "bold" if table.has_total and index == last else "") for index, row in enumerate(table.rows))


def plot_lines(curve: Curve, is_ascii: bool = False, width: int = 100) -> list[str]:
    """The curve as columns of signs, one or more a step: what was spent, and what would have been beyond it. Empty without steps."""
    signs = {name: pair[is_ascii] for name, pair in _SIGNS.items()}
    top = max((*curve.sent, *curve.plain), default=0.0)
    if top <= 0:
        return []
    steps = len(curve.sent)
    shown = min(steps, _COLUMNS, max(10, width - 24))
    places = [round(index * (steps - 1) / max(1, shown - 1)) for index in range(shown)]
    repeat = max(1, min(4, _COLUMNS // shown))
    columns = [_column(curve.sent[at], curve.plain[at], top, signs) for at in places]
    bar = "|" if is_ascii else "│"
    label = f"{curve.unit}, summed over conversations, after so many steps"
    key = f"{signs['sent']} spent, scorer included   {signs['saved']} uncompressed beyond that   {signs['dearer']} dearer than uncompressed"
    lines = [label, key]
    for row in reversed(range(_ROWS)):
        scale = _number(top, curve) if row == _ROWS - 1 else _number(top / 2, curve) if row == _ROWS // 2 - 1 else ""
        lines.append(f"{scale:>12} {bar}" + "".join(column[row] * repeat for column in columns).rstrip())
    axis = "1" if shown == 1 else f"{'1':<{shown * repeat - len(str(steps))}}{steps}"
    return [*lines, f"{'':>12} {bar}{axis}", ""]


def _column(sent: float, plain: float, top: float, signs: dict[str, str]) -> str:
    low, high = (round(value / top * _ROWS) for value in (min(sent, plain), max(sent, plain)))
    above = signs["saved"] if plain >= sent else signs["dearer"]
    return (signs["sent"] * low + above * (high - low)).ljust(_ROWS)


def _number(value: float, curve: Curve) -> str:
    return f"${value:.6f}" if curve.unit == "USD" else f"{value:,.0f}"
