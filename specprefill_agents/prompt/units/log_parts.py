"""Units of one long log entry: its first line, then the lines under it, needing it.

The line that names an exception and each `Caused by` stand by themselves and weigh as errors; a call keeps the source
line that is shown below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from specprefill_agents.prompt.units.layout import Limits
from specprefill_agents.prompt.units.log_entries import Entry, Line
from specprefill_agents.prompt.units.log_lines import ERROR_LIFT, Form, names_exception
from specprefill_agents.prompt.units.sized_blocks import SizedBlocks

_MARGIN = re.compile(r"[^\S\n]*")
_OWNERS = frozenset({"trace", "cause"})
_STACK = frozenset({"trace", "frame", "indented"})
_ERRORS = frozenset({"cause", "assertion"})


@dataclass(slots=True)
class _Part:
    """Lines that make a unit, while they are collected; `is_closed` when only blank lines may follow."""

    first: Line
    end: int
    is_closed: bool
    lift: float = 0.0


def add_parts(text: str, entry: Entry, blocks: SizedBlocks, limits: Limits) -> None:
    """Add the units of `entry`. Each needs the `Caused by` it stands under, if any, and that one the first line."""
    blocks.keep_together(entry.end)
    first, *others = _parts(text, entry, limits)
    says_nothing = text.startswith("Traceback", first.first.start)  # the exception stands at the other end
    root = owner = blocks.add_pieces(first.end, lift=0.0 if says_nothing else entry.lift)
    for part in others:
        if part.first.form in _OWNERS:
            owner = blocks.add_pieces(part.end, (root,), part.lift)
        else:
            blocks.add_pieces(part.end, (owner,), part.lift)


def _parts(text: str, entry: Entry, limits: Limits) -> Iterator[_Part]:
    first = entry.lines[0]
    part = _Part(first, first.end, is_closed=True)
    before = first.form
    for line in entry.lines[1:]:
        names_error = entry.is_trace and _names_error(text, line, before)
        if line.form == "blank" or (not names_error and not part.is_closed and _takes_in(text, part, line, limits)):
            part.end = line.end
        else:
            yield part
            lift = ERROR_LIFT if names_error or line.form in _ERRORS else 0.0
            part = _Part(line, line.end, names_error or line.form in _OWNERS, lift)
        before = line.form
    yield part


def _names_error(text: str, line: Line, before: Form) -> bool:
    """Whether `line` says what went wrong: a cause, an exception, or what follows the calls at the left margin."""
    if line.form in ("other", "start"):
        return before in _STACK or names_exception(text, line.start)
    return line.form == "cause"


def _takes_in(text: str, part: _Part, line: Line, limits: Limits) -> bool:
    """Whether `line` goes on with `part`: it stands deeper, the part is still short, or both report an assertion."""
    if line.end - part.first.start > limits.max_chars or (line.form == "assertion") != (part.first.form == "assertion"):
        return False
    is_deeper = _margin(text, line) > _margin(text, part.first)
    return is_deeper or line.form == "assertion" or part.end - part.first.start < limits.min_chars


def _margin(text: str, line: Line) -> int:
    match = _MARGIN.match(text, line.start, line.end)
    return len(match[0]) if match else 0
