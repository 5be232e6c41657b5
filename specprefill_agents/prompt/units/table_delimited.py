"""Tables with a separator between cells: CSV, TSV, semicolons, pipes. A row with line breaks in quoted cells is one row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from specprefill_agents.prompt.units.line_sample import HEAD_CHARS, head_lines
from specprefill_agents.prompt.units.table_parts import LABEL, MIN_ROWS, Part, PartList, lines_of

DELIMITERS = "\t|;,"
MAX_ROW_LINES = 200
"""Lines that one row may have; a quote that is not closed by then was no opening quote."""
MAX_CAPTIONS = 2
"""Lines without separators that may stand before the first row, and behind the last."""
MIN_AGREEMENT = 0.9
"""Share of the rows that must have the usual number of cells."""
MIN_LIST_ROWS = 5
"""Rows that it takes where a comma or a pipe could as well be punctuation."""

_OPENERS = tuple(" \t{}[]()<>#/*-")


def read_delimited(text: str) -> list[Part] | None:
    """The parts of `text` read as rows of separated cells, or None."""
    sample = head_lines(text)
    delimiter = delimiter_of(sample, is_cut=len(text) > HEAD_CHARS)
    if delimiter is None:
        return None
    lines = lines_of(text)
    rows = list(_rows(lines, delimiter))
    usual = _usual([_count(row, delimiter) for row in _sample_rows(sample, delimiter)])
    fits = [_count(row, delimiter) == usual for row in rows]
    first, last = fits.index(True), len(fits) - fits[::-1].index(True)
    header = first if _is_header(rows[first : first + 50], delimiter) else -1
    parts = PartList(0)
    for at, row in enumerate(rows):
        parts.take("header" if at == header else "row" if first <= at < last else "note", [row])
    return parts.parts


def delimiter_of(sample: Sequence[str], is_cut: bool) -> str | None:
    """What separates the cells of the rows in `sample`, whose last row is left out of account when the sample `is_cut`."""
    for delimiter in DELIMITERS:
        rows = [row for row in _sample_rows(sample, delimiter) if row.strip()]
        if _separates(delimiter, rows[:-1] if is_cut else rows):
            return delimiter
    return None


def _separates(delimiter: str, rows: list[str]) -> bool:
    """Whether nearly all `rows` have as many cells, and look like neither code nor prose; captions and footers have none."""
    counts = [_count(row, delimiter) for row in rows]
    for _ in range(MAX_CAPTIONS):
        if counts and not counts[0]:
            del rows[0], counts[0]
        if counts and not counts[-1]:
            del rows[-1], counts[-1]
    if len(rows) < MIN_ROWS:
        return False
    usual = _usual(counts)
    agreeing = counts.count(usual)
    if usual == 0 or agreeing < MIN_AGREEMENT * len(rows):
        return False
    if delimiter != "|" and (2 * sum(row.startswith(_OPENERS) for row in rows) > len(rows) or all(row.endswith(delimiter) for row in rows)):
        return False
    spaced = sum(row.count(delimiter + " ") for row in rows)
    is_punctuation = delimiter in ",;" and 2 * spaced > usual * len(rows)
    if is_punctuation or (usual == 1 and delimiter != "\t"):
        return agreeing == len(rows) >= MIN_LIST_ROWS and not (is_punctuation and usual == 1)
    return True


def _usual(counts: list[int]) -> int:
    return Counter(counts).most_common(1)[0][0] if counts else 0


def _count(row: str, delimiter: str) -> int:
    """Separators in `row` outside quotes."""
    if '"' not in row:
        return row.count(delimiter)
    return sum(piece.count(delimiter) for piece in row.split('"')[::2])


def _sample_rows(sample: Sequence[str], delimiter: str) -> list[str]:
    return [row.removesuffix("\n") for row in _rows([line + "\n" for line in sample], delimiter)]


def _rows(lines: Sequence[str], delimiter: str) -> Iterator[str]:
    """`lines` with those put together that a quoted cell runs across: from an odd number of quotes to the next one."""
    odd = [at for at, line in enumerate(lines) if line.count('"') % 2]
    closing = dict(pairwise(odd))
    at = 0
    while at < len(lines):
        end = at + 1
        close = closing.get(at)
        if close is not None and close - at < MAX_ROW_LINES and (lines[at].startswith('"') or delimiter + '"' in lines[at]):
            end = close + 1
        yield "".join(lines[at:end])
        at = end


def _is_header(rows: Sequence[str], delimiter: str) -> bool:
    """Whether the first of `rows` names columns: labels, all different, none of which is a value of its column."""
    cells = [[cell.strip().strip('"') for cell in row.strip().split(delimiter)] for row in rows]
    labels = [cell for cell in cells[0] if cell]
    if len(set(labels)) < len(labels) or 2 * len(labels) <= len(cells[0]) or not all(LABEL.match(cell) for cell in labels):
        return False
    return not any(cell and cell == label for row in cells[1:] for cell, label in zip(row, cells[0], strict=False))
