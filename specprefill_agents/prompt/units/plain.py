"""Text of which nothing more is known: lines, in which indentation and line breaks are read as people use them.

What is indented below a line that announces it (`Containers:`, `server {`, `State: Waiting`) needs that line, and so does
what stands below the name of a section (`[server]`). A wrapped sentence is not parted at its line break, nor a closing
bracket from what it closes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from specprefill_agents.prompt.units.blocks import split_blocks
from specprefill_agents.prompt.units.layout import Layout, LayoutBuilder, Limits
from specprefill_agents.prompt.units.lines import has_tiny_lines, split_lines
from specprefill_agents.types import Unit

_MAX_HEADS = 4
"""What is announced more deeply than that needs what the line above it does, so that no unit drags a long chain along."""
_LEAST_STEP = 2
"""Columns by which a line is indented deeper than another on purpose, not because a figure is shorter."""
_TAB_COLUMNS = 8
_WRAPPED_CHARS, _WRAPPED_WORDS, _WRAPPED_SHARE = 50, 8, 0.7
"""Least length of a line that may have been wrapped, least number of its words, and least share of them that are plain words."""

_LINE = re.compile(r"(?<![ \t])([ \t]*)(\S[^\n]*)")
_ANNOUNCES = re.compile(r"(?P<key>[\w\"'@.][^:{\n]{0,40}):(?:\s|\Z)|[^\n]*[:{\[(]\s*\Z")
_SECTION = re.compile(r"\[{1,2}[\w.\"' /:-]{1,80}\]{1,2}\s*\Z")
_CLOSES = re.compile(r"\s*(?:[)\]}>;,]+|(?:end|done|fi|esac|endif|endfor)\b;?)\s*\Z")
_CLOSING_CHARS = 24
_GOES_ON = re.compile(r"[ \t]*[^\W\d_A-Z][\w'’-]{0,40}[,;.:)]{0,3}\s")


class _Head(NamedTuple):
    """A line that announces others: its indent, the column of the colon behind its key (-1: it has none), and its unit."""

    indent: int
    colon: int
    unit: int


def plain_layout(text: str, limits: Limits) -> Layout:
    """Lines and sentences in blocks; never None."""
    builder = LayoutBuilder("plain")
    units = list(_whole(text, split_lines(text, limits.min_chars, limits.max_chars), limits))
    starts = {block.start for block in split_blocks(text, units, limits.block_chars)}
    for unit, needs in zip(units, _heads(text, units, limits), strict=True):
        if unit.start in starts:
            builder.begin_block()
        builder.add(unit.end, needs=needs)
    return builder.build()


def _whole(text: str, units: Sequence[Unit], limits: Limits) -> Iterator[Unit]:
    """`units`, those joined of which one goes on with the sentence of the other, or only closes its brackets."""
    held: Unit | None = None
    for unit in units:
        if held is None:
            held = unit
        elif _belongs(text, held, unit, limits):
            held = Unit(held.start, unit.end)
        else:
            yield held
            held = unit
    if held is not None:
        yield held


def _belongs(text: str, held: Unit, unit: Unit, limits: Limits) -> bool:
    room = 2 * limits.max_chars - (unit.end - held.start)
    if unit.end - unit.start <= _CLOSING_CHARS and _CLOSES.match(text, unit.start, unit.end):
        return room + _CLOSING_CHARS >= 0 and not text[held.start : held.end].isspace()
    if room < 0 or not _GOES_ON.match(text, unit.start, unit.end):
        return False
    line = text[max(held.start, text.rfind("\n", held.start, held.end - 1) + 1) : held.end].strip()
    if line.split(None, 1)[:1] == text[unit.start : unit.end].split(None, 1)[:1]:
        return False  # lines that begin alike are a list
    return text[held.end - 1] == "\n" and _was_wrapped(line)


def _was_wrapped(line: str) -> bool:
    """Whether `line` is a long one of words, without the mark that ends a sentence."""
    words = line.split()
    if len(line) < _WRAPPED_CHARS or len(words) < _WRAPPED_WORDS or line[-1] in ".:;!?":
        return False
    return sum(word.strip("\"'(),;").isalpha() for word in words) >= _WRAPPED_SHARE * len(words)


def _heads(text: str, units: Sequence[Unit], limits: Limits) -> Iterator[tuple[int, ...]]:
    """For each unit the one with the line that announces its first line: the nearest above that is indented less."""
    is_flat = not any(sign in text for sign in ("\n ", "\n\t", "]\n", "]\r\n"))
    if is_flat or has_tiny_lines(text):
        yield from ((),) * len(units)
        return
    above: list[_Head] = []  # what the next line stands under, the outermost first
    for index, unit in enumerate(units):
        is_short = unit.end - unit.start <= 2 * limits.max_chars
        needs: tuple[int, ...] | None = None
        for line in _LINE.finditer(text, unit.start, unit.end):
            if line.start() and text[line.start() - 1] != "\n":
                continue
            is_section = not line[1] and _SECTION.match(line[2]) is not None
            indent = -_LEAST_STEP if is_section else len(line[1].expandtabs(_TAB_COLUMNS))
            announces = _ANNOUNCES.match(line[2])
            colon = indent + announces.end("key") if announces and announces["key"] else -1
            if above and colon >= 0 and colon == above[-1].colon:
                indent = above[-1].indent  # keys that end alike stand side by side
            while above and above[-1].indent >= indent:
                above.pop()
            if needs is None:
                is_deeper = above and indent - above[-1].indent >= _LEAST_STEP
                needs = (above[min(len(above), _MAX_HEADS) - 1].unit,) if is_deeper else ()
            if is_short and (announces or is_section):
                above.append(_Head(indent, colon, index))
        yield needs or ()
