"""Tables: a row that is kept is whole and has its header above it. Rows are told by `csv`, rules and blank lines.

A delimited text has as many cells in each row as in most; its first row is a header when it has distinct labels above
columns of which one at least holds figures. A drawn table's header stands above its first rule, or between its first two.
Columns held by spaces have a header when all of its words are in capitals.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.wellformed.lines import kept_of
from benchmarks.wellformed.marks import shown
from benchmarks.wellformed.outputs import Output
from specprefill_agents import Span

MIN_ROWS = 3
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_DASHES, _CROSSES = "-=─━═", "|:+│┃║├┼┤┌┬┐└┴┘╞╪╡╔╦╗╚╩╝╠╬╣"
_CROSSED, _SPACED = rf"[{_CROSSES}][{_DASHES}{_CROSSES} ]{{2,}}", rf"[{_DASHES}]{{2,}}(?:(?: +|[{_CROSSES}])[{_DASHES}]{{2,}})+"
_RULE = re.compile(rf"[ \t]*(?=[^\n]*[{_DASHES}])(?:{_CROSSED}|{_SPACED})[ \t\r]*\n?\Z")
_FOOTER = re.compile(r"\s*\(?\d+ rows?\b")
_FIGURE = re.compile(r"[-+]?\d[\d.,:]*%?\Z")
_LABEL = re.compile(r"[^\W\d]")
_MAX_ROW_LINES = 200


class Table(NamedTuple):
    """Where the header (None without one) and the rows of a table stand."""

    header: Span | None
    rows: list[Span]


def whole_rows(output: Output) -> str | None:
    """A row is kept or dropped whole, whatever its length and however many lines it has."""
    if output.layout.kind != "table":
        return None
    kept = kept_of(output.text, output.decided.spans)
    for table in tables_in(output.text):
        for row in table.rows:
            if kept.state(*row) == "cut":
                return f"the row {shown(output.text[slice(*row)])} is cut"
    return ""


def with_header(output: Output) -> str | None:
    """With any row the header of its table is kept."""
    if output.layout.kind != "table":
        return None
    kept = kept_of(output.text, output.decided.spans)
    tables = [table for table in tables_in(output.text) if table.header and table.header[1] - table.header[0] <= output.limits.block_chars]
    for table in tables:
        row = next((row for row in table.rows if kept.state(*row) == "kept"), None)
        if row and table.header and kept.state(*table.header) != "kept":
            return f"{shown(output.text[slice(*row)])} is kept without {shown(output.text[slice(*table.header)])}"
    return "" if tables else None


def tables_in(text: str) -> list[Table]:
    """The tables that `text` consists of."""
    lines = [match.span() for match in _LINE.finditer(text)]
    sections = list(_sections(text, lines))
    drawn = [_drawn(text, section) for section in sections]
    if any(drawn):
        return [table for table in drawn if table]
    delimited = _delimited(text, lines)
    return [delimited] if delimited else [table for section in sections if (table := _aligned(text, section))]


def _sections(text: str, lines: Sequence[Span]) -> Iterator[list[Span]]:
    section: list[Span] = []
    for start, end in lines:
        if text[start:end].strip():
            section.append((start, end))
        elif section:
            yield section
            section = []
    if section:
        yield section


def _drawn(text: str, section: Sequence[Span]) -> Table | None:
    rules = [at for at, (start, end) in enumerate(section) if _RULE.match(text[start:end])]
    if not rules or len(section) < MIN_ROWS:
        return None
    opens = rules[0] == 0
    if opens and len(rules) < 2:
        return None
    first, last = (0, rules[1]) if opens else (rules[0] - 1, rules[0])
    rows = [line for at, line in enumerate(section) if at > last and at not in rules and not _FOOTER.match(text[slice(*line)])]
    return Table((section[first][0], section[last][1]), rows)


def _delimited(text: str, lines: Sequence[Span]) -> Table | None:
    for delimiter in "\t|;,":
        records = list(_records(text, lines, delimiter))
        counts = Counter(len(cells) for _, cells in records)
        usual, agreeing = counts.most_common(1)[0] if counts else (0, 0)
        if usual < 2 or agreeing < max(MIN_ROWS, 0.9 * len(records)):
            continue
        fitting = [record for record in records if len(record[1]) == usual]
        spans = [span for span, _ in fitting]
        has_header = _is_header([cells for _, cells in fitting])
        return Table(spans[0] if has_header else None, spans[1:] if has_header else spans)
    return None


def _records(text: str, lines: Sequence[Span], delimiter: str) -> Iterator[tuple[Span, list[str]]]:
    """The records that `csv` reads, each with where it stands; one of very many lines is no record."""
    reader = csv.reader([text[start:end] for start, end in lines], delimiter=delimiter)
    before = 0
    try:
        for cells in reader:
            first, before = before, reader.line_num
            if cells and before - first <= _MAX_ROW_LINES:
                yield (lines[first][0], lines[before - 1][1]), cells
    except csv.Error:
        return


def _is_header(rows: Sequence[Sequence[str]]) -> bool:
    labels = [cell.strip() for cell in rows[0]]
    if len(set(labels)) < len(labels) or not all(_LABEL.match(label) for label in labels):
        return False
    return any(all(_FIGURE.match(cell.strip()) for cell in column) for column in zip(*rows[1:], strict=True))


def _aligned(text: str, section: Sequence[Span]) -> Table | None:
    words = text[slice(*section[0])].split()
    is_header = len(words) > 1 and all(word.isupper() for word in words) and re.search(r"\S {2,}\S", text[slice(*section[0])]) is not None
    return Table(section[0], list(section[1:])) if is_header and len(section) >= MIN_ROWS else None
