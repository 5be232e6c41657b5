"""Lines that hold nothing but a comment: where they stand says little about the structure of the code, less than what follows.

A comment at the left margin ends no class, and one above an `else` begins no statement.
"""

from __future__ import annotations

import re
from dataclasses import replace

from specprefill_agents.prompt.units.code_languages import Language
from specprefill_agents.prompt.units.code_lines import CodeLines
from specprefill_agents.prompt.units.code_literals import INSIDE

CONTINUES = re.compile(
    rb"[)\]}{.,]|#\s*(?:if|el|end)|(?:else|elif|except|finally|catch|then|rescue|ensure|end)\b"
    rb"|(?:public|private|protected)\b.*:\Z"
)
"""What a line begins with, unless it is a comment, that goes on with the statement before it."""

_HASH = re.compile(rb"#")
_SLASHES = re.compile(rb"//|#(?!\s*\[|\s*(?:if|el|end|include|define|pragma))")


def with_comments(lines: CodeLines, language: Language) -> CodeLines:
    """`lines` with their comments known, which are indented as deep, at least, as the code below them; or as the code above,
    where that below goes on with it."""
    comment = _HASH if language.name == "python" else _SLASHES
    indents, comments = list(lines.indents), set[int]()
    above, waiting = 0, list[int]()
    for line, indent in enumerate(lines.indents):
        if not 0 <= indent < INSIDE:
            continue
        code = lines.code_of(line)
        if comment.match(code):
            waiting.append(line)
            continue
        for at in waiting:
            indents[at] = max(indents[at], above if CONTINUES.match(code) else indent)
        comments.update(waiting)
        waiting.clear()
        above = indent
    return replace(lines, indents=indents, comments=frozenset(comments.union(waiting)))
