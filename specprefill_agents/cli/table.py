"""How verbs show columns, paths and sizes: plain text that survives a copy into a bug report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as left-aligned columns, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def short(path: Path) -> str:
    """A path, with the home directory as ~."""
    try:
        return str("~" / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(path)


def tree_bytes(directory: Path) -> int:
    """Bytes of the files below a directory. What cannot be read counts nothing, nor what lies behind a linked directory."""
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def megabytes(count: int) -> str:
    """A number of bytes, in megabytes."""
    return f"{count / 1e6:,.0f} MB"
