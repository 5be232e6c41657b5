"""Units of any text: lines; sentences inside long lines; short neighbours merged.

Knows no content kind. A unit ends with the white space that follows it, so joining units gives the text back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from specprefill_agents.types import Span, Unit

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*\s+|[。！？．][」』”’）]*\s*|;\s+")
_SOFT_BREAK = re.compile(r"[\s,;:}\])>|]")


def split_lines(text: str, min_chars: int, max_chars: int) -> list[Unit]:
    """Units that tile `text`, mostly between `min_chars` and `max_chars` long.

    A line longer than `max_chars` is cut after sentences; a sentence longer than twice that is cut after white space or
    punctuation. Shorter pieces join the next one, but never across a blank line.
    """
    pieces = (piece for line in _lines(text) for piece in _sentences(text, line, max_chars))
    return [Unit(start, end) for start, end in _merge(text, pieces, min_chars, max_chars)]


def _lines(text: str) -> Iterator[Span]:
    return (match.span() for match in _LINE.finditer(text))


def _sentences(text: str, line: Span, max_chars: int) -> Iterator[Span]:
    start, end = line
    if end - start <= max_chars:
        yield line
        return
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


def _merge(text: str, pieces: Iterable[Span], min_chars: int, max_chars: int) -> Iterator[Span]:
    held: Span | None = None
    for start, end in pieces:
        if held is None:
            held = (start, end)
            continue
        is_blank = text[start:end].isspace()
        is_short = held[1] - held[0] < min_chars and end - held[0] <= max_chars
        if is_blank or (is_short and not _ends_paragraph(text, held)):
            held = (held[0], end)
        else:
            yield held
            held = (start, end)
    if held is not None:
        yield held


def _ends_paragraph(text: str, span: Span) -> bool:
    return re.search(r"\n[^\S\n]*\n\s*\Z", text[span[0] : span[1]]) is not None
