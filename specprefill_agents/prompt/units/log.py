"""Logs, build and test output, stack traces: an entry is its first line and the lines that continue it.

Entries are units; a long one is cut at its lines, each of which needs the first line, or the `Caused by` it stands under.
A stack trace is a block of its own. Times and levels are read only as far as cutting and weighing need them.
"""

from __future__ import annotations

from specprefill_agents.prompt.units.layout import Layout, Limits
from specprefill_agents.prompt.units.line_sample import sample_lines
from specprefill_agents.prompt.units.log_entries import Entry, read_entries
from specprefill_agents.prompt.units.log_lines import ERROR_LIFT, form_of, names_exception
from specprefill_agents.prompt.units.log_parts import add_parts
from specprefill_agents.prompt.units.sized_blocks import SizedBlocks

LAST_LIFT = 0.2
"""Bonus of the last `LAST_ENTRIES` entries: how a run ended is what its log is usually read for."""
LAST_ENTRIES = 3
MIN_LINES = 3
MIN_SHARE = 0.4
"""Share of the lines at the left margin that must look like lines of a log."""

_TELLING = frozenset({"start", "section", "trace", "frame", "cause", "assertion"})


def looks_like_log(text: str) -> bool:
    """Whether lines that begin entries, list calls or name exceptions are common among the lines at the left margin."""
    forms = ["cause" if names_exception(line, 0) else form_of(line, 0) for line in sample_lines(text)]
    telling = sum(form in _TELLING for form in forms)
    silent = forms.count("indented") + forms.count("blank")
    return telling >= MIN_LINES and telling >= MIN_SHARE * (len(forms) - silent)


def split_log(text: str, limits: Limits) -> Layout | None:
    """The layout of a log, or None when `looks_like_log` says that `text` is none."""
    if not looks_like_log(text):
        return None
    entries = _weighed(list(read_entries(text)))
    blocks = SizedBlocks("log", text, limits)
    after_trace = False
    for at, entry in enumerate(entries):
        if entry.is_trace or after_trace:
            blocks.begin()
        after_trace = entry.is_trace
        if entry.end - blocks.end > 2 * limits.max_chars:
            add_parts(text, entry, blocks, limits)
        elif at + 1 == len(entries) or not _takes_in(blocks.end, entry, entries[at + 1], limits):
            blocks.add(entry.end, lift=entry.lift)
    return blocks.build()


def _weighed(entries: list[Entry]) -> list[Entry]:
    """The entries with the last ones lifted; where most are errors, being one says nothing and lifts nothing."""
    if len(entries) > LAST_ENTRIES and 2 * sum(entry.lift >= ERROR_LIFT for entry in entries) > len(entries):
        entries = [entry._replace(lift=0.0) for entry in entries]
    last = [entry._replace(lift=max(entry.lift, LAST_LIFT)) for entry in entries[-LAST_ENTRIES:]]
    return entries[:-LAST_ENTRIES] + last


def _takes_in(start: int, entry: Entry, following: Entry, limits: Limits) -> bool:
    """Whether the unit that began at `start` and ends with `entry` goes on with the short entry that follows."""
    is_short = entry.end - start < limits.min_chars and following.end - start <= limits.max_chars
    return is_short and entry.lift == following.lift and not entry.is_trace and not following.is_trace
