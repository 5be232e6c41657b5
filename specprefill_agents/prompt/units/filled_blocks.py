"""Blocks for texts made of paragraph-like parts: each part a block, unless it is too short or too long to be one."""

from __future__ import annotations

from collections.abc import Iterable

from specprefill_agents.prompt.units.layout import LayoutBuilder, Limits


class FilledBlocks:
    """Adds units to a layout and begins its blocks: a part joins the block before it until that one has `enough` characters,
    and unless both together would have more than there is `room` for. A part too long for a block gets several of like size.
    """

    def __init__(self, builder: LayoutBuilder, limits: Limits, *, enough: int | None = None, room: int | None = None) -> None:
        self._builder = builder
        self._most = limits.block_chars
        self._enough = limits.max_chars if enough is None else enough
        self._room = limits.block_chars if room is None else room
        self._start = builder.end
        self._share = self._most

    @property
    def end(self) -> int:
        """Where the next unit begins."""
        return self._builder.end

    @property
    def next_index(self) -> int:
        """Index of the next unit."""
        return len(self._builder)

    def begin(self) -> None:
        """Let the next unit begin a block."""
        if self.end > self._start:
            self._builder.begin_block()
            self._start = self.end

    def open_for(self, end: int) -> None:
        """Announce a part that ends at `end`: the block for it is the open one, or a new one."""
        if self.end - self._start >= self._enough or end - self._start > self._room:
            self.begin()
        size = end - self.end
        self._share = -(-size // -(-size // self._most)) if size > self._most else self._most

    def add(self, end: int, needs: Iterable[int] = ()) -> int:
        """A unit up to `end`, which drags `needs` along; returns its index."""
        if self.end - self._start >= self._share or end - self._start > self._most:
            self.begin()
        return self._builder.add(end, needs=tuple(needs))

    def add_all(self, ends: Iterable[int], needs: Iterable[int] = ()) -> None:
        """A unit up to each of `ends`, all with the same `needs`."""
        for end in ends:
            self.add(end, needs)
