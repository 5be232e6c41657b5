"""One fragment of code -> its syntax tree. The fragment may begin and end anywhere in a file.

Where it does not parse as it stands, it is tried in the contexts that it may have been cut out of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from specprefill_agents.prompt.units.code_languages import Language

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

GOOD_ERROR_SHARE = 0.02
"""A fragment with a smaller share of its characters in syntax errors is taken as it parses at first."""

_SUSPECT_CHARS, _SUSPECT_ERROR_SHARE = 500, 0.18
_MAX_VAIN_TRIES = 2
_MAX_BLOCKS = 8
_BRANCH = re.compile(rb"\s*(elif|else|except|finally)\b")
_BRACES = re.compile(rb"[{}]")
_SENSIBLE = re.compile(r".*(?:statement|definition|declaration|_item|comment|block|_body|assignment)\Z|preproc_")


@dataclass(frozen=True, slots=True)
class Fragment:
    """Code of the lines from `line` on, without gutters; `margins` counts the white space at the start of each line.

    `heads` are the marks it stands under, the outermost first.
    """

    code: bytes
    line: int
    margins: Sequence[int]
    heads: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Parsed:
    """A fragment's syntax tree. The fragment begins at row `shift` of it; `errors` characters are not understood.

    One that `is_suspect` is long and little understood: it may have been slow to parse, and another try would be as slow.
    """

    root: Node
    shift: int
    errors: int
    is_suspect: bool


def parse(parser: Parser, language: Language, fragment: Fragment) -> Parsed:
    """The tree with the fewest errors among the contexts that the fragment may have been cut out of."""
    plain = (_steps(fragment) if language.name == "python" else b"", b"")
    contexts = [plain, *_contexts(language, fragment.code)]
    if _has_members(language, fragment):
        contexts.sort(key=lambda context: b"class" not in context[0])
    best: Parsed | None = None
    vain = 0
    for before, after in contexts:
        tried = _parse_in(parser, before, fragment, after)
        vain = vain + 1 if best is not None and tried.errors >= best.errors else 0
        best = tried if best is None or tried.errors < best.errors else best
        if best.errors <= GOOD_ERROR_SHARE * len(fragment.code) or vain == _MAX_VAIN_TRIES:
            break
    assert best is not None, "there is the plain context at least"
    return best


def _has_members(language: Language, fragment: Fragment) -> bool:
    """Whether a line at the smallest indent can only stand in a class, although it parses elsewhere as something else."""
    if language.member is None:
        return False
    filled = [margin for margin, line in zip(fragment.margins, fragment.code.split(b"\n"), strict=False) if line.strip()]
    return any(len(match[1]) == min(filled) for match in language.member.finditer(fragment.code))


def _parse_in(parser: Parser, before: bytes, fragment: Fragment, after: bytes) -> Parsed:
    root = parser.parse(before + fragment.code + after).root_node
    errors, size = sum(_errors(root)), len(fragment.code)
    return Parsed(root, before.count(b"\n"), errors, size > _SUSPECT_CHARS and errors > _SUSPECT_ERROR_SHARE * size)


def _steps(fragment: Fragment) -> bytes:
    """An `if` or a `try` for each smaller indent that Python code which begins indented goes back to, and for an `else` or an
    `except` that it begins with."""
    filled = [(margin, line) for margin, line in zip(fragment.margins, fragment.code.split(b"\n"), strict=False) if line.strip()]
    least = first = filled[0][0] if filled else 0
    steps = [b" " * first + _head_of(line) + b" _\n" for _, line in filled[:1] if _BRANCH.match(line)]
    for margin, line in filled:
        if margin < least:
            least = margin
            steps.append(b" " * margin + _head_of(line) + b"\n")
    if first and least:
        steps.append(b"if _:\n")
    return b"".join(reversed(steps[-_MAX_BLOCKS:]))


def _head_of(line: bytes) -> bytes:
    """The head of a statement that `line` may be a branch of, or stand below."""
    branch = _BRANCH.match(line)
    return b"try:" if branch is not None and branch[1] in (b"except", b"finally") else b"if _:"


def _contexts(language: Language, code: bytes) -> Iterator[tuple[bytes, bytes]]:
    """What may stand before and after `code`, of what it shows signs of: a string, a comment or blocks that it only closes."""
    depth = unopened = 0
    for bracket in _BRACES.findall(code):
        depth += 1 if bracket == b"{" else -1
        unopened = max(unopened, -depth)
    for context in language.contexts:
        before = context.encode()
        if before.startswith(b'"""'):
            fitting = [before] if code.count(b'"""') % 2 else []
        elif before.startswith(b"/*"):
            fitting = [before] if b"*/" in code and b"/*" not in code[: code.index(b"*/")] else []
        elif before.endswith(b"{"):
            outer = before.count(b"{") - 1  # may be closed by the code or stay open
            blocks = [opened - outer for opened in range(unopened, unopened + outer + 1) if opened > outer]
            fitting = [before + b"{" * (min(count, _MAX_BLOCKS) - 1) + b"\n" for count in blocks]
        else:
            fitting = [before]
        yield from ((fit, b"\n" + b"}" * (fit.count(b"{") + depth)) for fit in fitting)


def _errors(root: Node) -> Iterator[int]:
    """Characters in error nodes, but for the statements that the parser did make out inside them."""
    waiting = [root] if root.has_error else []
    while waiting:
        node = waiting.pop()
        children = node.children
        if node.is_missing or (node.is_error and not children):
            yield max(1, node.end_byte - node.start_byte)
        for child in children:
            if child.has_error:
                waiting.append(child)
            elif node.is_error and not _SENSIBLE.match(child.type):
                yield child.end_byte - child.start_byte
