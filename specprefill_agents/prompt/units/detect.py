"""What a text is made of, and its layout by the splitter for that."""

from __future__ import annotations

from functools import lru_cache

from specprefill_agents.prompt.units.blocks import split_blocks
from specprefill_agents.prompt.units.layout import Layout, LayoutBuilder, Limits
from specprefill_agents.prompt.units.lines import split_lines

HELD_LAYOUTS = 64
"""Layouts of the latest texts that are kept in memory: every scorer and the selection ask for the same ones."""


@lru_cache(maxsize=HELD_LAYOUTS)
def layout_of(text: str, limits: Limits) -> Layout:
    """How `text` may be cut. The same text and limits always give the same layout."""
    return plain_layout(text, limits)


def plain_layout(text: str, limits: Limits) -> Layout:
    """Lines and sentences in blocks, for a text of which nothing more is known."""
    builder = LayoutBuilder("plain")
    units = split_lines(text, limits.min_chars, limits.max_chars)
    starts = {block.start for block in split_blocks(text, units, limits.block_chars)}
    for unit in units:
        if unit.start in starts:
            builder.begin_block()
        builder.add(unit.end)
    return builder.build()
