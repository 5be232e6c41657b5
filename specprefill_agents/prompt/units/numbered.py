"""Texts shown with line numbers, as `cat -n` and tools for reading files do: read without the numbers, cut with them.

A number goes with the line behind it. Knows no content kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from specprefill_agents.prompt.units.code_lines import GUTTER, is_frame
from specprefill_agents.prompt.units.layout import Layout
from specprefill_agents.types import GapForm, Unit

MIN_LINES = 3
MOST_AROUND = 5
"""Lines before the first numbered line and after the last, in which the tool says what it shows."""

_HEAD_CHARS = 4_000


@dataclass(frozen=True, slots=True)
class NumberedText:
    """A text without its line numbers. `starts` (L + 1) are those of its lines, `shown` (L + 1) where these start in the text
    as it was shown, and `gutters` (L) the length of what stands before each."""

    text: str
    starts: Sequence[int]
    shown: Sequence[int]
    gutters: Sequence[int]

    def laid_out(self, layout: Layout) -> Layout:
        """`layout`, which is one of the text without numbers, as a layout of the text as it was shown."""
        ends = list(self._shown_ends(unit.end for unit in layout.units))
        units = tuple(Unit(start, end) for start, end in zip([0, *ends], ends, strict=False))
        plain: GapForm = "plain"
        return replace(layout, units=units, gaps=(plain,) * len(units))

    def _shown_ends(self, ends: Iterator[int]) -> Iterator[int]:
        line, last = 0, len(self.gutters)
        for end in ends:
            while line < last and self.starts[line + 1] <= end:
                line += 1
            inside = end - self.starts[line]
            yield self.shown[line] + (self.gutters[line] + inside if inside else 0)


def without_numbers(text: str) -> NumberedText | None:
    """`text` without line numbers; None unless all lines, but for a few around them, are numbered one after the other."""
    head = text[:_HEAD_CHARS].split("\n", MOST_AROUND + 1)[: MOST_AROUND + 1]
    first = next((at for at, line in enumerate(head) if not is_frame(line)), 0)
    if GUTTER.match(head[first]) is None:
        return None
    lines = text.split("\n")
    gutters = _gutters(lines[first:])
    behind = first + len(gutters)
    if len(gutters) < MIN_LINES or len(lines) - behind > MOST_AROUND:
        return None
    gutters = [0] * first + gutters + [0] * (len(lines) - behind)
    bare = [line[gutter:] for line, gutter in zip(lines, gutters, strict=True)]
    if not any(line and not line.isspace() for line in bare):
        return None
    starts = [0, *accumulate(len(line) + 1 for line in bare)]
    shown = [0, *accumulate(len(line) + 1 for line in lines)]
    starts[-1], shown[-1] = starts[-1] - 1, len(text)  # no line break ends the last
    return NumberedText("\n".join(bare), starts, shown, gutters)


def _gutters(lines: Sequence[str]) -> list[int]:
    """What stands before each of the `lines` up to the first that is not numbered like those before it: so many characters."""
    found: list[re.Match[str]] = []
    for line in lines:
        match = GUTTER.match(line)
        if match is None or (found and int(match["number"]) != int(found[-1]["number"]) + 1):
            break
        found.append(match)
    marks = [match["mark"].strip() or match["mark"][:1] for match in found]
    usual = next((mark for mark in marks if mark), "")
    alike = next((at for at, mark in enumerate(marks) if mark not in ("", usual)), len(found))
    found = found[:alike]
    if usual == " ":  # then the least that stands behind a number: more is the indent of the line
        width = min(len(match["mark"]) for match in found if match["mark"])
        return [min(match.end("number") + width, match.end()) for match in found]
    is_spaced = all(match.string[match.end() : match.end() + 1] in ("", " ", "\r") for match in found)
    return [min(match.end() + is_spaced, len(match.string)) for match in found]
