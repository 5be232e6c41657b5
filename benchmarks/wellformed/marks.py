"""A compressed text as its reader meets it: pieces of the original and, where something is missing, marks.

Marks are read by the templates of the configuration, not by the code that writes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import Formatter

from specprefill_agents import CompressionConfig, Span
from specprefill_agents.prompt.render import gaps_between

_FIELDS = {"first": r"(?P<first>\d+)", "last": r"(?P<last>\d+)", "count": r"\d+", "id": r"(?P<id>sp-[a-z2-7]{8,52})"}
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_AS_VALUE = re.compile(r"(?:: null)?,?")


@dataclass(frozen=True, slots=True)
class Mark:
    """A gap mark that ends at `end` of a text; `lines` it names (from 1, inclusive) and the id of the original, if any."""

    end: int
    lines: tuple[int, int] | None
    original_id: str


class MarkReader:
    """Finds the gap marks of one configuration."""

    def __init__(self, config: CompressionConfig) -> None:
        templates, note = (config.line_mark, config.text_mark), config.original_note
        self._plain = _either(templates, note)
        self._inside = _either([_escaped(template) for template in templates], _escaped(note))

    def at(self, text: str, position: int) -> Mark | None:
        """The mark that begins at `position`: words, words inside a string of JSON, or a string in the place of items or members."""
        match = self._plain.match(text, position) or self._inside.match(text, position)
        if match is not None:
            return _mark(match, match.end())
        string = _STRING.match(text, position)
        words = self._inside.fullmatch(string[0][1:-1]) if string else None
        after = _AS_VALUE.match(text, string.end()) if string else None
        return _mark(words, after.end()) if words and after else None

    def is_mark(self, words: str) -> bool:
        """Whether `words` are those of a mark."""
        return self._plain.fullmatch(words) is not None

    def around(self, text: str) -> list[str]:
        """What `text` shows before, between and after the marks in it."""
        pieces, at = [], 0
        for match in self._plain.finditer(text):
            pieces.append(text[at : match.start()])
            at = match.end()
        return [*pieces, text[at:]]


def _escaped(template: str) -> str:
    return json.dumps(template, ensure_ascii=False)[1:-1]


def _either(templates: Sequence[str], note: str) -> re.Pattern[str]:
    """What matches a mark by any of two `templates`; each names its groups in its own way."""
    patterns = [_pattern(template).replace(_pattern("{original}"), f"(?:{_pattern(note)})?") for template in templates]
    return re.compile("|".join(re.sub(r"\(\?P<(\w+)>", rf"(?P<\g<1>{number}>", pattern) for number, pattern in enumerate(patterns)))


def _pattern(template: str) -> str:
    parts = []
    for literal, field, _, _ in Formatter().parse(template):
        parts.append(re.escape(literal))
        if field is not None:
            parts.append(_FIELDS.get(field, f"<{field}>"))
    return "".join(parts)


def _mark(match: re.Match[str], end: int) -> Mark:
    found = {name[:-1]: value for name, value in match.groupdict().items() if value}
    lines = (int(found["first"]), int(found["last"])) if "first" in found else None
    return Mark(end, lines, found.get("id", ""))


def marks_in(text: str, original: str, spans: Sequence[Span], reader: MarkReader) -> Iterator[Mark]:
    """The mark of each gap of `text`, in order. Raises ValueError where `text` is not the `spans` of `original` with marks between."""
    at, position = 0, 0
    for start, end in [*gaps_between(len(original), spans), (len(original), len(original))]:
        kept = original[position:start]
        at = _after_white_space(text, at, kept)
        if at < 0:
            raise ValueError(f"{shown(kept)} is not where it should be")
        at += len(kept)
        if start < end:
            mark = reader.at(text, at) or (reader.at(text, at + 1) if text.startswith(" ", at) else None)
            if mark is None:
                raise ValueError(f"no mark for the gap after {shown(original[max(0, start - 40) : start])}")
            yield mark
            at = mark.end
        position = end
    if text[at:].strip():
        raise ValueError(f"{shown(text[at:])} comes from nowhere")


def _after_white_space(text: str, at: int, piece: str) -> int:
    """Where `piece` begins, at `at` or behind white space that a mark ends with (escaped inside a string); -1 when it does not."""
    while not text.startswith(piece, at):
        if not text.startswith((" ", "\n", "\t", "\r", "\\n"), at):
            return -1
        at += 2 if text[at] == "\\" else 1
    return at


def shown(text: str, most: int = 120) -> str:
    """`text` as an example in a report: quoted, cut when it is long."""
    return repr(text if len(text) <= most else f"{text[: most - 1]}…")
