"""Lines of a log put together to entries: a first line, and the lines that continue it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from specprefill_agents.prompt.units.line_sample import sample_lines
from specprefill_agents.prompt.units.log_lines import ERROR_LIFT, Form, form_of, lift_of

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_JOINS = frozenset({"blank", "indented", "frame", "cause", "assertion", "continued"})

_Tail: TypeAlias = Literal["closed", "one", "panic", "goroutine"]
"""Which lines at the left margin still belong to a stack trace: none; one, the exception (Python) or the message (Rust);
the first goroutine (Go); all up to the next blank line (a goroutine's calls)."""


class Line(NamedTuple):
    """One line, its end included. (Tuples, since a text may have a million lines.)"""

    start: int
    end: int
    form: Form


class Entry(NamedTuple):
    """The lines of an entry, never none; `lift` by its first line; `is_trace` when calls are listed in it."""

    lines: list[Line]
    lift: float
    is_trace: bool

    @property
    def end(self) -> int:
        """Where the next entry begins."""
        return self.lines[-1].end


def read_entries(text: str) -> Iterator[Entry]:
    """The entries of `text`, without blank lines before the first."""
    is_stamped = _is_stamped(text)
    lines: list[Line] = []
    tail: _Tail = "closed"
    for match in _LINE.finditer(text):
        line = Line(match.start(), match.end(), form_of(text, match.start()))
        if not lines and line.form == "blank":
            continue
        if lines and not _joins(text, line, lines, is_stamped, tail):
            yield _entry(text, lines)
            lines = []
        lines.append(line)
        tail = _tail_after(text, line, tail)
    if lines:
        yield _entry(text, lines)


def _is_stamped(text: str) -> bool:
    """Whether most lines at the left margin begin entries, so that all others continue one."""
    forms = [form_of(line, 0) for line in sample_lines(text)]
    return 2 * forms.count("start") >= len(forms) - sum(form in _JOINS for form in forms)


def _joins(text: str, line: Line, lines: list[Line], is_stamped: bool, tail: _Tail) -> bool:
    """Whether `line` goes on with the entry of `lines`."""
    if line.form == "trace":
        if text.startswith("goroutine", line.start):
            return tail == "panic"
        return is_stamped or any(before.form == "continued" for before in lines[-2:])
    return line.form in _JOINS or (line.form == "other" and (is_stamped or tail in ("one", "goroutine")))


def _tail_after(text: str, line: Line, tail: _Tail) -> _Tail:
    if line.form == "trace":
        if text.startswith("goroutine", line.start):
            return "goroutine"
        return "panic" if text.startswith(("panic", "fatal error"), line.start) else "one"
    ends = line.form in ("start", "section") or (line.form == "blank" if tail == "goroutine" else line.form == "other")
    return "closed" if ends else tail


def _entry(text: str, lines: list[Line]) -> Entry:
    forms = [line.form for line in lines]
    is_trace = forms.count("frame") >= 2
    if forms[0] == "start" or not (is_trace or "assertion" in forms):
        lift = 0.0 if forms[0] == "section" else lift_of(text, lines[0].start, lines[0].end)
    else:  # of Go's goroutines, the panic says which one failed
        lift = 0.0 if text.startswith("goroutine", lines[0].start) else ERROR_LIFT
    return Entry(lines, lift, is_trace)
