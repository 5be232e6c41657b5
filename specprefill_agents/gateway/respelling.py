"""A JSON text changed where values changed, and nowhere else: white space, order, numbers and escapes stay as they were written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")


def respelled(text: str, old: object, new: object) -> str:
    """`text`, which reads as `old`, so that it reads as `new`; only the values of `new` that are other objects are written anew."""
    pieces, end = [], 0
    for start, stop, literal in _edits(text, _after_space(text, 0), old, new):
        pieces += [text[end:start], literal]
        end = stop
    return "".join([*pieces, text[end:]])


def _edits(text: str, start: int, old: object, new: object) -> Iterator[tuple[int, int, str]]:
    """What to write in place of which characters, in order, so that the value that begins at `start` becomes `new`."""
    if new is old:
        return
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        places = dict(_members(text, start))  # of a key that occurs twice the last counts, as in every reader
        for key, place in sorted(places.items(), key=lambda item: item[1]):
            yield from _edits(text, place, old[key], new[key])
    elif isinstance(old, list) and isinstance(new, list) and len(old) <= len(new):
        for place, before, after in zip(_items(text, start), old, new, strict=False):
            yield from _edits(text, place, before, after)
        added = [_literal(value) for value in new[len(old) :]]
        if added:
            end = _end(text, start) - 1
            yield end, end, ", " * bool(old) + ", ".join(added)
    else:
        yield start, _end(text, start), _literal(new)


def _members(text: str, start: int) -> Iterator[tuple[str, int]]:
    """Each key of the object that begins at `start`, and where its value does."""
    at = _after_space(text, start + 1)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        value = _after_space(text, _after_space(text, at) + 1)
        yield key, value
        at = _next(text, _end(text, value))


def _items(text: str, start: int) -> Iterator[int]:
    """Where each item of the array that begins at `start` does."""
    at = _after_space(text, start + 1)
    while text[at] != "]":
        yield at
        at = _next(text, _end(text, at))


def _next(text: str, end: int) -> int:
    """Where the next item or member begins after one that ends at `end`, or the bracket stands that closes them."""
    at = _after_space(text, end)
    return _after_space(text, at + 1) if text[at] == "," else at


def _end(text: str, start: int) -> int:
    return _DECODER.raw_decode(text, start)[1]


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found
    return found.end()


def _literal(value: object) -> str:
    written = json.dumps(value, ensure_ascii=False)
    try:
        written.encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can write
        return json.dumps(value)
    return written
