"""Which lines of a text are kept, and what must hold of lines and words: none is cut, and a hunk keeps its headers.

A line counts by its ink: white space at its ends may go with either neighbour.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np

from benchmarks.metrics import kept_mask
from benchmarks.wellformed.marks import shown
from benchmarks.wellformed.outputs import Output
from specprefill_agents import Span

State: TypeAlias = Literal["kept", "dropped", "cut", "blank"]

OF_LINES = frozenset(["code", "table", "diff", "log", "grep"])
"""Content kinds that are read line by line. Elsewhere lines may be long, and are cut after sentences, tags or values."""

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_HUNK = re.compile(r"@@ -\d+(?:,(?P<old>\d+))? \+\d+(?:,(?P<new>\d+))? @@")
_ANSI = re.compile(r"\x1b\[[\d;?]*[ -/]*[@-~]")
_ESCAPE = re.compile(r"\\(?:[abfnrtv]|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2})\Z")
_SPACELESS = 0x590
"""Characters from here on may be of scripts that put no spaces between words."""


class Kept:
    """What `spans` keep of `text`."""

    def __init__(self, text: str, spans: tuple[Span, ...]) -> None:
        inked = np.fromiter((not character.isspace() for character in text), np.bool_, len(text))
        self.mask = kept_mask(len(text), spans)
        self.lines = [match.span() for match in _LINE.finditer(text)]
        self._ink = np.concatenate([[0], np.cumsum(inked)])
        self._kept = np.concatenate([[0], np.cumsum(inked & self.mask)])

    def state(self, start: int, end: int) -> State:
        """What became of the characters from `start` to before `end`."""
        ink, kept = self._ink[end] - self._ink[start], self._kept[end] - self._kept[start]
        return "blank" if not ink else "kept" if kept == ink else "cut" if kept else "dropped"

    def line(self, index: int) -> State:
        """What became of one line, counted from 0."""
        return self.state(*self.lines[index])


@lru_cache(maxsize=4)
def kept_of(text: str, spans: tuple[Span, ...]) -> Kept:
    """What `spans` keep of `text`, worked out once for all checks."""
    return Kept(text, spans)


def whole_words(output: Output) -> str | None:
    """No word is cut, in scripts that put spaces between words; one longer than a unit, or behind an escape such as `\\n`, may be."""
    text, most = output.text, output.limits.max_chars
    for border in {place for span in output.decided.spans for place in span} - {0, len(text)}:
        if not (_is_letter(text[border - 1]) and _is_letter(text[border])) or _ESCAPE.search(text, max(0, border - 10), border):
            continue
        word = "".join([*_letters(text[max(0, border - most) : border][::-1])][::-1]) + "".join(_letters(text[border : border + most]))
        if len(word) <= most:
            return f"the word {shown(word)} is cut"
    return ""


def _is_letter(character: str) -> bool:
    return character.isalnum() and ord(character) < _SPACELESS


def _letters(text: str) -> Iterator[str]:
    for character in text:
        if not _is_letter(character):
            return
        yield character


def whole_lines(output: Output) -> str | None:
    """Where a text is read line by line, no line that fits in a unit is cut."""
    if output.layout.kind not in OF_LINES:
        return None
    kept = kept_of(output.text, output.decided.spans)
    for start, end in kept.lines:
        if end - start <= output.limits.max_chars and kept.state(start, end) == "cut":
            return f"the line {shown(output.text[start:end])} is cut"
    return ""


def with_hunk_header(output: Output) -> str | None:
    """With any line of a hunk its header is kept, and with that the two lines that name its file.

    Hunks are told by the line counts in their headers.
    """
    if output.layout.kind != "diff":
        return None
    kept = kept_of(output.text, output.decided.spans)
    for line, heads in _hunk_lines(output.text, kept.lines):
        if kept.state(*line) in ("dropped", "blank"):
            continue
        for head in heads:
            if kept.state(*head) != "kept":
                return f"{shown(output.text[slice(*line)])} is kept without {shown(output.text[slice(*head)])}"
    return ""


def _hunk_lines(text: str, lines: list[Span]) -> Iterator[tuple[Span, list[Span]]]:
    """Lines of hunks and their headers, each with the lines that it belongs under."""
    names: list[Span] = []
    header: list[Span] = []
    old = new = 0
    for start, end in lines:
        line = _ANSI.sub("", text[start:end])
        if match := _HUNK.match(line):
            old, new = int(match["old"] or 1), int(match["new"] or 1)
            header = [(start, end)]
            yield (start, end), names
        elif (old > 0 or new > 0) and line[:1] in (" ", "+", "-", "\r", "\n"):
            old -= line[0] != "+"
            new -= line[0] != "-"
            yield (start, end), [*header, *names]
        elif line.startswith("--- "):
            names = [(start, end)]
        elif line.startswith("+++ "):
            names = [*names, (start, end)]
        elif line.startswith("diff "):
            names = []
