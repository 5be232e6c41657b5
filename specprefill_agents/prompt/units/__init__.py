"""Split a text into units: the smallest pieces that are kept or dropped whole. The units of a text tile it."""

from specprefill_agents.prompt.units.blocks import BLOCK_CHARS, split_blocks
from specprefill_agents.prompt.units.lines import split_lines

__all__ = ["BLOCK_CHARS", "split_blocks", "split_lines"]
