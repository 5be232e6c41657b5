"""Split a text into units: the smallest pieces that are kept or dropped whole. The units of a text tile it."""

from specprefill_agents.prompt.units.blocks import BLOCK_CHARS, split_blocks
from specprefill_agents.prompt.units.detect import layout_of
from specprefill_agents.prompt.units.layout import DEFAULT_LIMITS, Layout, Limits
from specprefill_agents.prompt.units.lines import split_lines

__all__ = ["BLOCK_CHARS", "DEFAULT_LIMITS", "Layout", "Limits", "layout_of", "split_blocks", "split_lines"]
