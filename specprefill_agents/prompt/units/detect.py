"""What a text is made of, and its layout by the splitter for that.

Detection reads the text alone: scorers and selection, in any process, must see the same layout, and a tool's output
comes without a file name. The first splitter that recognises a text takes it; the stricter the form, the earlier its turn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from specprefill_agents.prompt.units.blocks import split_blocks
from specprefill_agents.prompt.units.code import split_code
from specprefill_agents.prompt.units.code_languages import looks_like_code
from specprefill_agents.prompt.units.diff import looks_like_diff, split_diff
from specprefill_agents.prompt.units.grep import looks_like_grep, split_grep
from specprefill_agents.prompt.units.json_values import looks_like_json, split_json
from specprefill_agents.prompt.units.layout import Layout, LayoutBuilder, Limits, Splitter
from specprefill_agents.prompt.units.lines import split_lines
from specprefill_agents.prompt.units.log import looks_like_log, split_log
from specprefill_agents.prompt.units.markdown import looks_like_markdown, split_markdown
from specprefill_agents.prompt.units.markup import looks_like_markup, split_markup
from specprefill_agents.prompt.units.prose import looks_like_prose, split_prose
from specprefill_agents.prompt.units.table import looks_like_table, split_table
from specprefill_agents.prompt.units.yaml_records import looks_like_records, split_records

HELD_LAYOUTS = 64
"""Layouts of the latest texts that are kept in memory: every scorer and the selection ask for the same ones."""


class Form(NamedTuple):
    """A form that texts come in: how one is recognised at a glance, and the splitter that has the last word."""

    is_likely: Callable[[str], bool]
    split: Splitter


FORMS = (
    Form(looks_like_json, split_json),
    Form(looks_like_diff, split_diff),
    Form(looks_like_records, split_records),
    Form(looks_like_markup, split_markup),
    Form(looks_like_grep, split_grep),
    Form(looks_like_log, split_log),
    Form(looks_like_code, split_code),
    Form(looks_like_table, split_table),
    Form(looks_like_markdown, split_markdown),
    Form(looks_like_prose, split_prose),
)
"""In the order in which they are tried."""


@lru_cache(maxsize=HELD_LAYOUTS)
def layout_of(text: str, limits: Limits) -> Layout:
    """How `text` may be cut. The same text and limits always give the same layout; linear in time, for any string."""
    for form in FORMS:
        layout = form.split(text, limits) if form.is_likely(text) else None
        if layout is not None:
            return layout
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
