"""Source code -> its statements with their own lines, read by parsers alone: `ast` for Python, tree-sitter for the rest."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

_GRAMMARS = (
    ("tree_sitter_javascript", "language"),
    ("tree_sitter_typescript", "language_typescript"),
    ("tree_sitter_typescript", "language_tsx"),
    ("tree_sitter_java", "language"),
    ("tree_sitter_go", "language"),
    ("tree_sitter_rust", "language"),
    ("tree_sitter_c", "language"),
    ("tree_sitter_cpp", "language"),
)
_STATEMENT = re.compile(r"(?:\w+_)?(?:statement|declaration|definition|item|directive|include)\Z|preproc_(?:def|call)\Z")
_GUTTER = re.compile(r"[ \t]{0,12}\d{1,7}(?:\t|→|[ \t]?[:|│]|  ?|(?=\r?\n))")
_NO_CODE = frozenset([tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER])
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_MAX_TRIES = 6


@dataclass(frozen=True, slots=True)
class Piece:
    """A statement's own `lines` (from 0), `chars` from the first to the last of them, and the indices of its `heads`, outermost first.

    `is_text`: a string that stands alone, such as a docstring.
    """

    lines: list[int]
    chars: int
    heads: list[int] = field(default_factory=list)
    is_text: bool = False


@lru_cache(maxsize=64)
def pieces_of(text: str) -> list[Piece] | None:
    """The statements of `text`, in order; None when it does not parse in any language known."""
    if "\r" in text.replace("\r\n", ""):
        return None  # a line end to some parsers only
    for readable in _readings(text):
        pieces = _python(readable)
        if pieces:
            return pieces
    for readable in _readings(text):
        pieces = _other(readable)
        if pieces:
            return pieces
    return None


def _readings(text: str) -> Iterator[str]:
    """`text` as it is, without a fence around it, or without line numbers; lines keep their numbers."""
    lines = _split(text.replace("\f", " "))
    if not lines:
        return
    gutters = [_GUTTER.match(line) for line in lines]
    if 2 * sum(gutter is not None for gutter in gutters) > len(lines):
        yield "".join(line[gutter.end() :] if gutter else "\n" for line, gutter in zip(lines, gutters, strict=True))
    yield "".join(lines)
    if lines[0].startswith("```"):
        yield "".join("\n" if line.startswith("```") else line for line in lines)


def _split(text: str) -> list[str]:
    return _LINE.findall(text)


def _python(text: str) -> list[Piece] | None:
    for source in _whole_items(_split(text)):
        tree = _parsed(source)
        if tree is not None and tree.body:
            return _PythonReader(source).read(tree)
    return None


def _parsed(source: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of escapes in strings
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _whole_items(lines: Sequence[str]) -> Iterator[str]:
    """The code without indent, then without what is indented deeper at its beginning, then with fewer items at its end."""
    margins = [len(line) - len(line.lstrip()) for line in lines if line.strip()]
    if not margins:
        return
    least = min(margins)
    held = ["\n" if not line.strip() else line[least:] for line in lines]
    yield "".join(held)
    at = 0
    while at < len(held) and not _begins_item(held[at]):
        held[at] = "\n"
        at += 1
    for _ in range(_MAX_TRIES):
        yield "".join(held)
        last = max((at for at, line in enumerate(held) if _begins_item(line)), default=-1)
        if last < 0:
            return
        held[last:] = ["\n"] * (len(held) - last)


def _begins_item(line: str) -> bool:
    return bool(line.strip()) and not line[0].isspace()


class _PythonReader:
    """Collects the pieces of one parsed source."""

    def __init__(self, source: str) -> None:
        self._lengths = [len(line) for line in _split(source)]
        self._pieces: list[Piece] = []
        self._code: set[int] = set()  # lines, from 1, with more than a comment
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type not in _NO_CODE:
                self._code.update(range(token.start[0], token.end[0] + 1))

    def read(self, tree: ast.Module) -> list[Piece]:
        """The pieces of all statements."""
        self._suite(tree.body, [])
        return self._pieces

    def _suite(self, statements: Sequence[ast.stmt], heads: list[int]) -> None:
        for statement in statements:
            self._statement(statement, heads)

    def _statement(self, node: ast.stmt, heads: list[int], chain: list[int] | None = None) -> None:
        """`chain`: what the parts of an `elif` stand under in its place, the `if`."""
        first, suites = _first_line(node), list(_suites(node))
        if not suites:
            is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
            self._add(first, node.end_lineno or first, heads, is_text)
            return
        under = [*heads, self._add(first, max(first, (suites[0].head or suites[0].begin) - 1), heads)]
        chain = chain or under
        for suite in suites:
            own = next((line for line in range(suite.head, suite.begin) if line in self._code), None) if suite.head else None
            if own is not None:
                self._suite(suite.body, [*chain, self._add(own, suite.begin - 1, chain)])
            elif suite.head and isinstance(suite.body[0], ast.If):
                self._statement(suite.body[0], chain, chain)
            else:
                self._suite(suite.body, under)

    def _add(self, first: int, last: int, heads: list[int], is_text: bool = False) -> int:
        """A piece of the lines from `first` to `last`; one that begins on the last line of the piece before joins it."""
        lines = [line - 1 for line in range(first, last + 1) if line in self._code]
        if self._pieces and lines[0] <= self._pieces[-1].lines[-1]:
            before = self._pieces.pop()
            lines, heads, is_text = sorted({*before.lines, *lines}), before.heads, False
        self._pieces.append(Piece(lines, sum(self._lengths[lines[0] : lines[-1] + 1]), heads, is_text))
        return len(self._pieces) - 1


class _Suite(NamedTuple):
    """The `body` of a compound statement or of a part of it, and the line where it may have a head of its own (0: none)."""

    head: int
    body: list[ast.stmt]

    @property
    def begin(self) -> int:
        """Its first line."""
        return _first_line(self.body[0])


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(one.lineno for one in decorators)])


def _suites(node: ast.stmt) -> Iterator[_Suite]:
    """The suites of a compound statement in the order of the text; none of a simple one. The first is under its own head.

    Where an `else` stands between two suites only its lines tell: they are looked for from the end of the suite before.
    """
    if isinstance(node, ast.Match):
        yield from (_Suite(case.pattern.lineno, case.body) for case in node.cases)
        return
    end = 0
    parts = [(0, getattr(node, "body", [])), *((handler.lineno, handler.body) for handler in getattr(node, "handlers", []))]
    parts += [(-1, getattr(node, name, [])) for name in ("orelse", "finalbody")]
    for head, body in parts:
        if body:
            yield _Suite(end + 1 if head < 0 else head, body)
            end = body[-1].end_lineno or 0


@cache
def _parsers() -> list[Parser]:
    from tree_sitter import Language, Parser

    return [Parser(Language(getattr(import_module(module), entry)())) for module, entry in _GRAMMARS]


def _other(text: str) -> list[Piece] | None:
    """The smallest statements of `text` in the first language in which it has no fault."""
    source = text.encode()
    for parser in _parsers():
        root = parser.parse(source).root_node
        if not root.has_error:
            lengths = [len(line) for line in _split(text)]
            return [_piece(node, lengths) for node in _smallest(root)]
    return None


def _piece(node: Node, lengths: Sequence[int]) -> Piece:
    last = node.end_point[0] - (node.end_point[1] == 0)
    lines = list(range(node.start_point[0], last + 1))
    return Piece(lines, sum(lengths[lines[0] : lines[-1] + 1]))


def _smallest(root: Node) -> Iterator[Node]:
    """Statements and declarations that have none inside, in any order."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        inside = list(_statements_in(node))
        if not inside and _STATEMENT.match(node.type):
            yield node
        waiting.extend(inside)


def _statements_in(node: Node) -> Iterator[Node]:
    """The outermost statements inside `node`."""
    waiting = list(node.children)
    while waiting:
        child = waiting.pop()
        if _STATEMENT.match(child.type):
            yield child
        else:
            waiting.extend(child.children)
