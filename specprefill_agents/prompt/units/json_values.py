"""JSON documents, JSON Lines and printed Python values: a unit is an item, a member, or a bracket with its key.

What is kept of a JSON document parses again and holds every kept scalar verbatim, when gaps are marked as items and members
in the way the layout asks for; what is kept of JSON Lines parses record by record. A long string is never cut inside: a
value of thousands of characters (a file's content, a page) is one unit, kept or dropped as a whole.
"""

from __future__ import annotations

from specprefill_agents.prompt.units.json_scanner import JSON, PYTHON, scan
from specprefill_agents.prompt.units.json_tree import lay_out, whole
from specprefill_agents.prompt.units.layout import Layout, Limits

_TAIL_CHARS = 4_000


def looks_like_json(text: str) -> bool:
    """Whether `text` ends with a closing bracket and starts with an opening one and a value. Reads no more than that."""
    ends_closed = text[-_TAIL_CHARS:].rstrip().endswith(("]", "}", ")"))
    return ends_closed and (JSON.begins(text) or PYTHON.begins(text))


def split_json(text: str, limits: Limits) -> Layout | None:
    """Items, members and brackets of one list or object or of several in a row; None unless all of `text` is that.

    A gap in a JSON document is an item or a member, also when nothing of it is kept; between records that follow each
    other, and anywhere in printed Python values, it is plain.
    """
    for notation in (JSON, PYTHON):
        roots = scan(text, notation, limits.max_chars)
        if roots:
            return lay_out(text, whole(text, roots, gap=notation.item_gap if len(roots) == 1 else "plain"), limits)
    return None
