"""What must hold of every output, whatever its kind, and the list of all checks.

A check returns None where it does not apply, "" where it holds, and what is wrong otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TypeAlias

from benchmarks.wellformed import lines, nested, statements, tables
from benchmarks.wellformed.marks import MarkReader, marks_in, shown
from benchmarks.wellformed.outputs import Call, Output
from specprefill_agents import expand
from specprefill_agents.prompt.render import gap_marks, gaps_between, render

Check: TypeAlias = Callable[[Output], "str | None"]

_READ_ON = re.compile(r"to read on, call \w+ with start_line=(?P<line>\d+)(?:, start_char=(?P<char>\d+))? and end_line=(?P<last>\d+)\]\Z")
_ID = re.compile(r"sp-[a-z2-7]{8,52}")


def unchanged(output: Output) -> str | None:
    """What was not compressed is the original."""
    if output.decided.outcome == "compressed":
        return None
    return "" if output.decided.text == output.text else f"{output.decided.outcome}, but not the original"


def counted(output: Output) -> str | None:
    """The tokens of an output are those it is said to have, and fewer than the original's where it was compressed."""
    decided = output.decided
    if decided.kept_tokens != output.recounted_tokens:
        return f"said to have {decided.kept_tokens} tokens, has {output.recounted_tokens}"
    if decided.outcome == "compressed" and decided.kept_tokens >= decided.original_tokens > 0:
        return f"{decided.kept_tokens} tokens instead of {decided.original_tokens}"
    return ""


def spans(output: Output) -> str | None:
    """Kept spans are sorted and disjoint, do not touch, lie in the text, and begin and end where units do."""
    held = output.decided.spans
    places = [place for span in held for place in span]
    if any(after <= before for before, after in pairwise(places)) or (places and not 0 <= places[0] <= places[-1] <= len(output.text)):
        return f"not sorted and disjoint: {shown(str(held))}"
    borders = {0, *(unit.end for unit in output.layout.units)}
    inside = next((place for place in places if place not in borders), None)
    return "" if inside is None else f"a unit is cut at {shown(output.text[max(0, inside - 30) : inside + 30])}"


def needs(output: Output) -> str | None:
    """What a kept unit needs is kept with it."""
    layout = output.layout
    mask = lines.kept_of(output.text, output.decided.spans).mask
    kept = [bool(mask[unit.start]) for unit in layout.units]
    for index, is_kept in enumerate(kept):
        missing = next((need for need in layout.needs[index] if is_kept and not kept[need]), None)
        if missing is not None:
            have, lack = (output.text[unit.start : unit.end] for unit in (layout.units[index], layout.units[missing]))
            return f"{shown(have)} is kept without {shown(lack)}"
    return ""


def derived(output: Output) -> str | None:
    """The text follows from the original and the spans, and reads as pieces of the original with marks between them."""
    decided, config = output.decided, output.compressor.config
    marks = gap_marks(config, output.segment.kind, decided.marks, decided.original_id)
    if decided.text != render(output.text, decided.spans, marks, decided.forms):
        return "the text is not what its spans render to"
    if not decided.text and not decided.spans:
        return ""
    try:
        list(marks_in(decided.text, output.text, decided.spans, MarkReader(config)))
    except ValueError as error:
        return str(error)
    return ""


def by_id(output: Output) -> str | None:
    """An id that the text shows leads to the original, byte for byte, as the store of originals keeps it."""
    if output.decided.marks != "full" or not output.decided.text:
        return None
    originals = output.compressor.originals
    if originals is None:
        return None
    found = _ID.findall(output.decided.text)
    return "" if any(originals.get(name) == output.text for name in found) else f"none of the ids {found} leads to the original"


def by_lines(output: Output) -> str | None:
    """With the lines that each mark names asked for in its place, the text is the original again, byte for byte.

    A gap whose mark names no lines (part of a line, one line, a small budget) is filled by its span; where no mark names
    any, the check does not apply.
    """
    if not output.decided.original_id or not output.decided.text:
        return None
    decided = output.decided
    try:
        marks = list(marks_in(decided.text, output.text, decided.spans, MarkReader(output.compressor.config)))
    except ValueError:
        return None  # told by `derived`
    if not any(mark.lines for mark in marks):
        return None
    rebuilt, position = "", 0
    for mark, (start, end) in zip(marks, gaps_between(len(output.text), decided.spans), strict=True):
        rebuilt += output.text[position:start]
        position = end
        if mark.lines is None:
            rebuilt += output.text[start:end]
            continue
        if mark.lines[0] != rebuilt.count("\n") + 1:
            return f"a mark names lines {mark.lines} where line {rebuilt.count(chr(10)) + 1} goes on"
        column = len(rebuilt) - rebuilt.rfind("\n") - 1
        asked = _expanded(output, *mark.lines)
        rebuilt += asked[column : column + end - start]
        indent = column + end - start - len(asked)  # white space of the next line, which marks inside JSON end with
        if indent > 0:
            rebuilt += output.text[end - indent : end] if output.text[end - indent : end].isspace() else ""
    rebuilt += output.text[position:]
    if rebuilt == output.text:
        return ""
    at = next(
        (at for at, (one, other) in enumerate(zip(rebuilt, output.text, strict=False)) if one != other), min(len(rebuilt), len(output.text))
    )
    return f"{shown(rebuilt[at : at + 40])} instead of {shown(output.text[at : at + 40])} at character {at}"


def _expanded(output: Output, first: int, last: int) -> str:
    """Lines of the original as a model gets them that reads on until it has them all."""
    originals = output.compressor.originals
    assert originals is not None, "there is an id"
    text, wanted = "", {"start_line": first, "start_char": None}
    while True:
        head, _, body = expand(
            originals, output.decided.original_id, wanted["start_line"], last, start_char=wanted["start_char"]
        ).partition("\n")
        text += body
        more = _READ_ON.search(head)
        if more is None:
            return text
        wanted = {"start_line": int(more["line"]), "start_char": int(more["char"]) if more["char"] else None}


def within_budget(call: Call) -> str | None:
    """The candidates of a call have at most `keep_ratio` of their tokens together, marks included; not asked where that is `auto`."""
    ratio = call.outputs[0].compressor.config.keep_ratio if call.outputs else 1.0
    candidates = [one for one in call.outputs if one.decided.outcome == "compressed" or one.decided.reason == "nothing gained"]
    if isinstance(ratio, str) or not candidates:
        return None
    kept, total = sum(one.recounted_tokens for one in candidates), sum(one.decided.original_tokens for one in candidates)
    return "" if kept <= ratio * total else f"{kept} tokens of {total} at keep_ratio {ratio:g}"


OF_ALL: Mapping[str, Check] = {"unchanged": unchanged, "counted": counted}
"""Name -> check of any output."""

OF_COMPRESSED: Mapping[str, Check] = {
    "spans": spans,
    "needs": needs,
    "derived": derived,
    "by id": by_id,
    "by lines": by_lines,
    "words": lines.whole_words,
    "lines": lines.whole_lines,
    "json": nested.json_document,
    "json lines": nested.json_lines,
    "printed": nested.printed_values,
    "records": nested.yaml_records,
    "statements": statements.whole_statements,
    "heads": statements.with_heads,
    "rows": tables.whole_rows,
    "header": tables.with_header,
    "hunks": lines.with_hunk_header,
}
"""Name -> check of an output that is shorter than its original."""
