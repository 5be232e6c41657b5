"""Records written as indented lines, `- id: 7` and below it `  name: ...`, or the members of one such record.

The block style of YAML as tools print it: keys, dashes, values that run on in deeper lines. Anything else (tabs, anchors,
keys with a question mark, the same key twice) is left to other splitters. A unit is a line or a few, with the lines its
value runs on in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from specprefill_agents.prompt.units.json_tree import MAX_DEPTH, Value, lay_out, whole
from specprefill_agents.prompt.units.layout import Layout, Limits
from specprefill_agents.prompt.units.lines import split_lines

_SAMPLE_CHARS = 4_000
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_ENTRY = re.compile(
    r"""(?P<indent>\ *)
    (?P<dash>-(?:\ +|(?=\r?\n|\r?\Z)))?
    (?:(?P<key>"[^"\n]{1,80}"|'(?:[^'\n]|''){1,80}'|\w(?:[^:\n]|:(?=\S)){0,80}?):(?=\s|\Z)\s*)?
    (?P<value>.*)\s*
    """,
    re.VERBOSE,
)
_NAME = re.compile(r"[A-Za-z_][\w.-]*")


class _Entry(NamedTuple):
    """A key, a list item or both at once, and where it begins; `column` is where further keys of its record stand."""

    start: int
    indent: int
    column: int
    dash: bool
    key: str
    has_value: bool

    @property
    def owner(self) -> int:
        """Lines indented more than this belong to the value."""
        return self.column if self.key else self.indent


@dataclass(slots=True)
class _Scope:
    """An entry whose nested entries are being collected: those indented deeper than `indent`."""

    start: int
    body: int
    indent: int
    takes_dashes: bool = False  # a list may stand no deeper than the key it belongs to
    column: int | None = None  # of the nested entries
    dashed: bool = False
    keys: set[str] = field(default_factory=set)
    parts: list[Value] = field(default_factory=list)

    def holds(self, entry: _Entry) -> bool:
        return entry.indent > self.indent or (self.takes_dashes and entry.dash and entry.indent == self.indent)

    def admits(self, entry: _Entry) -> bool:
        """Whether `entry` fits in with those before it: same column, all items or all keys, no key twice."""
        if self.column is None:
            self.column, self.dashed = entry.indent, entry.dash
        if (entry.indent, entry.dash) != (self.column, self.dashed):
            return False
        if entry.dash:
            return True
        is_new = entry.key not in self.keys
        self.keys.add(entry.key)
        return is_new


def looks_like_records(text: str) -> bool:
    """Whether the first lines of `text` are entries and its first and last thousands of characters show a record's keys."""
    head = text[:_SAMPLE_CHARS]
    if len(head) < len(text):
        head = head[: head.rfind("\n") + 1]
    entries = _read(head)
    if not entries or not _NAME.fullmatch(entries[0].key):
        return False
    key = re.compile(rf"^ {{{entries[0].column}}}({_NAME.pattern}):(?=\s|\Z)", re.MULTILINE)
    keys = {entries[0].key, *key.findall(head), *key.findall(text[-_SAMPLE_CHARS:])}
    return len(keys) >= (2 if entries[0].dash else 3)


def split_records(text: str, limits: Limits) -> Layout | None:
    """Lines of records; None unless `text` is a list of records or one record of three keys or more.

    A record that is too long is cut between its members, a value that is too long between its lines and sentences. The
    first line of a record, of a nested list or of a long value is kept with anything below it.
    """
    entries = _read(text)
    document = _nest(text, entries, limits) if entries else None
    if document is None:
        return None
    return lay_out(text, whole(text, document.parts, holds="items" if document.dashed else "members"), limits)


def _read(text: str) -> list[_Entry] | None:
    """The entries of `text` in order, each reaching to the next one; None when a line belongs to none."""
    entries: list[_Entry] = []
    for line in _LINE.finditer(text):
        if _says_nothing(line[0].strip()):
            continue
        if entries and entries[-1].has_value and _indent(line[0]) > entries[-1].owner:
            continue
        match = _ENTRY.fullmatch(line[0])
        if match is None or not (match["key"] or match["dash"]):
            return None
        indent, column = match.end("indent"), match.end("dash") if match["dash"] else match.end("indent")
        start = line.start() if entries else 0
        entries.append(_Entry(start, indent, column, bool(match["dash"]), match["key"] or "", bool(match["value"])))
    return entries


def _says_nothing(line: str) -> bool:
    """Whether a line is blank, a comment or the border of a document, and so belongs to the entry before it."""
    return not line or line.startswith("#") or line in ("---", "...")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _nest(text: str, entries: Sequence[_Entry], limits: Limits) -> _Scope | None:
    """The document, with records as its parts; None when entries contradict each other or make no records."""
    document = _Scope(0, 0, -1)
    stack = [document]
    ends = [*(entry.start for entry in entries[1:]), len(text)]
    for entry, end in zip(entries, ends, strict=True):
        while not stack[-1].holds(entry):
            _close(stack, limits)
        is_deepest = len(stack) == MAX_DEPTH
        if not is_deepest and not stack[-1].admits(entry):
            return None
        value = _value(text, entry.start, end, limits)
        if is_deepest or not _opens(entry):
            stack[-1].parts.append(value)
        else:
            stack.extend(_scopes(entry, value))
    while len(stack) > 1:
        _close(stack, limits)
    return document if _is_records(document, entries) else None


def _opens(entry: _Entry) -> bool:
    """Whether other entries may be nested in this one: in the first line of a record, and where a value is still to come."""
    return not entry.has_value or (entry.dash and entry.key != "")


def _scopes(entry: _Entry, value: Value) -> Iterator[_Scope]:
    """What `entry` opens: a record, a key's value, or both where a record's first key has none on its line."""
    body = value.body or value.end
    if entry.dash:
        record = _Scope(value.start, body, entry.indent)
        if entry.key:
            record.column, record.keys = entry.column, {entry.key}
        if value.parts:
            record.parts.append(Value(body, value.end, body, value.end, value.parts, holds="text"))
        yield record
    if entry.key and not entry.has_value:
        start = value.end if entry.dash else value.start
        yield _Scope(start, value.end, entry.column, takes_dashes=True)


def _close(stack: list[_Scope], limits: Limits) -> None:
    scope = stack.pop()
    end = scope.parts[-1].end if scope.parts else scope.body
    if scope.parts and end - scope.start > limits.max_chars:
        stack[-1].parts.append(Value(scope.start, end, scope.body, end, scope.parts, "members" if scope.keys else "items"))
    elif end > scope.start:
        stack[-1].parts.append(Value(scope.start, end))


def _value(text: str, start: int, end: int, limits: Limits) -> Value:
    """An entry with its value: whole, or when too long, its first lines or sentences and then the others."""
    if end - start <= limits.max_chars:
        return Value(start, end)
    first, *others = split_lines(text[start:end], limits.min_chars, limits.max_chars)
    parts = [Value(start + unit.start, start + unit.end) for unit in others]
    return Value(start, end, start + first.end, end, parts, "text") if parts else Value(start, end)


def _is_records(document: _Scope, entries: Sequence[_Entry]) -> bool:
    if not document.dashed:
        return len(document.keys) >= 3 and all(_NAME.fullmatch(key) for key in document.keys)
    records = [entry for entry in entries if entry.dash and entry.indent == document.column]
    return len(entries) > len(records) and all(entry.key for entry in records)
