"""Tables that stand alone: separated cells, drawn with rules, or aligned by spaces.

A row is never cut. The header, its rule included, is one unit that every row of its table needs; footers and captions are
units by themselves.
"""

from __future__ import annotations

from specprefill_agents.prompt.units.layout import Layout, Limits
from specprefill_agents.prompt.units.line_sample import bounded
from specprefill_agents.prompt.units.log import looks_like_log
from specprefill_agents.prompt.units.sized_blocks import SizedBlocks
from specprefill_agents.prompt.units.table_aligned import read_aligned
from specprefill_agents.prompt.units.table_delimited import read_delimited
from specprefill_agents.prompt.units.table_drawn import read_drawn
from specprefill_agents.prompt.units.table_parts import Part


def looks_like_table(text: str) -> bool:
    """Whether the beginning and the end of `text` are rows of tables."""
    return _read(bounded(text)) is not None


def split_table(text: str, limits: Limits) -> Layout | None:
    """The layout of a table, or None when `text` does not mostly consist of tables."""
    parts = _read(text)
    if parts is None:
        return None
    blocks = SizedBlocks("table", text, limits)
    header: tuple[int, ...] = ()
    for part in _units(parts, limits):
        if part.role == "row":
            blocks.add(part.end, header)
            continue
        if part.role == "header":
            blocks.begin()
            is_small = part.end - blocks.end <= limits.block_chars
            index = blocks.add(part.end)
            header = (index,) if is_small else ()
        else:
            blocks.add_pieces(part.end)
    return blocks.build()


def _read(text: str) -> list[Part] | None:
    parts = read_drawn(text) or read_aligned(text)
    if parts is None and not looks_like_log(text):  # the comma of 12:00:00,123 separates no cells
        parts = read_delimited(text)
    return parts


def _units(parts: list[Part], limits: Limits) -> list[Part]:
    """The parts with short rows put together."""
    units: list[Part] = []
    start = 0  # where the last of `units` begins
    for part in parts:
        is_short = units and units[-1].end - start < limits.min_chars and part.end - start <= limits.max_chars
        if is_short and part.role == "row" == units[-1].role:
            units[-1] = part
        else:
            start = units[-1].end if units else 0
            units.append(part)
    return units
