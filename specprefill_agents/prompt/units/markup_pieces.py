"""Pieces of a marked-up text on their way to becoming units: joined with short siblings, gathered in blocks.

Knows nothing of tags. Parents are known by any numbers that differ.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from specprefill_agents.prompt.units.layout import Layout, LayoutBuilder, Limits
from specprefill_agents.prompt.units.sentences import weight

SHORT_OPENING = 80
"""An opening of at most so many characters is dragged along by what it opens."""

_SPACE = re.compile(r"\s*")


@dataclass(slots=True)
class _Piece:
    start: int
    end: int
    needs: tuple[int, ...]
    parent: int
    begins_block: bool
    can_grow: bool
    is_opening: bool = False


class Pieces:
    """Pieces in the order of the text: each begins where the one before ended, and takes the white space behind it along.

    A piece is known by its number, which is the number of the unit that it becomes.
    """

    def __init__(self, text: str, limits: Limits) -> None:
        self._text = text
        self._limits = limits
        self._pieces: list[_Piece] = []
        self._block_start = 0
        self._begins_block = True

    @property
    def end(self) -> int:
        """Where the next piece begins."""
        return self._pieces[-1].end if self._pieces else 0

    @property
    def ends_in_opening(self) -> bool:
        """Whether the latest piece is an opening."""
        return bool(self._pieces) and self._pieces[-1].is_opening

    def begin_block(self) -> None:
        """Let the next piece begin a block."""
        if self.end > self._block_start:
            self._block_start = self.end
            self._begins_block = True

    def open_for(self, end: int, enough: int) -> None:
        """Let what ends at `end` begin a block when the open one has `enough` characters, or no room for it."""
        if self.end - self._block_start >= enough or end - self._block_start > self._limits.block_chars:
            self.begin_block()

    def add(self, end: int, parent: int, needs: tuple[int, ...], *, alone: bool = False) -> int:
        """Everything up to `end`, unless `alone` together with a sibling before it that is short; the piece's number."""
        last = self._last_in_block()
        end = self._behind_space(end)
        if alone or last is None or not self._fits(last, end, parent):
            return self._append(end, parent, needs, can_grow=not alone)
        last.end, last.is_opening = end, False
        return len(self._pieces) - 1

    def add_opening(self, end: int, parent: int, inside: int, needs: tuple[int, ...], *, is_needed: bool) -> int:
        """What opens the element `inside` of `parent`, together with the opening of `parent` when both are short.

        What follows stays apart from it when it `is_needed` by others as well.
        """
        last = self._last_in_block()
        end = self._behind_space(end)
        if last is not None and last.is_opening and last.parent == parent and end - last.start <= SHORT_OPENING:
            last.end, last.parent, last.can_grow = end, inside, last.can_grow and not is_needed
        else:
            self._append(end, inside, needs, can_grow=not is_needed)
            self._pieces[-1].is_opening = True
        return len(self._pieces) - 1

    def add_long(self, ends: Sequence[int], parent: int, needs: tuple[int, ...]) -> None:
        """Pieces of one long text, the first with a short opening before it; more than a block holds is spread evenly."""
        size = ends[-1] - self.end
        share = -(-size // -(-size // self._limits.block_chars))
        last = self._last_in_block()
        if last is not None and last.is_opening and self._fits(last, last.end, parent):
            last.end, last.is_opening, ends = self._behind_space(ends[0]), False, ends[1:]
        for end in ends:
            if size > self._limits.block_chars:
                self.open_for(end, share)
            self._append(self._behind_space(end), parent, needs, can_grow=False)

    def close(self, end: int, parent: int) -> None:
        """What closes an element: part of its last piece, unless that has grown long; then of one of `parent`."""
        if self._pieces and end - self._pieces[-1].start <= 2 * self._limits.max_chars + SHORT_OPENING:
            self._pieces[-1].end = self._behind_space(end)
        else:
            self.open_for(end, self._limits.block_chars)
            self.add(end, parent, ())

    def layout(self) -> Layout:
        """The pieces as units."""
        builder = LayoutBuilder("markup")
        for number, piece in enumerate(self._pieces):
            if piece.begins_block and number:
                builder.begin_block()
            builder.add(piece.end, needs=piece.needs)
        return builder.build()

    def _append(self, end: int, parent: int, needs: tuple[int, ...], *, can_grow: bool) -> int:
        if end > self.end:
            self._pieces.append(_Piece(self.end, end, needs, parent, self._begins_block, can_grow))
            self._begins_block = False
        return len(self._pieces) - 1

    def _last_in_block(self) -> _Piece | None:
        return self._pieces[-1] if self._pieces and not self._begins_block else None

    def _fits(self, last: _Piece, end: int, parent: int) -> bool:
        is_sibling = last.can_grow and last.parent == parent and end - last.start <= self._limits.max_chars
        return is_sibling and weight(self._text, last.start, last.end) < self._limits.min_chars

    def _behind_space(self, end: int) -> int:
        space = _SPACE.match(self._text, end)
        return space.end() if space else end
