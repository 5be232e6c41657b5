"""Tables drawn with rules: `+---+` borders and box characters, psql and Markdown, a row of dashes below the header.

Blank lines part one table from the next; lines that belong to none are notes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from specprefill_agents.prompt.units.line_sample import sample_lines
from specprefill_agents.prompt.units.table_parts import Part, PartList, is_most, sections_of

_DASHES = "-=─━═╌┄"
_BOX = "│┃║┌┐└┘├┤┬┴┼┏┓┗┛┣┫┳┻╋╔╗╚╝╠╣╦╩╬╒╕╘╛╞╡╤╧╪╭╮╰╯┡┩╇"
_MARKS = "|:+" + _BOX
_RULE = frozenset(_DASHES + _MARKS + " \t\r")
_RUNS = re.compile(rf"[{_DASHES}]{{2,}}")
_BARS = ("|", "│", "┃", "║")
_FOOTER = re.compile(r"\s*\(?\d+ rows?\b")
_WRAPPED = re.compile(r"\+ *(?:[|│]|\Z)")
MAX_RULE_CHARS = 5_000
ROWS_PER_RULE = 3
"""Lines between rules, on average, up to which the rules part the rows and the lines are those of wrapped cells."""


def is_rule(line: str) -> bool:
    """Whether `line` is a rule across several columns, rather than one that underlines a title."""
    body = line.strip()
    if not 3 <= len(body) <= MAX_RULE_CHARS or not _RULE.issuperset(body) or not any(dash in body for dash in _DASHES):
        return False
    return any(mark in body for mark in _MARKS) or len(_RUNS.findall(body)) >= 2


def read_drawn(text: str) -> list[Part] | None:
    """The parts of `text` read as tables with rules, or None when it does not mostly consist of them."""
    sample = [line for line in sample_lines(text) if line.strip()]
    if not is_most(_drawn_lines(sample), len(sample)):
        return None
    return [part for start, section in sections_of(text) for part in _parts(start, section)]


def _drawn_lines(lines: list[str]) -> int:
    """How many of `lines` are rules, or rows that fit the rule before or after them."""
    rules = [line for line in lines if is_rule(line)]
    if not rules:
        return 0
    if any(mark in rules[0] for mark in _MARKS):
        return sum(is_rule(line) or any(bar in line for bar in _BARS) for line in lines)
    gaps = [run.end() for run in _RUNS.finditer(rules[0].rstrip())][:-1]
    return sum(all(line[gap : gap + 1] in ("", " ") for gap in gaps) for line in lines)


def _parts(start: int, lines: list[str]) -> list[Part]:
    """The parts of one section: notes, header with its rules, rows, and the closing rule with what follows it."""
    parts = PartList(start)
    rules = [at for at, line in enumerate(lines) if is_rule(line)]
    if not rules:
        parts.take("note", lines)
        return parts.parts
    filled = max(at for at, line in enumerate(lines) if line.strip()) + 1
    opens = rules[0] == 0 or lines[rules[0]].lstrip()[0] in "+" + _BOX  # otherwise it underlines the header
    header = rules[0] if opens else rules[0] - 1
    body = 1 + (rules[1] if opens and rules[1:] and rules[1] + 1 < filled else rules[0])
    close = _closing(lines, body, filled, rules[-1]) if opens else filled
    while close > body and _FOOTER.match(lines[close - 1]):
        close -= 1
    parts.take("note", lines[:header])
    parts.take("header", lines[header:body])
    for row in _rows(lines[body:close], wraps=not opens and "+" in lines[rules[0]]):
        parts.take("row", row)
    parts.take("note", lines[close:])
    return parts.parts


def _closing(lines: list[str], body: int, filled: int, rule: int) -> int:
    """Where the rows end: at the last `rule`, unless rows follow it."""
    is_last = rule >= body and not any(bar in line for line in lines[rule + 1 : filled] for bar in _BARS)
    return rule if is_last else filled


def _rows(lines: list[str], wraps: bool) -> Iterator[list[str]]:
    """The rows: between rules where most rows have one, otherwise a line each; `wraps`: a cell may go on in the next line."""
    rules = sum(map(is_rule, lines))
    is_grid = rules > 0 and ROWS_PER_RULE * (rules + 1) >= len(lines) - rules
    row: list[str] = []
    for at, line in enumerate(lines):
        row.append(line)
        goes_on = not is_rule(line) if is_grid else wraps and _WRAPPED.search(line.rstrip()[-MAX_RULE_CHARS:]) is not None
        if not goes_on and not (at + 1 < len(lines) and not is_grid and is_rule(lines[at + 1])):
            yield row
            row = []
    if row:
        yield row
