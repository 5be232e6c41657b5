"""The tags of an HTML or XML text, found in one pass, whatever is wrong with them. Knows no elements.

Not `html.parser`: what it does with broken declarations and unclosed comments differs between the Python versions this package
runs on, in time as well as in result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

TagKind: TypeAlias = Literal["open", "close", "empty", "raw", "aside"]
"""`raw`: a whole element, or a CDATA section, whose content is no markup. `aside`: comment, declaration, processing instruction."""

RAW_NAMES = frozenset({"script", "style", "svg"})

_START = re.compile(r"<(?:[A-Za-z_/]|[!?])")
# Neither form passes another "<", so each text position is read a bounded number of times. The second is for lone quotes.
_TAG = re.compile(r"<(/?)([^\W\d][\w:.-]*)(?:[^<>\"']*(?:\"[^\"<]*\"[^<>\"']*|'[^'<]*'[^<>\"']*)*>|[^<>]*>)")
_ASIDES = (("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", ">"), ("<!", ">"))


class Tag(NamedTuple):
    """`text[start:end]`, of a raw element all of it. `name` as written, "" for what has none. (A tuple: there may be many.)"""

    kind: TagKind
    name: str
    start: int
    end: int


def tags(text: str) -> Iterator[Tag]:
    """Tags in order, disjoint. A "<" that begins none is text."""
    closers = _Closers(text)
    at = 0
    while found := _START.search(text, at):
        tag = _aside(text, found.start(), closers) if text[found.end() - 1] in "!?" else _tag(text, found.start(), closers)
        if tag is None:
            at = found.end()
        else:
            yield tag
            at = tag.end


class _Closers:
    """Finds what ends comments and raw elements, in any case of letters; no stretch of the text is searched twice."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._latest: dict[str, int] = {}  # where each closer was last found to end; behind the text when there is none

    def find(self, closer: str, start: int) -> int | None:
        """Where the first `closer` from `start` on ends, or None."""
        if self._latest.get(closer, 0) - len(closer) < start:
            found = re.compile(re.escape(closer), re.IGNORECASE).search(self._text, start)
            self._latest[closer] = found.end() if found else len(self._text) + len(closer) + 1
        end = self._latest[closer]
        return end if end <= len(self._text) else None


def _aside(text: str, start: int, closers: _Closers) -> Tag | None:
    for opener, closer in _ASIDES:
        if text.startswith(opener, start):
            end = closers.find(closer, start + len(opener))
            return None if end is None else Tag("raw" if closer == "]]>" else "aside", "", start, end)
    return None


def _tag(text: str, start: int, closers: _Closers) -> Tag | None:
    found = _TAG.match(text, start)
    if found is None:
        return None
    name, end = found[2], found.end()
    if found[1]:
        return Tag("close", name, start, end)
    if text[end - 2] == "/":
        return Tag("empty", name, start, end)
    if name.lower() in RAW_NAMES:
        behind_name = closers.find(f"</{name}", end)
        closing = _TAG.match(text, behind_name - len(name) - 2) if behind_name else None
        if closing:
            return Tag("raw", name, start, closing.end())
    return Tag("open", name, start, end)
