"""Tables held together by white space: `kubectl get`, `ps`, `df`. A header line, and rows whose cells stand below its labels.

Blank lines part one table from the next; a stretch of lines that is no table is a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from specprefill_agents.prompt.units.line_sample import head_lines
from specprefill_agents.prompt.units.table_parts import LABEL, MIN_ROWS, NUMBER, Part, PartList, is_most, sections_of

SAMPLE_ROWS = 50
MAX_COLUMNS_CHARS = 400
"""How far into a line columns are looked for."""

_WORD = re.compile(r"\S+")
_WIDE_GAP = re.compile(r"\S {2,}\S")


def read_aligned(text: str) -> list[Part] | None:
    """The parts of `text` read as tables with columns held by spaces, or None when it does not mostly consist of them."""
    sample = [line + "\n" for line in head_lines(text)]
    sections = [section for _, section in sections_of("".join(sample))]
    in_tables = sum(len(section) for section in sections if _is_table(section))
    if not is_most(in_tables, sum(map(len, sections))):
        return None
    return [part for start, section in sections_of(text) for part in _parts(start, section)]


def _parts(start: int, lines: list[str]) -> list[Part]:
    parts = PartList(start)
    if not _is_table(lines):
        parts.take("note", lines)
        return parts.parts
    parts.take("header", lines[:1])
    for line in lines[1:]:
        parts.take("row", [line])
    return parts.parts


def _is_table(section: Sequence[str]) -> bool:
    """Whether the first line is a header: labels in capitals above columns, or labels above columns of figures."""
    lines = [line.expandtabs()[:MAX_COLUMNS_CHARS].rstrip() for line in section[:SAMPLE_ROWS] if line.strip()]
    if len(lines) < MIN_ROWS or not _WIDE_GAP.search(lines[0]):
        return False
    columns = _columns(lines)
    cells = [[line[start:end].strip() for start, end in columns] for line in lines]
    labels = [label for label in cells[0] if label]
    if len(labels) < 2 or not all(LABEL.match(label.lstrip("%#")) for label in labels):
        return False
    if all(label.isupper() for label in labels):
        return True
    figures = [all(NUMBER.match(cell) or cell in ("", "-") for cell in column) for column in zip(*cells[1:], strict=True)]
    return len(labels) > 2 and any(figures)


def _columns(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Character ranges that some line fills, between the positions that are blank in all `lines`."""
    width = max(map(len, lines))
    filled = [False] * width
    for line in lines:
        for word in _WORD.finditer(line):
            filled[word.start() : word.end()] = [True] * len(word[0])
    return list(_runs(filled))


def _runs(filled: Sequence[bool]) -> Iterator[tuple[int, int]]:
    start = -1
    for at, is_filled in enumerate([*filled, False]):
        if is_filled and start < 0:
            start = at
        elif not is_filled and start >= 0:
            yield start, at
            start = -1
