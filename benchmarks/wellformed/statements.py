"""Code: a statement that fits in a unit is kept or dropped whole, and with it the heads that it stands under.

Read without the splitter: Python by `ast` and `tokenize`, other languages by their tree-sitter grammars, each only where the
text parses without a fault. For that, line numbers before the code and lines that a tool wrote around it are blanked, and
in Python so are the items that a view begins or ends within; lines stay at their numbers. A text that does not parse is
checked by its lines alone (`lines`).

What is a statement's own: in Python all lines with a token of it, of a compound statement those of its head (`else:` and the
like are heads of their own, `elif` under its `if`). In other languages statements without a statement inside; heads are not
looked for there. Comments are nobody's own, and docstrings may be cut at the end of a line. A statement longer than a unit
(`max_chars`) may be cut between lines, but its first line is there with any of the others.
"""

from __future__ import annotations

from benchmarks.wellformed.lines import Kept, kept_of
from benchmarks.wellformed.marks import shown
from benchmarks.wellformed.outputs import Output
from benchmarks.wellformed.syntax import Piece, pieces_of

MAX_HEADS = 5
"""Statements under more heads than this need only the outermost ones: what one drags along stays short."""


def whole_statements(output: Output) -> str | None:
    """Every statement that fits in a unit is in or out; a longer one has its first line with any other."""
    if output.layout.kind != "code":
        return None
    pieces = pieces_of(output.text)
    if pieces is None:
        return None
    kept = kept_of(output.text, output.decided.spans)
    for piece in pieces:
        states = [kept.line(line) for line in piece.lines]
        some = [line for line, state in zip(piece.lines, states, strict=True) if state in ("kept", "cut")]
        if not some or piece.is_text or all(state == "kept" for state in states):
            continue
        if piece.chars <= output.limits.max_chars:
            return f"a statement is cut: {shown(_lines(output, kept, some))} of {shown(_lines(output, kept, piece.lines))}"
        if states[0] == "dropped":
            return f"{shown(_lines(output, kept, some))} is kept without its first line {shown(_lines(output, kept, piece.lines[:1]))}"
    return ""


def with_heads(output: Output) -> str | None:
    """With any line of a statement the heads that it stands under are kept, the outermost first."""
    if output.layout.kind != "code":
        return None
    pieces = pieces_of(output.text)
    if pieces is None or not any(piece.heads for piece in pieces):
        return None
    kept = kept_of(output.text, output.decided.spans)
    for piece in pieces:
        some = [line for line in piece.lines if kept.line(line) in ("kept", "cut")]
        for head in piece.heads[:MAX_HEADS] if some else ():
            first = pieces[head].lines[:1]
            if kept.line(first[0]) == "dropped":
                return f"{shown(_lines(output, kept, some))} is kept without {shown(_lines(output, kept, first))}"
    return ""


def long_ones_cut(output: Output) -> int:
    """How many statements are kept in part because they do not fit in a unit."""
    pieces: list[Piece] = (pieces_of(output.text) or []) if output.layout.kind == "code" else []
    kept = kept_of(output.text, output.decided.spans)
    states = [{kept.line(line) for line in piece.lines} for piece in pieces if not piece.is_text]
    return sum(len(found & {"kept", "dropped"}) == 2 for found in states)


def _lines(output: Output, kept: Kept, lines: list[int]) -> str:
    return "".join(output.text[slice(*kept.lines[line])] for line in lines)
