"""What a layout makes of a text, in strings that a test can compare."""

from __future__ import annotations

from specprefill_agents.prompt.units.layout import Layout


def unit_texts(text: str, layout: Layout) -> list[str]:
    """The text of each unit."""
    return [text[unit.start : unit.end] for unit in layout.units]


def block_texts(text: str, layout: Layout) -> list[str]:
    """The text of each block."""
    joined: dict[int, str] = {}
    for unit, block in zip(layout.units, layout.blocks, strict=True):
        joined[block] = joined.get(block, "") + text[unit.start : unit.end]
    return list(joined.values())
