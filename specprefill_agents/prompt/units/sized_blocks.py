"""Units in blocks of bounded size: what the splitters of line-oriented kinds (logs, hits, tables) add their units to."""

from __future__ import annotations

from collections.abc import Sequence

from specprefill_agents.prompt.units.layout import ContentKind, Layout, LayoutBuilder, Limits
from specprefill_agents.prompt.units.lines import split_lines


class SizedBlocks:
    """A layout in the making that begins a new block where the next unit would make the current one too large."""

    def __init__(self, kind: ContentKind, text: str, limits: Limits) -> None:
        self._text = text
        self._limits = limits
        self._builder = LayoutBuilder(kind)
        self._block_start = 0

    @property
    def end(self) -> int:
        """Where the next unit begins."""
        return self._builder.end

    def begin(self) -> None:
        """Let the next unit begin a new block."""
        if self.end > self._block_start:
            self._builder.begin_block()
            self._block_start = self.end

    def keep_together(self, end: int) -> None:
        """Begin a new block unless everything up to `end` still fits into the current one."""
        if end - self._block_start > self._limits.block_chars:
            self.begin()

    def add(self, end: int, needs: Sequence[int] = (), lift: float = 0.0) -> int:
        """One unit up to `end`, however long; returns its index."""
        self.keep_together(end)
        return self._builder.add(end, needs=needs, lift=lift)

    def add_pieces(self, end: int, needs: Sequence[int] = (), lift: float = 0.0) -> int:
        """One unit up to `end`, or several when it would be longer than twice `max_chars`; returns the first one's index.

        Only the first piece has `lift`; the others need it, since it says what they belong to.
        """
        start = self.end
        if end - start <= 2 * self._limits.max_chars:
            return self.add(end, needs, lift)
        self.keep_together(end)
        pieces = split_lines(self._text[start:end], self._limits.min_chars, self._limits.max_chars)
        first = self.add(start + pieces[0].end, needs, lift)
        for piece in pieces[1:]:
            self.add(start + piece.end, (first,))
        return first

    def build(self) -> Layout:
        """The layout of everything added."""
        return self._builder.build()
