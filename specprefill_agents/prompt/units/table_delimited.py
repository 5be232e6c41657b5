"""Tables with a separator between cells: CSV, TSV, semicolons, pipes. A row with line breaks in quoted cells is one row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from specprefill_agents.prompt.units.line_sample import HEAD_CHARS, head_lines
from specprefill_agents.prompt.units.table_parts import LABEL, MIN_ROWS, Part, PartList, lines_of

DELIMITERS = "\t|;,"
SAMPLE_ROWS = 50
"""Rows whose cells are compared with what may be their header."""
MAX_ROW_LINES = 200
"""Lines that one row may have; a quote that is not closed by then was no opening quote."""
MAX_CAPTIONS = 2
"""Lines without separators that may stand before the first row, and behind the last."""
MIN_AGREEMENT = 0.9
"""Share of the rows that must have the usual number of cells."""
MIN_LIST_ROWS = 5
"""Rows that it takes where a comma or a pipe could as well be punctuation."""

_SENTENCE_END = re.compile(r"[^\W\d_]{2}[.!?][\"'”’»)]* +[\"'“‘«(]*[^\W\d_a-z]")
"""Between two sentences of a row: behind a word, and before what is no small letter."""
_OPENERS = (*" \t{}[]()<>#/*", "- ")
"""What lines of code and of lists begin with."""


def read_delimited(text: str) -> list[Part] | None:
    """The parts of `text` read as rows of separated cells, or None."""
    found = _separator(head_lines(text), is_cut=len(text) > HEAD_CHARS)
    if found is None:
        return None
    delimiter, usual = found
    rows = _rows(lines_of(text), delimiter)
    fits = [at for at, row in enumerate(rows) if _count(row, delimiter) == usual]
    if not fits:  # separators were part of colour codes, which the sample leaves out
        return None
    first, last = fits[0], fits[-1]
    header = first if _is_header(rows[first : first + SAMPLE_ROWS], delimiter) else -1
    parts = PartList(0)
    for at, row in enumerate(rows):
        parts.take_row("header" if at == header else "row" if first <= at <= last else "note", row)
    return parts.parts


def _separator(sample: Sequence[str], is_cut: bool) -> tuple[str, int] | None:
    """What separates the cells of the rows in `sample`, and how often; the last row of one that `is_cut` may be half a row."""
    for delimiter in DELIMITERS:
        rows = [row.removesuffix("\n") for row in _rows([line + "\n" for line in sample if line.strip()], delimiter)]
        if usual := _usual_count(rows[:-1] if is_cut else rows, delimiter):
            return delimiter, usual
    return None


def _usual_count(rows: list[str], delimiter: str) -> int:
    """How many separators nearly all `rows` have; 0 when they do not agree, or look like code or prose."""
    counts = [_count(row, delimiter) for row in rows]
    for _ in range(MAX_CAPTIONS):
        if counts and not counts[0]:
            del rows[0], counts[0]
        if counts and not counts[-1]:
            del rows[-1], counts[-1]
    if len(rows) < MIN_ROWS:
        return 0
    usual, agreeing = Counter(counts).most_common(1)[0]
    if agreeing < MIN_AGREEMENT * len(rows) or (delimiter != "|" and _reads_as_code(rows, delimiter)):
        return 0
    spaced = sum(row.count(delimiter + " ") for row in rows)
    is_punctuation = delimiter in ",;" and 2 * spaced > usual * len(rows)
    if is_punctuation and (usual == 1 or _reads_as_prose(rows)):
        return 0
    if is_punctuation or (usual == 1 and delimiter != "\t"):
        return usual if agreeing == len(rows) >= MIN_LIST_ROWS else 0
    return usual


def _reads_as_code(rows: list[str], delimiter: str) -> bool:
    """Whether most rows begin, or all end, as lines of code and of lists do."""
    return 2 * sum(row.startswith(_OPENERS) for row in rows) > len(rows) or all(row.endswith(delimiter) for row in rows)


def _reads_as_prose(rows: list[str]) -> bool:
    """Whether most rows are of several sentences."""
    return 2 * sum(_SENTENCE_END.search(row) is not None for row in rows) > len(rows)


def _count(row: str, delimiter: str) -> int:
    """Separators in `row` outside quotes."""
    if '"' not in row:
        return row.count(delimiter)
    return sum(piece.count(delimiter) for piece in row.split('"')[::2])


def _rows(lines: list[str], delimiter: str) -> list[str]:
    """`lines` with those put together that a quoted cell runs across: from an odd number of quotes to the next one."""
    odd = [at for at, line in enumerate(lines) if line.count('"') % 2]
    if not odd:
        return lines
    closing = dict(pairwise(odd))
    rows: list[str] = []
    at = 0
    while at < len(lines):
        end = at + 1
        close = closing.get(at)
        if close is not None and close - at < MAX_ROW_LINES and (lines[at].startswith('"') or delimiter + '"' in lines[at]):
            end = close + 1
        rows.append("".join(lines[at:end]))
        at = end
    return rows


def _is_header(rows: Sequence[str], delimiter: str) -> bool:
    """Whether the first of `rows` names columns: labels, all different, none of which is a value of its column."""
    cells = [[cell.strip().strip('"') for cell in row.strip().split(delimiter)] for row in rows]
    labels = [cell for cell in cells[0] if cell]
    if len(set(labels)) < len(labels) or 2 * len(labels) <= len(cells[0]) or not all(LABEL.match(cell) for cell in labels):
        return False
    return not any(cell and cell == label for row in cells[1:] for cell, label in zip(row, cells[0], strict=False))
