"""Search results and file lists: a file's hits are a block, and so are a folder's paths.

Single hits are units, short ones of the same file together; under a file's name each needs that name. Lines that are no
hits (a summary, a warning) are units by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator

from specprefill_agents.prompt.units.grep_lines import Line, form_of, read_lines
from specprefill_agents.prompt.units.layout import Layout, Limits
from specprefill_agents.prompt.units.line_sample import sample_lines
from specprefill_agents.prompt.units.sized_blocks import SizedBlocks

HIT_LIFT = 0.1
"""Bonus of what was searched for over the lines shown beside it; the best unit of a call scores 1."""


def looks_like_grep(text: str) -> bool:
    """Whether nearly all lines are hits in named files, or paths."""
    return form_of(sample_lines(text)) is not None


def split_grep(text: str, limits: Limits) -> Layout | None:
    """The layout of search results or a file list, or None when `looks_like_grep` says that `text` is neither."""
    form = form_of(sample_lines(text))
    if form is None:
        return None
    units = list(_units(read_lines(text, form), limits))
    hit_lift = HIT_LIFT if any(unit.role == "context" for unit in units) else 0.0
    blocks = SizedBlocks("grep", text, limits)
    owner = ""
    heading: tuple[int, ...] = ()
    for unit in units:
        if unit.owner != owner or unit.role == "heading":
            blocks.begin()
            owner, heading = unit.owner, ()
        index = blocks.add_pieces(unit.end, heading, hit_lift if unit.role == "hit" else 0.0)
        if unit.role == "heading":
            heading = (index,)
    return blocks.build()


def _units(lines: Iterator[Line], limits: Limits) -> Iterator[Line]:
    """The lines with short neighbours of the same file put together, and breaks with what precedes them."""
    held = next(lines)
    start, is_closed = 0, held.role == "break"
    for line in lines:
        is_short = held.end - start < limits.min_chars and line.end - start <= limits.max_chars
        if line.role == "break":
            held = held._replace(end=line.end)
            is_closed = True
        elif is_short and not is_closed and line.role != "heading" and held[1:] == line[1:]:
            held = line
        else:
            yield held
            start, held, is_closed = held.end, line, False
    yield held
