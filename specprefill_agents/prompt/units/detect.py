"""What a text is made of, and its layout by the splitter for that.

Detection reads the text alone: scorers and selection, in any process, must see the same layout, and a tool's output
comes without a file name. The first splitter that recognises a text takes it; the stricter the form, the earlier its turn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from specprefill_agents.prompt.units.binary import looks_like_binary
from specprefill_agents.prompt.units.code import split_code
from specprefill_agents.prompt.units.code_languages import looks_like_code
from specprefill_agents.prompt.units.diff import looks_like_diff, split_diff
from specprefill_agents.prompt.units.grep import looks_like_grep, split_grep
from specprefill_agents.prompt.units.json_values import looks_like_json, split_json
from specprefill_agents.prompt.units.layout import Layout, Limits, Splitter
from specprefill_agents.prompt.units.log import looks_like_log, split_log
from specprefill_agents.prompt.units.markdown import looks_like_fenced_markdown, looks_like_markdown, split_markdown
from specprefill_agents.prompt.units.markup import looks_like_markup, split_markup
from specprefill_agents.prompt.units.numbered import without_numbers
from specprefill_agents.prompt.units.plain import plain_layout
from specprefill_agents.prompt.units.prose import looks_like_prose, looks_like_transcript, split_prose, split_transcript
from specprefill_agents.prompt.units.table import looks_like_table, split_table
from specprefill_agents.prompt.units.yaml_records import looks_like_records, split_records

__all__ = ["FORMS", "HELD_LAYOUTS", "Form", "layout_of", "plain_layout"]

HELD_LAYOUTS = 256
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
    Form(looks_like_transcript, split_transcript),
    Form(looks_like_grep, split_grep),
    Form(looks_like_log, split_log),
    Form(looks_like_fenced_markdown, split_markdown),
    Form(looks_like_code, split_code),
    Form(looks_like_table, split_table),
    Form(looks_like_markdown, split_markdown),
    Form(looks_like_prose, split_prose),
)
"""In the order in which they are tried."""


@lru_cache(maxsize=HELD_LAYOUTS)
def layout_of(text: str, limits: Limits) -> Layout:
    """How `text` may be cut. The same text and limits always give the same layout; linear in time, for any string."""
    if looks_like_binary(text):
        return plain_layout(text, limits)
    numbered = without_numbers(text)
    bare = text if numbered is None else numbered.text
    for form in FORMS:
        shown = text if form.split is split_code else bare  # that one reads around numbers, where not all lines have one too
        layout = form.split(shown, limits) if form.is_likely(shown) else None
        if layout is not None:
            return layout if numbered is None or shown is text else numbered.laid_out(layout)
    return plain_layout(text, limits)
