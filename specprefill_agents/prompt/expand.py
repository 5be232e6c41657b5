"""`expand`: gives a model back what was left out of a text, by the id in a gap mark.

Every answer begins with one line in square brackets that says what follows, or what is wrong; text follows verbatim (but
for lone surrogates, which no provider takes). A wrong id, range or pattern is an answer too, never an exception.
Answers are results of a tool named `EXPAND_TOOL`: adapters know them by that name, and never compress them again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from specprefill_agents.plaintext import without_surrogates
from specprefill_agents.prompt.search import Hit, search_lines

if TYPE_CHECKING:
    from specprefill_agents.storage.originals import Originals

EXPAND_TOOL = "expand"
"""Name of the tool in every framework."""
DESCRIPTION = "Show text omitted above, by the id in its note."
"""What a model is told; constant, so that it never moves a cached prefix. Short, since every request pays for it."""
PARAMETERS: Mapping[str, Any] = MappingProxyType(
    {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "start_line": {"type": "integer"},
            "end_line": {"type": "integer"},
            "pattern": {"type": "string"},
            "start_char": {"type": "integer"},
        },
        "required": ["id"],
    }
)
"""JSON schema of its arguments. Lines and characters count from 1, `end_line` is included; answers say how to go on."""

MAX_CHARS = 20_000
"""Of an original in one answer."""
CONTEXT_LINES = 2
"""Shown before and after a line in which the pattern occurs."""
WINDOW_CHARS = 400
"""Shown of a longer line among search results."""

UNKNOWN_ID = "[expand: no text is kept under this id. Copy the id from the note exactly; if it is right, the text has expired.]"
BAD_LINES = "[expand: lines are counted from 1, and end_line must not be before start_line.]"
BAD_ARGUMENTS = "[expand: it needs an id as text; start_line, end_line and start_char are whole numbers, pattern is text.]"

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_ID_IN_NOISE = re.compile(r"[\s\"'`]*(?:sp-)?([a-z2-7]+)[\s\"'`]*", re.IGNORECASE)


def answer(originals: Originals, arguments: Mapping[str, Any], max_chars: int = MAX_CHARS) -> str:
    """What a model is answered that called the tool with `arguments`, whatever it gave; see `expand`.

    Whole numbers may come as text or with a fraction of zero, what is left out as null, and further arguments count nothing.
    """
    name, pattern = arguments.get("id"), arguments.get("pattern")
    numbers = [_whole_number(arguments.get(key)) for key in ("start_line", "end_line", "start_char")]
    if not isinstance(name, str) or not isinstance(pattern, str | None) or _NO_NUMBER in numbers:
        return BAD_ARGUMENTS
    start_line, end_line, start_char = numbers
    return expand(originals, name, start_line, end_line, pattern, start_char=start_char, max_chars=max_chars)


_NO_NUMBER = -1
"""Stands for what is none: no line or character has it."""


def _whole_number(value: object) -> int | None:
    """`value` as a count, `_NO_NUMBER` where it is none; None for nothing."""
    if value is None:
        return None
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 16:
        return int(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e15 and value == int(value):
        return int(value)
    return _NO_NUMBER


def expand(
    originals: Originals,
    original_id: str,
    start_line: int | None = None,
    end_line: int | None = None,
    pattern: str | None = None,
    *,
    start_char: int | None = None,
    max_chars: int = MAX_CHARS,
) -> str:
    """What a model is answered that asks for an original, or for some of its lines (from 1, inclusive).

    With `pattern`, the lines in which it occurs, see `prompt.search`. At most about `max_chars` characters of text; where
    there is more, the first line says how to go on. `start_char` (from 1) goes on inside a line too long for one answer.
    Zero and the empty pattern count as left out.
    """
    name = _tidy(original_id)
    text = originals.get(name)
    if text is None:
        return UNKNOWN_ID
    lines = _LINE.findall(without_surrogates(text))
    first, last = start_line or 1, min(end_line or len(lines), len(lines))
    at, max_chars = (start_char or 1) - 1, max(1, max_chars)
    if not lines:
        return f"[expanded {name}: the text is empty]"
    if first < 1 or (end_line and end_line < first):
        return BAD_LINES
    if first > len(lines):
        return f"[expand: the text of {name} has only {_lines(len(lines))}.]"
    if not 0 <= at < len(lines[first - 1]):
        return f"[expand: line {first} of {name} has only {len(lines[first - 1])} characters.]"
    if pattern:
        return _matches(name, lines, (first, last), pattern, max_chars)
    return _part(name, lines, (first, last), at, max_chars)


def _tidy(original_id: str) -> str:
    """An id as it was shown: without the quotes, capitals and spaces that models put around it."""
    found = _ID_IN_NOISE.fullmatch(original_id)
    return f"sp-{found[1].lower()}" if found else original_id


def _part(name: str, lines: Sequence[str], wanted: tuple[int, int], at: int, max_chars: int) -> str:
    """The `wanted` lines from character `at` of the first on, or as many as fit; the last that fits is whole if possible."""
    first, last = wanted
    text = "".join(lines[first - 1 : last])[at:]
    since = f", from character {at + 1} of line {first} on" if at else ""
    if len(text) <= max_chars:
        return f"[expanded {name}: lines {first}-{last} of {len(lines)}{since}]\n{text}"
    shown = text[:max_chars]
    whole = shown[: shown.rfind("\n") + 1]
    if whole:
        until = first + whole.count("\n") - 1
        more, shown = f"start_line={until + 1} and end_line={last}", whole
    else:
        until = first
        more = f"start_line={first}, start_char={at + max_chars + 1} and end_line={last}"
    return f"[expanded {name}: lines {first}-{until} of {len(lines)}{since}; to read on, call {EXPAND_TOOL} with {more}]\n{shown}"


def _matches(name: str, lines: Sequence[str], wanted: tuple[int, int], pattern: str, max_chars: int) -> str:
    """The lines among `wanted` in which `pattern` occurs, as many as fit, and how to go on."""
    first, last = wanted
    found = search_lines(lines[first - 1 : last], pattern)
    if not found.searched:
        return f"[expand: this pattern takes too long on line {first} of {name}; use a simpler one, or ask for lines.]"
    hits = [Hit(first - 1 + hit.line, hit.at) for hit in found.hits]
    rows, count = _fit(lines, hits, wanted, max_chars)
    until = hits[count].line if count < len(hits) else first - 1 + found.searched
    how = ", taken as plain text," if found.is_literal else ""
    more = f"; to go on, call {EXPAND_TOOL} with start_line={until + 1}, end_line={last} and the same pattern" if until < last else ""
    head = f"[expanded {name}: the pattern{how} occurs in {count or 'none'} of lines {first}-{until} of {len(lines)}{more}]"
    return "\n".join([head, *rows])


def _fit(lines: Sequence[str], hits: Sequence[Hit], wanted: tuple[int, int], max_chars: int) -> tuple[list[str], int]:
    """Rows for as many `hits` as `max_chars` allow, at least one, with the lines around them; and for how many."""
    begins = {hit.line: hit.at for hit in hits}
    rows: list[str] = []
    count = size = 0
    for index in _near(hits, wanted):
        row = _row(lines, index, begins.get(index))
        size += len(row) + 1
        if count and size > max_chars:
            break
        rows.append(row)
        count += index in begins
    return rows, count


def _near(hits: Sequence[Hit], wanted: tuple[int, int]) -> Iterator[int]:
    """Indices of the lines to show, each once, in order."""
    position, end = wanted[0] - 1, wanted[1]
    for hit in hits:
        beyond = min(end, hit.line + CONTEXT_LINES + 1)
        yield from range(max(position, hit.line - CONTEXT_LINES), beyond)
        position = beyond


def _row(lines: Sequence[str], index: int, at: int | None) -> str:
    """One line behind its number, as grep shows it; of a long line what surrounds the match that begins `at`."""
    line = lines[index].rstrip("\r\n")
    sign = "-" if at is None else ":"
    if len(line) <= WINDOW_CHARS:
        return f"{index + 1}{sign}{line}"
    start = max(0, min((at or 0) - WINDOW_CHARS // 4, len(line) - WINDOW_CHARS))
    shown = ("…" if start else "") + line[start : start + WINDOW_CHARS] + ("…" if start + WINDOW_CHARS < len(line) else "")
    return f"{index + 1} from character {start + 1}{sign}{shown}"


def _lines(count: int) -> str:
    return f"{count} line" if count == 1 else f"{count} lines"
