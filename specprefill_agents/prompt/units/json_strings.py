"""Long strings inside nested values: what they say, and how what they say may be cut, in positions of the escaped text.

A border of the decoded text is a border of the escaped one that stands inside no escape sequence, and between no two that
stand for one character together.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from specprefill_agents.prompt.units.layout import Layout
from specprefill_agents.types import GapForm, Unit

# Runs of one sort, so that a million escapes are few: those of two characters, those of six, pairs of surrogates, the others.
_ESCAPES = re.compile(
    r"""(?P<short>(?:\\[^uUx])+)
    |(?P<unit>(?:\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4})+)
    |(?P<pair>(?:\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})+)
    |\\(?P<hex>u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|U00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4}|[uUx])
    """,
    re.VERBOSE | re.DOTALL,
)
_SHORT = str.maketrans("nrtbf", "\n\r\t\b\f")


class _Stretch(NamedTuple):
    """From here on, each decoded character stands for `width` escaped ones."""

    decoded: int
    raw: int
    width: int


def layout_inside(text: str, split: Callable[[str], Layout], start: int, end: int) -> Layout:
    """How the contents `text[start:end]` of a string may be cut: as `split` says of what they stand for.

    Its units tile `text[start:end]`, and every gap among them is inside the string.
    """
    decoded, stretches = _decoded(text, start, end)
    layout = split(decoded)
    units: list[Unit] = []
    current = 0
    for unit in layout.units:
        while current + 1 < len(stretches) and stretches[current + 1].decoded <= unit.end:
            current += 1
        stretch = stretches[current]
        border = stretch.raw + (unit.end - stretch.decoded) * stretch.width
        units.append(Unit(units[-1].end if units else start, border))
    gaps: list[GapForm] = ["string"] * len(units)
    return replace(layout, units=tuple(units), gaps=tuple(gaps))


def _decoded(text: str, start: int, end: int) -> tuple[str, list[_Stretch]]:
    """What `text[start:end]` stands for, and which of its characters stands where."""
    pieces: list[str] = []
    stretches = [_Stretch(0, start, 1)]
    length, at = 0, start
    for match in _ESCAPES.finditer(text, start, end):
        plain = text[at : match.start()]
        meant = _meaning(match)
        pieces += (plain, meant)
        length += len(plain)
        at = match.end()
        stretches.append(_Stretch(length, match.start(), (at - match.start()) // len(meant)))
        length += len(meant)
        stretches.append(_Stretch(length, at, 1))
    pieces.append(text[at:end])
    return "".join(pieces), stretches


def _meaning(match: re.Match[str]) -> str:
    """What a run of escapes of one sort stands for."""
    escapes, sort = match.group(), match.lastgroup
    if sort == "short":
        return escapes[1::2].translate(_SHORT)
    if sort == "hex":
        digits = escapes[2:]
        return chr(int(digits, 16)) if digits else escapes[1]
    return bytes.fromhex(escapes.replace("\\u", "")).decode("utf-16-be")
