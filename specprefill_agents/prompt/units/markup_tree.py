"""The elements of an HTML or XML text with their extents, in the order in which they begin.

Reading is tolerant: an element that nothing closes ends with the one around it, a closing tag that closes nothing is text.
In HTML, elements that stand inside a line of text are no elements here, and the closing tags that HTML lets one omit are
supplied.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from specprefill_agents.prompt.units.markup_tags import Tag

_EMPTY = frozenset("area base br col embed hr img input link meta param source track wbr".split())
_INLINE = frozenset(
    "a abbr acronym b bdi bdo big button cite code data del dfn em font i img input ins kbd label mark meter nobr output"
    " progress q rp rt ruby s samp small span strike strong sub sup time tt u var wbr br".split()
)
HTML_NAMES = (
    _EMPTY
    | _INLINE
    | frozenset(
        "address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption figure footer form h1 h2 h3"
        " h4 h5 h6 head header html iframe legend li main menu nav noscript ol optgroup option p pre script section select style summary"
        " svg table tbody td template textarea tfoot th thead title tr ul video".split()
    )
)
"""Names of elements by which HTML is told from XML, all lower-case."""

_CELLS = frozenset({"td", "th", "p"})
_ENDED_BY = {
    "li": frozenset({"li", "p"}),
    "dt": frozenset({"dt", "dd", "p"}),
    "dd": frozenset({"dt", "dd", "p"}),
    "td": _CELLS,
    "th": _CELLS,
    "tr": _CELLS | {"tr"},
    "thead": _CELLS | {"tr", "thead", "tbody", "tfoot"},
    "tbody": _CELLS | {"tr", "thead", "tbody", "tfoot"},
    "tfoot": _CELLS | {"tr", "thead", "tbody", "tfoot"},
    "option": frozenset({"option"}),
}
"""Which elements, standing innermost, are ended by the opening of another; most end a paragraph."""

_ENDED_BY_BLOCK = frozenset({"p"})
_WORD = re.compile(r"\S")


@dataclass(slots=True)
class Element:
    """`text[start:end]`, opened up to `open_end` and closed from `close_start` on (`end` where no tag closes it).

    `is_mixed`: text stands between its children. `is_raw`: its content is no markup; comments and the like are nameless.
    """

    name: str
    start: int
    open_end: int
    close_start: int
    end: int
    is_raw: bool = False
    is_mixed: bool = False
    has_children: bool = False


def elements(text: str, tags: Iterable[Tag], *, html: bool) -> list[Element]:
    """The elements of `text`, each before those inside it. In HTML names are lower-case, and only blocks are elements."""
    reader = _Reader(text, html=html)
    for tag in tags:
        reader.read(tag)
    reader.close_all(len(text))
    return reader.found


class _Reader:
    def __init__(self, text: str, *, html: bool) -> None:
        self.found: list[Element] = []
        self._text = text
        self._html = html
        self._open: list[Element] = []
        self._names: Counter[str] = Counter()  # of open elements: whether a closing tag closes one is known at once
        self._behind = 0  # where the last tag that begins or ends an element ended

    def read(self, tag: Tag) -> None:
        name = tag.name.lower() if self._html else tag.name
        if self._html and name in _INLINE:
            return
        if tag.kind == "close":
            self._close(name, tag)
        else:
            self._begin(name, tag)

    def close_all(self, end: int) -> None:
        while self._open:
            self._end_innermost(end, end)

    def _begin(self, name: str, tag: Tag) -> None:
        self._note_text(tag.start)
        if self._html and name:
            ended = _ENDED_BY.get(name, _ENDED_BY_BLOCK)
            while self._open and self._open[-1].name in ended:
                self._end_innermost(tag.start, tag.start)
        if self._open:
            self._open[-1].has_children = True
        element = Element(name, tag.start, tag.end, tag.end, tag.end, is_raw=tag.kind in ("raw", "aside"))
        self.found.append(element)
        self._behind = tag.end
        if tag.kind == "open" and not (self._html and name in _EMPTY):
            self._open.append(element)
            self._names[name] += 1

    def _close(self, name: str, tag: Tag) -> None:
        if not self._names[name]:
            return
        self._note_text(tag.start)
        while self._open[-1].name != name:
            self._end_innermost(tag.start, tag.start)
        self._end_innermost(tag.start, tag.end)

    def _end_innermost(self, close_start: int, end: int) -> None:
        element = self._open.pop()
        element.close_start, element.end = close_start, end
        self._names[element.name] -= 1
        self._behind = end

    def _note_text(self, end: int) -> None:
        if self._open and _WORD.search(self._text, self._behind, end):
            self._open[-1].is_mixed = True
