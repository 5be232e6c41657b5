"""Rows of text on the terminal, with what must be said below them. The texts cannot steer the terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TextIO

from specprefill_agents.errors import missing_extra
from specprefill_agents.observe.explain import visible

_PIPE_WIDTH = 240


def print_rows(
    header: Sequence[str], rows: Iterable[Sequence[str]], stream: TextIO, *, numbers: Collection[str] = (), notes: Iterable[str] = ()
) -> None:
    """Print a table without the columns that are empty, and the notes; as wide as the terminal, and wide in a pipe.

    Raises ImportError with the pip command where rich is missing.
    """
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ModuleNotFoundError as error:
        raise missing_extra("The terminal view", "cli") from error
    console = Console(file=stream, width=None if stream.isatty() else _PIPE_WIDTH)
    cells = [[visible(cell) for cell in row] for row in rows]
    shown = [index for index, _ in enumerate(header) if any(row[index] for row in cells)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index in shown:
        is_number = header[index] in numbers
        table.add_column(header[index], justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    for row in cells:
        table.add_row(*(Text(row[index]) for index in shown))
    if cells:
        console.print(table)
        console.print()
    for note in notes:
        console.print(Text(visible(note)), highlight=False)
