"""Values nested in values, whatever their notation, and the layout that follows from how they are nested.

A value is kept with the openings (and closings) of everything it stands in, so whatever is kept is well nested. Knows
positions only: how brackets, keys and indentation are read is the business of the scanners.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

from specprefill_agents.prompt.units.layout import Layout, LayoutBuilder, Limits
from specprefill_agents.types import GapForm

MAX_DEPTH = 12
"""Containers nested deeper are never opened: what a value drags along stays short, however deep a text is nested."""
IDENTIFIER_LIFT = 0.4
"""For members that hold identifiers, dates or amounts: later calls copy those, so they outlast the rest of a record as its
skeleton. Of 0, .1, .2, .4 and .8, the last two keep most of the values that the agent runs of the evaluation data need."""

_IDENTIFIER = re.compile(
    r"""(?:['"]\s*[:,]|\w=|[:,\[(-](?=[\s'"]))\s*['"]?   # a value begins
    [^\s'"\d@/]{0,60}[\d@/][^\s'"]{0,60}  # one word with a digit, an @ or a slash in it
    (?:\ [\d:.,+-]{1,20}|\ [A-Z]{3})?  # a date's time, an amount's currency
    ['"]?\s*(?:[,}\])\n]|\Z)  # and nothing else
    """,
    re.VERBOSE,
)

Holding: TypeAlias = Literal["items", "members", "text", "string"]
"""What the parts of a value are: items of a list, members of an object, pieces of one long text, or all of a long string."""
StringLayout: TypeAlias = Callable[[int, int], Layout]
"""How what stands between two quotes may be cut: start, end -> units that tile it, in positions of the whole text."""


class Value(NamedTuple):
    """A list item or an object member: where it starts and ends, with its key, its comma and the white space behind it.

    One that may be cut has `parts`, which tile `body` to `close`; its opening stands before them and its closing behind,
    either of which may be empty. A gap among the parts is marked as `gap` says.
    """

    start: int
    end: int
    body: int = 0
    close: int = 0
    parts: Sequence[Value] = ()
    holds: Holding = "items"
    gap: GapForm = "plain"


def whole(text: str, parts: Sequence[Value], *, holds: Holding = "items", gap: GapForm = "plain") -> Value:
    """A text without brackets of its own around its outermost values, which tile it."""
    return Value(0, len(text), 0, len(text), parts, holds, gap)


def lay_out(text: str, document: Value, limits: Limits, inside: StringLayout | None = None) -> Layout:
    """The layout of `text`, all of which `document` is. Recursive, so no deeper than `MAX_DEPTH`, give or take a few.

    Small values share a unit with their neighbours. Records are blocks: the values of the outermost list or object, and
    those of a list that is a member of that object. What is longer than a block is several. Strings that may be cut are
    laid out by `inside`.
    """
    writer = _Writer(text, limits, inside)
    writer.add_container(document, needs=(), gap=document.gap, has_records=True)
    return writer.builder.build()


class _Writer:
    """Adds values to a layout in the order of the text."""

    def __init__(self, text: str, limits: Limits, inside: StringLayout | None) -> None:
        self.builder = LayoutBuilder("json")
        self._text = text
        self._limits = limits
        self._inside = inside

    def add_container(self, value: Value, *, needs: tuple[int, ...], gap: GapForm, has_records: bool) -> None:
        """The opening, the parts and the closing of `value`; with `has_records` each of its parts begins a block."""
        inner = self._innermost(value)
        is_long = value.end - value.start > self._limits.block_chars
        if inner.body > value.start:
            needs = (self.builder.add(inner.body, needs=needs, gap=gap),)
        if inner.holds == "string" and self._inside is not None:
            self._add_string(self._inside(inner.body, inner.close), needs, is_long)
        elif has_records or is_long:
            self._add_blocks(inner, needs, has_records)
            self.builder.begin_block()
        else:
            for group, lift in self._groups(inner):
                self._add(group, needs, inner.gap, lift)
        if inner.close < value.end:
            closing = self.builder.add(value.end, needs=needs, gap=gap)
            for opening in needs:
                self.builder.also_needs(opening, (closing,))

    def _add_string(self, layout: Layout, needs: tuple[int, ...], is_long: bool) -> None:
        """The contents of a string, which need its opening; the blocks of a long one are its own."""
        first = len(self.builder)
        for index, unit in enumerate(layout.units):
            if is_long and index and layout.blocks[index] > layout.blocks[index - 1]:
                self.builder.begin_block()
            within = (first + need for need in layout.needs[index])
            self.builder.add(unit.end, needs=(*needs, *within), gap=layout.gaps[index], lift=layout.lift[index])

    def _innermost(self, value: Value) -> Value:
        """`value`, or the only container inside it: wrappers around one value open and close with it."""
        inner = value
        while len(inner.parts) == 1 and inner.parts[0].parts and inner.parts[0].body - value.start <= self._limits.max_chars:
            inner = inner.parts[0]
        return inner

    def _add_blocks(self, container: Value, needs: tuple[int, ...], has_records: bool) -> None:
        """The parts of `container` as blocks: records one by one, otherwise as many uncut values as a block has room for."""
        begin: int | None = None
        for group, lift in self._groups(container):
            if begin is None or has_records or group.parts or group.end - begin > self._limits.block_chars:
                self.builder.begin_block()
                begin = group.start
            is_long = group.end - group.start > self._limits.block_chars
            has_list = group.holds == "items" or (group.holds == "members" and is_long)
            self._add(group, needs, container.gap, lift, has_records=has_records and container.holds != "items" and has_list)
            if group.parts:
                begin = None

    def _add(self, group: Value, needs: tuple[int, ...], gap: GapForm, lift: float, has_records: bool = False) -> None:
        if group.parts:
            self.add_container(group, needs=needs, gap=gap, has_records=has_records)
        else:
            self.builder.add(group.end, needs=needs, gap=gap, lift=lift)

    def _groups(self, container: Value) -> list[tuple[Value, float]]:
        """The parts of `container`, short uncut neighbours joined, and what each is lifted by.

        Members are, unless all of them hold identifiers: then it tells nothing.
        """
        groups = list(container.parts if container.holds == "text" else _joined(container.parts, self._limits))
        lifted = [container.holds == "members" and self._holds_identifier(group) for group in groups]
        if all(lifted):
            lifted = [False] * len(groups)
        return [(group, IDENTIFIER_LIFT * is_lifted) for group, is_lifted in zip(groups, lifted, strict=True)]

    def _holds_identifier(self, member: Value) -> bool:
        is_short = not member.parts and member.end - member.start <= 2 * self._limits.max_chars
        return is_short and _IDENTIFIER.search(self._text, member.start, member.end) is not None


def _joined(parts: Sequence[Value], limits: Limits) -> Iterator[Value]:
    """`parts` with short uncut neighbours joined."""
    start = end = parts[0].start if parts else 0
    for part in parts:
        is_full = end - start >= limits.min_chars or part.end - start > limits.max_chars
        if end > start and (is_full or part.parts):
            yield Value(start, end)
            start = end
        if part.parts:
            yield part
            start = part.end
        end = part.end
    if end > start:
        yield Value(start, end)
