"""Values nested in values: what is kept of them parses again, and holds nothing that the original does not hold there.

JSON is read by `json`, printed Python values by `ast`, records in YAML by PyYAML; an original that these do not parse is not
checked. *There*: what is kept of a list is a subsequence of its items, what is kept of an object of its members (twice the
same key included), down to scalars, which are verbatim; gap marks are passed over. A JSON string with marks inside it has
verbatim pieces of the original's around them.
"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from itertools import compress
from typing import Any, TypeVar

import yaml

from benchmarks.metrics import kept_mask
from benchmarks.wellformed.marks import MarkReader, shown
from benchmarks.wellformed.outputs import Output
from specprefill_agents import Span

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Item = TypeVar("Item")


class Members(tuple[Any, ...]):
    """(key, value) pairs of an object, in their order."""


class Literal(str):
    """A scalar that is no string, as it is written."""


_DECODER = json.JSONDecoder(object_pairs_hook=Members, parse_int=Literal, parse_float=Literal, parse_constant=Literal)


def json_document(output: Output) -> str | None:
    """What is kept of a JSON document is a JSON document and part of the original."""
    whole = _of_json(output)
    if whole is None or len(whole) != 1 or not output.decided.text:
        return None
    marks = MarkReader(output.compressor.config)
    try:
        kept = _DECODER.decode(output.decided.text)
    except ValueError as error:
        return f"no JSON: {error}: {_near(output.decided.text, error)}"
    is_fine = marks.is_mark(kept) if isinstance(kept, str) else is_part(kept, whole[0], marks.is_mark, partial(_is_cut, marks))
    return "" if is_fine else "holds what the original does not"


def json_lines(output: Output) -> str | None:
    """What is kept of several JSON documents in a row are parts of them in their order, with marks between them."""
    whole = _of_json(output)
    if whole is None or len(whole) < 2 or not output.decided.text:
        return None
    marks = MarkReader(output.compressor.config)
    try:
        kept = _stream(output.decided.text, marks)
    except ValueError as error:
        return f"no JSON: {error}: {_near(output.decided.text, error)}"
    return "" if is_part(kept, whole, marks.is_mark, partial(_is_cut, marks)) else "holds what the original does not"


def printed_values(output: Output) -> str | None:
    """Of printed Python values, what is kept parses as values again once the marks are taken out."""
    text = output.text
    if output.layout.kind != "json" or _of_json(output) is not None or text.lstrip()[:1] not in ("[", "{", "(") or _python_fault(text):
        return None
    kept = "".join(text[start:end] for start, end in output.decided.spans)
    return _python_fault(kept) and f"no Python: {_python_fault(kept)}: {shown(kept)}"


def yaml_records(output: Output) -> str | None:
    """Of records in YAML, what is kept is YAML and part of the original once the marks are taken out.

    A text in quotes that does not fit in a unit may be cut; it is taken as a whole here, since its quotes would stay open.
    """
    if output.layout.kind != "json" or output.text.lstrip()[:1] in ("[", "{", "("):
        return None
    whole = _yaml(output.text)
    if whole is None:
        return None
    mask = kept_mask(len(output.text), output.decided.spans)
    for start, end in _quoted(whole):
        lines = slice(output.text.rfind("\n", 0, start) + 1, output.text.find("\n", end) + 1 or len(output.text))
        if lines.stop - lines.start > output.limits.max_chars and mask[start:end].any():
            mask[start : lines.stop] = True
    kept_text = "".join(compress(output.text, mask))
    kept = _yaml(kept_text)
    if kept is None:
        return "" if not kept_text.strip() else f"no YAML: {shown(kept_text)}"
    return "" if is_part(_value(kept), _value(whole), lambda _: False, _is_shortened) else "holds what the original does not"


def is_part(
    part: object,
    whole: object,
    is_mark: Callable[[str], bool],
    is_same: Callable[[object, object], bool],
) -> bool:
    """Whether `part` is `whole` with items and members left out or replaced by marks; scalars are compared by `is_same`."""
    if isinstance(part, Members) and isinstance(whole, Members):
        return _in_order(
            (member for member in part if not is_mark(member[0])),
            whole,
            lambda one, other: one[0] == other[0] and is_part(one[1], other[1], is_mark, is_same),
        )
    if isinstance(part, list) and isinstance(whole, list):
        items = (item for item in part if not (isinstance(item, str) and is_mark(item)))
        return _in_order(items, whole, lambda one, other: is_part(one, other, is_mark, is_same))
    return is_same(part, whole)


def _in_order(parts: Iterable[Item], wholes: Iterable[Item], matches: Callable[[Item, Item], bool]) -> bool:
    """Whether each of `parts` matches one of `wholes`, in order: the earliest that it can leaves most for the others."""
    rest = iter(wholes)
    return all(any(matches(part, whole) for whole in rest) for part in parts)


def _of_json(output: Output) -> list[Any] | None:
    return _documents(output.text) if output.layout.kind == "json" else None


@lru_cache(maxsize=64)
def _documents(text: str) -> list[Any] | None:
    """The lists and objects that `text` consists of; None when it is anything else."""
    try:
        found = _stream(text, None)
    except (ValueError, RecursionError):
        return None
    return found if found and all(isinstance(one, (list, Members)) for one in found) else None


def _stream(text: str, marks: MarkReader | None) -> list[Any]:
    """JSON values in a row, marks between them passed over. Raises ValueError where there is anything else."""
    values: list[Any] = []
    at = 0
    while at < len(text):
        mark = marks.at(text, at) if marks else None
        if text[at].isspace():
            at += 1
        elif mark is not None:
            at = mark.end
        else:
            value, at = _DECODER.raw_decode(text, at)
            values.append(value)
    return values


def _near(text: str, error: ValueError) -> str:
    at = error.pos if isinstance(error, json.JSONDecodeError) else 0
    return shown(text[max(0, at - 60) : at + 60])


def _python_fault(text: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of numbers that are called or indexed
            ast.parse(text.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return str(error) or type(error).__name__
    return ""


def _yaml(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=_LOADER)
    except (yaml.YAMLError, RecursionError, ValueError):
        return None


def _quoted(node: yaml.Node) -> Iterator[Span]:
    """Where scalars in quotes stand."""
    if isinstance(node, yaml.ScalarNode):
        if node.style in ("'", '"'):
            yield node.start_mark.index, node.end_mark.index
    elif isinstance(node, yaml.CollectionNode):
        for child in node.value:
            for each in child if isinstance(child, tuple) else (child,):
                yield from _quoted(each)


def _value(node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        return Members((str(_value(key)), _value(value)) for key, value in node.value)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item) for item in node.value]
    return str(node.value)


def _is_cut(marks: MarkReader, part: object, whole: object) -> bool:
    """Whether `part` is the scalar `whole`, or a string of pieces of the string `whole` in their order with marks between them."""
    if type(part) is not str or type(whole) is not str:
        return type(part) is type(whole) and part == whole
    first, *others = marks.around(part)
    if not others:
        return part == whole
    at = 0
    for piece in (first, *others):
        at = whole.find(piece.strip(), at)
        if at < 0:
            return False
        at += len(piece.strip())
    return whole.startswith(first.rstrip()) and whole.endswith(others[-1].lstrip())


def _is_shortened(part: object, whole: object) -> bool:
    """Whether `part` is nothing, or a text made of words of the text `whole` in their order."""
    if part == "":
        return True
    return isinstance(part, str) and isinstance(whole, str) and _in_order(part.split(), whole.split(), lambda one, other: one == other)
