"""Unified diffs: a hunk is a block; its lines need its header, which needs the names of its file.

What stands around the hunks (a commit's message, what a tool adds) is cut like any text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, TypeAlias

from specprefill_agents.prompt.units.layout import Layout, LayoutBuilder, Limits
from specprefill_agents.prompt.units.lines import split_lines

CHANGE_LIFT = 0.1
"""Puts a changed line before the unchanged lines around it."""

MIN_DIFF_SHARE = 0.3
"""Text of which hunks and their headers make up a smaller share of the characters is something else that shows a diff."""

_SAMPLE_CHARS = 4_000
_HUNK = re.compile(r"@@ -\d+(?:,(?P<old>\d+))? \+\d+(?:,(?P<new>\d+))? @@|@@@+ (?:-\d+(?:,\d+)? ){2,}\+\d+(?:,\d+)? @@@+")
_LOOKS = re.compile(rf"^(?:\x1b\[[\d;]*m)*(?:{_HUNK.pattern.replace('?P<old>', '').replace('?P<new>', '')})", re.MULTILINE)
_INTRO = re.compile(r"diff |Index: \S|Only in ")
_DETAIL = re.compile(
    r"index [\da-f]+|(?:old|new|deleted file|new file) mode|(?:dis)?similarity index|(?:rename|copy) (?:from|to) |Binary files |===="
)
_ANSI = re.compile(r"\x1b\[[\d;?]*[ -/]*[@-~]")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_BLANK_LINES = re.compile(r"(?:^[+-]?[^\S\n]*\n)+", re.MULTILINE)

_HUNK_LINES = frozenset(" +-\t\r\n")

_Part: TypeAlias = Literal["text", "intro", "names", "hunk", "change", "context"]
_BODY: frozenset[_Part] = frozenset(["change", "context"])
_SAME_BLOCK: frozenset[tuple[_Part, _Part]] = frozenset([("intro", "names"), ("names", "hunk")])


@dataclass(frozen=True, slots=True)
class _Run:
    """Neighbouring lines of one sort, from `start` to `end`."""

    part: _Part
    start: int
    end: int


def looks_like_diff(text: str) -> bool:
    """Whether a line near the start, the middle or the end of `text` is the header of a hunk."""
    middle = len(text) // 2
    windows = (0, max(0, middle - _SAMPLE_CHARS // 2), max(0, len(text) - _SAMPLE_CHARS))
    return any(_LOOKS.search(text[start : start + _SAMPLE_CHARS]) for start in windows)


def split_diff(text: str, limits: Limits) -> Layout | None:
    """The layout of a unified diff; None for text that is not mostly a diff."""
    runs = list(_runs(text))
    in_diff = sum(run.end - run.start for run in runs if run.part != "text")
    if not any(run.part == "hunk" for run in runs) or in_diff < MIN_DIFF_SHARE * len(text):
        return None
    writer = _Writer(text, limits)
    for run in _joined(runs, limits):
        writer.add(run)
    return writer.builder.build()


def _runs(text: str) -> Iterator[_Run]:
    spans = [match.span() for match in _LINE.finditer(text)]
    shown = [text[start:end] for start, end in spans]
    if "\x1b" in text:
        shown = [_ANSI.sub("", line) for line in shown]
    for (part, _), lines in groupby(zip(_parts(shown), spans, strict=True), lambda line: line[0]):
        members = [span for _, span in lines]
        yield _Run(part, members[0][0], members[-1][1])


def _parts(lines: Sequence[str]) -> Iterator[tuple[_Part, int]]:
    """What each line is, with a number that tells one file's or hunk's lines from the next one's."""
    number, sides, old, new = 0, 1, 0, 0
    for at, line in enumerate(lines):
        hunk = _HUNK.match(line) if line.startswith("@@") else None
        if hunk is not None:
            number += 1
            sides = len(line) - len(line.lstrip("@")) - 1
            old, new = (int(hunk[side] or 1) if sides == 1 else len(lines) for side in ("old", "new"))
            yield "hunk", number
        elif line.startswith(("--- ", "+++ ")) and _is_name(lines, at):
            number += line.startswith("---")
            old = new = 0
            yield "names", number
        elif line[:1] == "\\":
            yield "context", number
        elif (old > 0 or new > 0) and line[:1] in _HUNK_LINES:
            old -= line[0] != "+"
            new -= line[0] != "-"
            yield ("change" if {"+", "-"} & set(line[:sides]) else "context"), number
        else:
            old = new = 0
            is_intro = _INTRO.match(line) is not None
            number += is_intro
            yield ("intro" if is_intro or _DETAIL.match(line) else "text"), number


def _is_name(lines: Sequence[str], at: int) -> bool:
    """Whether a line names a file: `---` and `+++` next to each other with a hunk below, which no removed line looks like."""
    at -= lines[at].startswith("+++ ")
    expected = ("--- ", "+++ ", "@@")
    return at >= 0 and all(line.startswith(start) for line, start in zip((*lines[at : at + 3], "", "", ""), expected, strict=False))


def _joined(runs: Sequence[_Run], limits: Limits) -> Iterator[_Run]:
    """`runs`, where neighbouring lines of a hunk that fit in one unit are one run, a changed one when any of them is."""
    held: _Run | None = None
    for run in runs:
        if held is not None and {held.part, run.part} <= _BODY and run.end - held.start <= limits.max_chars:
            held = _Run("change" if "change" in (held.part, run.part) else "context", held.start, run.end)
            continue
        if held is not None:
            yield held
        held = run
    if held is not None:
        yield held


class _Writer:
    """Writes runs into a layout: their units, what they need, and where blocks begin."""

    def __init__(self, text: str, limits: Limits) -> None:
        self.builder = LayoutBuilder("diff")
        self._text = text
        self._limits = limits
        self._last: _Part = "text"
        self._names: tuple[int, ...] = ()
        self._hunk: tuple[int, ...] = ()
        self._block_start = 0

    def add(self, run: _Run) -> None:
        """Add the units of `run`, the next one in the text."""
        if run.part == "intro":
            self._names = ()
        if run.part not in _BODY and (self._last, run.part) not in _SAME_BLOCK:
            self._begin_block()
        needs = self._names if run.part == "hunk" else self._hunk if run.part in _BODY else ()
        first = len(self.builder)
        for end in self._cuts(run):
            if end - self._block_start > self._limits.block_chars:
                self._begin_block()
            self.builder.add(end, needs=needs, lift=CHANGE_LIFT if run.part == "change" else 0.0)
        if run.part == "names":
            self._names = (first,)
        elif run.part == "hunk":
            self._hunk = (first,)
        self._last = run.part

    def _begin_block(self) -> None:
        self.builder.begin_block()
        self._block_start = self.builder.end

    def _cuts(self, run: _Run) -> list[int]:
        """Ends of the units of `run`: one, unless it is long; then blank lines, added ones too, end units."""
        limits = self._limits
        if run.end - run.start <= limits.max_chars * (1 if run.part == "text" else 2):
            return [run.end]
        ends: list[int] = []
        start = run.start
        for filled, stop in [*(match.span() for match in _BLANK_LINES.finditer(self._text, run.start, run.end)), (run.end, run.end)]:
            units = split_lines(self._text[start:filled], limits.min_chars, limits.max_chars)
            ends.extend(start + unit.end for unit in units)
            if ends and stop > filled:
                ends[-1] = stop
            start = stop if ends else start
        return ends
