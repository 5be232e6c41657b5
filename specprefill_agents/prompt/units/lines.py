"""Units of any text: lines; sentences inside long lines; short neighbours merged.

Knows no content kind. A unit ends with the white space that follows it, so joining units gives the text back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from specprefill_agents.types import Span, Unit

# A lone carriage return begins a line anew, as progress bars do: what stands before it was complete.
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*\s+|[。！？．][」』”’）]*\s*|;\s+|\r(?!\n)")
_MANY_LINES, _LEAST_LINE_CHARS = 10_000, 6
_SOFT_BREAK = re.compile(r"[\s,;:}\])>|]")


def split_lines(text: str, min_chars: int, max_chars: int) -> list[Unit]:
    """Units that tile `text`, mostly between `min_chars` and `max_chars` long.

    A line longer than `max_chars` is cut after sentences; a sentence longer than twice that is cut after white space or
    punctuation. Shorter pieces join the next one, but never across a blank line, unless the text `has_tiny_lines`.
    """
    blank = len(text) if has_tiny_lines(text) else 2
    units: list[Unit] = []
    held, end, breaks = 0, 0, 0  # the unit in the making, and the line breaks in the white space that it ends with
    for start, stop, is_blank in _pieces_of(text, max_chars):
        is_short = end - held < min_chars and stop - held <= max_chars and breaks < blank
        if end > held and not is_blank and not is_short:
            units.append(Unit(held, end))
            held = start
        ends_line = text[stop - 1] == "\n"
        breaks = breaks + ends_line if is_blank else int(ends_line)
        end = stop
    if end > held:
        units.append(Unit(held, end))
    return units


def has_tiny_lines(text: str) -> bool:
    """Whether lines are so many and so short that neither their indent nor blank lines between them mean anything."""
    return text.count("\n") > max(_MANY_LINES, len(text) // _LEAST_LINE_CHARS)


def _pieces_of(text: str, max_chars: int) -> Iterator[tuple[int, int, bool]]:
    """Lines, and the pieces of long ones: where each starts and ends, and whether it is blank."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        if end - start <= max_chars:
            yield start, end, text[start].isspace() and text[start:end].isspace()
        else:
            for piece, stop in _sentences(text, (start, end), max_chars):
                yield piece, stop, text[piece:stop].isspace()
        start = end


def _sentences(text: str, line: Span, max_chars: int) -> Iterator[Span]:
    start, end = line
    for match in _SENTENCE_END.finditer(text, start, end):
        yield from _pieces(text, (start, match.end()), max_chars)
        start = match.end()
    if start < end:
        yield from _pieces(text, (start, end), max_chars)


def _pieces(text: str, sentence: Span, max_chars: int) -> Iterator[Span]:
    """Cut a sentence of more than twice `max_chars` after the last soft break that fits, or hard where there is none."""
    start, end = sentence
    while end - start > 2 * max_chars:
        cut = start + max_chars
        while cut > start + max_chars // 2 and not _SOFT_BREAK.match(text, cut - 1):
            cut -= 1
        if cut == start + max_chars // 2:
            cut = start + max_chars
        yield start, cut
        start = cut
    yield start, end
