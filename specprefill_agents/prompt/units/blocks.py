"""Blocks: runs of units that belong together (a document, a paragraph, a function, a stretch of a transcript).

Knows no content kind: a short text is one block, a longer one is cut where a blank line or the size asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from specprefill_agents.types import Unit

BLOCK_CHARS = 1_500
"""A block's size in characters that is not exceeded, unless by a single unit."""


def split_blocks(text: str, units: Sequence[Unit], block_chars: int = BLOCK_CHARS) -> list[Unit]:
    """Blocks that tile `text` and end where units end: at most `block_chars` long, past a third of it at a blank line."""
    if len(text) <= block_chars:
        return [Unit(0, len(text))] if text else []
    blocks: list[Unit] = []
    start = 0
    for unit in units:
        ends_paragraph = 3 * (unit.start - start) > block_chars and text.endswith(("\n\n", "\n\r\n"), start, unit.start)
        if unit.start > start and (ends_paragraph or unit.end - start > block_chars):
            blocks.append(Unit(start, unit.start))
            start = unit.start
    return [*blocks, Unit(start, len(text))]
