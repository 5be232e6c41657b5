"""Where in a text nested values stand: behind a line, a label or nothing, one behind the other, whole or broken off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from specprefill_agents.prompt.units.json_notation import JSON, NOTATIONS, PRINTED
from specprefill_agents.prompt.units.json_scanner import Reading, read
from specprefill_agents.prompt.units.json_tree import Value
from specprefill_agents.prompt.units.layout import Limits
from specprefill_agents.types import GapForm

MIN_SHARE = 0.6
"""Of a text that holds values and other things, values must be this share."""
_HEAD_CHARS = 4_000
_MUCH_FURTHER = 400
"""Characters. Of a text that breaks off, the looser notation must read this much more: it also reads the beginning of a number."""
_LONGEST_NOTE = 200

# At the beginning of a line, or behind a label that could not be a log entry or code. Values of code are indented, or
# assigned; so are those in the second half of a text of which the middle is missing.
_PLACE = re.compile(
    r"""^\ufeff?(?P<indent>[ \t]*)
    (?:[^\W\d_][^\n:=<>\[\]{}|]{0,80}:[ \t]*(?:\r?\n[ \t]*)?
    |<[^<>\n]{1,80}>)?
    (?=[\[{(])""",
    re.MULTILINE | re.VERBOSE,
)


class Run(NamedTuple):
    """Values one behind the other from `start` to `end`, whatever stands before the first on its line included.

    `gap` marks a gap in the place of a value where a value must stand.
    """

    start: int
    end: int
    roots: list[Value]
    gap: GapForm


def may_hold_runs(text: str) -> bool:
    """Whether values seem to begin near the beginning of `text`."""
    return any(notation.begins(text, at) for _, at, _ in _places(text, _HEAD_CHARS) for notation in NOTATIONS)


def runs(text: str, limits: Limits, string_chars: int) -> list[Run]:
    """The runs of `text`, in order; none when they are less than `MIN_SHARE` of it.

    What breaks off counts, what is shorter than `limits.min_chars` only if it is all.
    """
    found: list[Run] = []
    done = read_to = covered = 0
    has_broken_off = False
    other_chars = (1 - MIN_SHARE) * len(text)
    for start, at, is_indented in _places(text, len(text)):
        if at - covered > other_chars:
            return []
        if at < read_to or (is_indented and not has_broken_off):
            continue
        reading, gap = _best_reading(text, at, limits.max_chars, string_chars)
        roots = [*reading.roots, _with_note(text, reading.rest)] if reading.rest else reading.roots
        end = roots[-1].end if roots else at
        read_to = max(end, reading.stopped)
        if roots and (end - at >= limits.min_chars or (at, end) == (0, len(text))):
            start = max(start, done)
            found.append(Run(start, end, [roots[0]._replace(start=start), *roots[1:]], gap))
            done, covered = end, covered + end - start
            has_broken_off = has_broken_off or reading.rest is not None
    return found if len(text) - covered <= other_chars else []


def _with_note(text: str, rest: Value) -> Value:
    """A value that breaks off, with a short text that follows as its closing: it says why, and is kept with it."""
    has_note = rest.parts and len(text) - rest.end <= _LONGEST_NOTE
    return rest._replace(end=len(text)) if has_note else rest


def _places(text: str, end: int) -> Iterator[tuple[int, int, bool]]:
    """Where a label begins, if there is one, where values may begin behind it, and whether that is indented."""
    yield 0, 0, False
    yield from ((match.start(), match.end(), match["indent"] != "") for match in _PLACE.finditer(text, 0, end))


def _best_reading(text: str, at: int, leaf_chars: int, string_chars: int) -> tuple[Reading, GapForm]:
    """What can be read from `at` on in the notation that suits it, and how a gap in place of it is marked."""
    strict = read(text, at, JSON, leaf_chars, string_chars)
    if strict.roots or strict.stopped == len(text):
        return strict, JSON.item_gap
    loose = read(text, at, PRINTED, leaf_chars, string_chars)
    is_better = loose.roots or loose.stopped > strict.stopped + (_MUCH_FURTHER if strict.rest else 0)
    return (loose, PRINTED.item_gap) if is_better else (strict, JSON.item_gap)
