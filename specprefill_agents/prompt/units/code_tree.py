"""Statements of one fragment of code, read off its syntax tree: where each begins, and under which head it stands.

A mark is put at a line, never inside one. A fragment may begin and end anywhere in a file: where it does not parse as it
stands, it is tried in the contexts that it may have been cut out of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from specprefill_agents.prompt.units.code_languages import Language
from specprefill_agents.prompt.units.layout import Limits

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

Role: TypeAlias = Literal["statement", "import", "comment", "docstring", "text", "frame"]

GOOD_ERROR_SHARE = 0.02
"""A fragment with a smaller share of its characters in syntax errors is taken as it parses at first."""

_MAX_DEPTH = 48
_MAX_HEADS = 5
_MAX_BLOCKS = 8
_CLOSERS = frozenset([")", "]", "}", ";", ",", "end", "jsx_closing_element"])
_OPENERS = frozenset(["(", "[", "{"])
_FIELDS_OF_BODY = "block statement_block compound_statement class_body interface_body enum_body declaration_list field_declaration_list"
_BODIES = frozenset(
    f"""{_FIELDS_OF_BODY} module program source_file translation_unit ERROR
    switch_body switch_case switch_default switch_block switch_block_statement_group constructor_body annotation_type_body
    enum_body_declarations expression_case default_case type_case communication_case const_declaration var_declaration
    import_spec_list match_block enum_variant_list case_statement enumerator_list preproc_if preproc_ifdef preproc_else
    preproc_elif jsx_element""".split()
)
_TRANSPARENT = frozenset(["statement_list", "ERROR"])
_NOT_ITEMS = _TRANSPARENT | _CLOSERS
_DEFINITIONS = frozenset(
    """function_definition class_definition decorated_definition function_declaration generator_function_declaration
    class_declaration abstract_class_declaration method_definition method_declaration constructor_declaration
    interface_declaration enum_declaration record_declaration annotation_type_declaration type_declaration function_item
    impl_item trait_item struct_item enum_item mod_item macro_definition class_specifier struct_specifier
    enum_specifier namespace_definition template_declaration type_definition internal_module arrow_function
    function_expression""".split()
)
_WRAPPERS = frozenset(
    """export_statement ambient_declaration lexical_declaration variable_declaration variable_declarator
    expression_statement assignment_expression""".split()
)
_IMPORTS = frozenset(
    """import_statement import_from_statement future_import_statement import_declaration use_declaration
    extern_crate_declaration preproc_include package_clause package_declaration using_declaration""".split()
)
_ATTRIBUTES = frozenset(["attribute_item", "decorator"])
_BRACES = re.compile(rb"[{}]")
_SENSIBLE = re.compile(r".*(?:statement|definition|declaration|_item|comment|block|_body|assignment)\Z")


@dataclass(frozen=True, slots=True)
class Mark:
    """A piece of code begins at the start of `line` and stands under the mark with index `parent` (-1: under none).

    Its statement ends before line `until`; `opens` tells that it is a definition, to be kept or dropped as one.
    """

    line: int
    parent: int
    role: Role = "statement"
    until: int = 0
    opens: bool = False


@dataclass(slots=True)
class Marks:
    """Marks in the order of their lines; a line has one mark at most."""

    marks: list[Mark] = field(default_factory=list)

    def add(self, mark: Mark) -> int:
        """The index of `mark`, or of the one that stands at its line already; plain text gives way."""
        if self.marks and mark.line == self.marks[-1].line and self.marks[-1].role == "text":
            self.marks[-1] = mark
        elif not self.marks or mark.line > self.marks[-1].line:
            self.marks.append(mark)
        return len(self.marks) - 1


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
    """A fragment's syntax tree. The fragment begins at row `shift` of it; `errors` characters are not understood."""

    root: Node
    shift: int
    errors: int


def parse(parser: Parser, language: Language, fragment: Fragment) -> Parsed:
    """The tree with the fewest errors among the contexts that the fragment may have been cut out of."""
    best = _parse_behind(parser, _steps(fragment) if language.name == "python" else b"", fragment)
    for context in _contexts(language, fragment.code):
        if best.errors <= GOOD_ERROR_SHARE * len(fragment.code):
            break
        tried = _parse_behind(parser, context, fragment)
        best = tried if tried.errors < best.errors else best
    return best


def mark_statements(parsed: Parsed, fragment: Fragment, limits: Limits, marks: Marks) -> None:
    """Add a mark for every statement that may be kept or dropped on its own."""
    walk = _Walk(parsed, fragment, limits, marks)
    walk.inside(parsed.root, _Open(fragment.heads), _Place())


def _parse_behind(parser: Parser, context: bytes, fragment: Fragment) -> Parsed:
    root = parser.parse(context + fragment.code).root_node
    return Parsed(root, context.count(b"\n"), sum(_errors(root)))


def _steps(fragment: Fragment) -> bytes:
    """An `if` for each smaller indent that Python code which begins indented goes back to."""
    indents = [margin for margin, line in zip(fragment.margins, fragment.code.split(b"\n"), strict=False) if line.strip()]
    smaller: list[int] = []
    for indent in indents:
        if indent < min([indents[0], *smaller]):
            smaller.append(indent)
    if indents and indents[0] and 0 not in smaller:
        smaller.append(0)
    return b"".join(b" " * indent + b"if _:\n" for indent in reversed(smaller[-_MAX_BLOCKS:]))


def _contexts(language: Language, code: bytes) -> Iterator[bytes]:
    """Contexts that `code` shows signs of: quotes or a comment that it closes without having opened them, or such blocks."""
    depth = unopened = 0
    for bracket in _BRACES.findall(code):
        depth += 1 if bracket == b"{" else -1
        unopened = max(unopened, -depth)
    for context in language.contexts:
        opened = context.count("{")
        if context.startswith('"""'):
            fits = code.count(b'"""') % 2 == 1
        elif context.startswith("/*"):
            fits = -1 < code.find(b"*/") < (code.find(b"/*") + 1 or len(code) + 1) - 1
        else:
            fits = context.endswith("\n") or unopened >= opened
        if fits:
            blocks = 0 if context.endswith("\n") else min(unopened - opened, _MAX_BLOCKS)
            yield context.encode() + b"{" * blocks + b"\n" * (not context.endswith("\n"))


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


@dataclass(slots=True)
class _Open:
    """A statement that is being cut, and how far it has come.

    It stands under the marks `outer`; `first` is its own mark, None for what began before the fragment; `head` is the mark
    that its next inner statement stands under, at first its own. `tail` is the row where a closing bracket after the last
    inner statement begins a line, when nothing but closing brackets followed so far.
    """

    outer: tuple[int, ...]
    first: int | None = None
    head: int | None = None
    after_inner: bool = False
    tail: int | None = None

    @property
    def heads(self) -> tuple[int, ...]:
        """The marks that the next inner statement stands under, the outermost first."""
        return self.outer if self.head is None else (*self.outer, self.head)


@dataclass(frozen=True, slots=True)
class _Place:
    """How deep a node is, whether a definition that is a block of its own is around it, whether brackets may be cut inside."""

    depth: int = 0
    in_block: bool = False
    cut_brackets: bool = False


@dataclass(frozen=True, slots=True)
class _Walk:
    parsed: Parsed
    fragment: Fragment
    limits: Limits
    marks: Marks

    def inside(self, node: Node, around: _Open, place: _Place) -> None:
        """Mark the statements inside `node`; what lies between them is head or tail of the statement `around`."""
        deeper = _Place(place.depth + 1, place.in_block, place.cut_brackets)
        is_body = node.type in _BODIES or (place.cut_brackets and _is_bracketed(node))
        attribute: int | None = None
        for child in node.children:
            row = self._row(child)
            starts_line = self._starts_line(child, row)
            if starts_line and child.type in _ATTRIBUTES:
                attribute = row if attribute is None else attribute
            elif starts_line and child.type not in _NOT_ITEMS and ((is_body and child.is_named) or "comment" in child.type):
                self.statement(child, row if attribute is None else attribute, around, deeper)
                attribute = None
            elif place.depth < _MAX_DEPTH and (child.type in _BODIES or child.type in _TRANSPARENT or self._is_long(child)):
                self.inside(child, around, deeper)
            else:
                self.between(child, row, around)

    def statement(self, node: Node, row: int, around: _Open, place: _Place) -> None:
        """Mark a statement and, when it is long, what is inside it."""
        around.after_inner, around.tail = True, None
        if row < 0:  # the context's own statement, around the fragment
            self.inside(node, _Open(around.heads), place)
            return
        role = _role(node)
        size = node.end_byte - node.start_byte
        defined = _is_definition(node) and not place.in_block
        until = self.fragment.line + self._row_of_end(node) + 1
        mark = self.marks.add(Mark(self.fragment.line + row, innermost(around.heads), role, until, defined))
        if role == "statement" and size > self.limits.max_chars and node.child_count and place.depth < _MAX_DEPTH:
            in_block = place.in_block or (defined and size <= self.limits.block_chars)
            place = _Place(place.depth, in_block, cut_brackets=size > 2 * self.limits.max_chars)
            self.inside(node, _Open(around.heads, mark, mark), place)

    def between(self, node: Node, row: int, around: _Open) -> None:
        """A token after an inner statement: closing brackets stay with that statement, anything else heads what follows."""
        if not around.after_inner:
            return
        if around.tail is None and self._starts_line(node, row):
            around.tail = row
        if around.tail is None or node.type in _CLOSERS:
            return
        parent = innermost(around.outer) if around.first is None else around.first
        head = self.marks.add(Mark(self.fragment.line + around.tail, parent))
        around.head = None if around.first is None else head
        around.after_inner, around.tail = False, None

    def _row(self, node: Node) -> int:
        return node.start_point[0] - self.parsed.shift

    def _row_of_end(self, node: Node) -> int:
        row, column = node.end_point
        return row - self.parsed.shift - (column == 0)

    def _starts_line(self, node: Node, row: int) -> bool:
        return row < 0 or (row < len(self.fragment.margins) and node.start_point[1] == self.fragment.margins[row])

    def _is_long(self, node: Node) -> bool:
        return node.end_byte - node.start_byte > self.limits.max_chars and node.child_count > 0


def innermost(heads: Sequence[int]) -> int:
    """The head that a statement under all these `heads` needs, -1 for none: the innermost, unless it is nested too deeply."""
    return heads[min(len(heads), _MAX_HEADS) - 1] if heads else -1


def _is_bracketed(node: Node) -> bool:
    first = node.child(0)
    return first is not None and first.type in _OPENERS


def _is_definition(node: Node) -> bool:
    inner: Node | None = node
    while inner is not None and inner.type in _WRAPPERS:
        inner = inner.named_child(inner.named_child_count - 1) if inner.named_child_count else None
    return inner is not None and inner.type in _DEFINITIONS


def _role(node: Node) -> Role:
    if "comment" in node.type:
        return "comment"
    if node.type in _IMPORTS:
        return "import"
    only = node.child(0) if node.child_count == 1 else None
    return "docstring" if only is not None and only.type in ("string", "concatenated_string") else "statement"
