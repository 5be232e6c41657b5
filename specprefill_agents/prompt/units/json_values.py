"""JSON, JSON Lines and printed Python values, alone, with text around them, or broken off.

A unit is an item, a member, a bracket with its key, or a piece of a long string. What is kept of a JSON value parses again
and holds every kept scalar verbatim, but for long strings, of which pieces are kept; that is, when gaps are marked as items,
members and parts of strings in the way the layout asks for. What is kept of a value that breaks off (a tool cut its own
output) breaks off too; each record in it that is complete stays complete. Printed values and JSON with comments are cut
alike, with plain gaps between their parts. So is JSON inside a JSON string: the outer value parses again, the inner one shows
its gaps as words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from specprefill_agents.prompt.units.json_notation import QUOTED
from specprefill_agents.prompt.units.json_runs import Run, may_hold_runs, runs
from specprefill_agents.prompt.units.json_strings import layout_inside
from specprefill_agents.prompt.units.json_tree import Value, lay_out, whole
from specprefill_agents.prompt.units.layout import Layout, Limits
from specprefill_agents.prompt.units.lines import split_lines
from specprefill_agents.prompt.units.prose import looks_like_prose, split_prose

MAIN_SHARE = 0.1
"""A string of this share of a text is cut by what it is made of (code, a log, a page), a shorter one at lines and sentences:
to look closely at thousands of strings would take longer than to cut them."""

_SAMPLE_CHARS = 4_000


def looks_like_json(text: str) -> bool:
    """Whether values seem to begin near the beginning of `text`, or it is a string. Reads little more than that beginning."""
    return may_hold_runs(text) or _is_quoted(text)


def split_json(text: str, limits: Limits) -> Layout | None:
    """Items, members, brackets and pieces of long strings; None unless `text` is mostly lists and objects, or one string.

    A gap in a JSON value is an item, a member or part of a string; a gap in place of one is an item when the value is the
    whole text. Between values that follow each other or stand in other text, and anywhere in printed values, it is plain,
    but for gaps inside strings.
    """
    return _layout(text, limits, partial(_contents, limits=limits, of_chars=len(text)))


def _layout(text: str, limits: Limits, split: Callable[[str], Layout]) -> Layout | None:
    """As `split_json`; the contents of long strings are cut by `split`."""
    document = _document(text, limits)
    return lay_out(text, document, limits, partial(layout_inside, text, split)) if document else None


def _contents(contents: str, limits: Limits, of_chars: int) -> Layout:
    """How the decoded contents of a long string in a text of `of_chars` may be cut.

    Values written in a string are opened like others, but not those in the strings of these: text that says how it is to be
    read must end.
    """
    if len(contents) < MAIN_SHARE * of_chars:
        return _sentences(contents, limits)
    # Imported here: the splitters of all kinds serve the contents of strings too, and this is one of them.
    from specprefill_agents.prompt.units.detect import layout_of

    nested = _layout(contents, limits, partial(_sentences, limits=limits)) if looks_like_json(contents) else None
    return nested or layout_of.__wrapped__(contents, limits)


def _sentences(contents: str, limits: Limits) -> Layout:
    """Sentences of language, lines of anything else."""
    from specprefill_agents.prompt.units.detect import plain_layout

    return split_prose(contents, limits) if looks_like_prose(contents) else plain_layout(contents, limits)


def _document(text: str, limits: Limits) -> Value | None:
    """All of `text` as one value; None when it is mostly something else."""
    string_chars = 2 * limits.max_chars
    quoted = QUOTED.fullmatch(text) if len(text) > string_chars and _is_quoted(text) else None
    if quoted is not None:
        body, close = quoted.end("before"), quoted.start("behind")
        return whole(text, [Value(0, len(text), body, close, [Value(body, close)], "string", "string")], gap="item")
    found = runs(text, limits, string_chars)
    if not found:
        return None
    if len(found) == 1 and (found[0].start, found[0].end) == (0, len(text)):
        return whole(text, found[0].roots, gap=found[0].gap if len(found[0].roots) == 1 else "plain")
    return whole(text, list(_parts(text, found, limits)), holds="text")


def _parts(text: str, found: Sequence[Run], limits: Limits) -> Iterator[Value]:
    """The runs, and the lines and sentences between them."""
    at = 0
    for run in (*found, Run(len(text), len(text), [], "plain")):
        if at < run.start:
            lines = split_lines(text[at : run.start], limits.min_chars, limits.max_chars)
            yield Value(at, run.start, at, run.start, [Value(at + line.start, at + line.end) for line in lines], "text")
        if len(run.roots) == 1:
            yield run.roots[0]
        elif run.roots:
            yield Value(run.start, run.end, run.start, run.end, run.roots)
        at = run.end


def _is_quoted(text: str) -> bool:
    """Whether `text` begins and ends like one string with escapes in it."""
    return text[:1] == '"' and text[-2:].rstrip()[-1:] == '"' and "\\" in text[:_SAMPLE_CHARS]
