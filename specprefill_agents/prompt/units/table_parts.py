"""What a table is made of, whatever it is drawn with: header, rows, and the lines around them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

Role: TypeAlias = Literal["header", "row", "note"]

MIN_ROWS = 3
"""Rows, the header included, below which nothing is taken for a table."""
MIN_SHARE = 0.75
"""Share of the lines of a sample that must belong to tables: tables inside other text are not cut here."""

LABEL = re.compile(r"[^\W\d][\w .()/%#$-]{0,39}\Z")
"""What the name of a column looks like."""

NUMBER = re.compile(r"[-+]?\d[\d.,:]{0,30}\s?(?:%|[KMGTP]i?B?|B|[a-z]{1,2})?\Z")
"""What a figure looks like: 12, 3.5, 45 %, 2.1Gi, 15m."""


class Part(NamedTuple):
    """A stretch of a table from where the one before ended to `end`; a row is whole."""

    role: Role
    end: int


def lines_of(text: str) -> list[str]:
    """The lines of `text` with their ends, which are line feeds only."""
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def is_most(part: int, whole: int) -> bool:
    """Whether `part` of `whole` lines are enough to speak of a table."""
    return part >= MIN_ROWS and part >= MIN_SHARE * whole


def sections_of(text: str) -> Iterator[tuple[int, list[str]]]:
    """Where each stretch of lines without a blank one begins, and its lines; blank lines stay with what precedes them."""
    start = end = 0
    section: list[str] = []
    for line in lines_of(text):
        if section and line.strip() and not section[-1].strip() and section[0].strip():
            yield start, section
            start, section = end, []
        section.append(line)
        end += len(line)
    if section:
        yield start, section


class PartList:
    """Parts in the making: each takes the next lines."""

    def __init__(self, start: int) -> None:
        self.parts: list[Part] = []
        self._end = start

    def take(self, role: Role, lines: Sequence[str]) -> None:
        """Add a part of `lines`; of none, when there are none. Blank lines go with the part before."""
        if lines:
            self.take_row(role, "".join(lines))

    def take_row(self, role: Role, row: str) -> None:
        """Add a part of one row, whatever lines it has."""
        self._end += len(row)
        if self.parts and row.isspace():
            role = self.parts.pop().role
        self.parts.append(Part(role, self._end))
