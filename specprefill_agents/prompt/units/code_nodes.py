"""What the nodes of the syntax trees are, in all grammars together: bodies, definitions, imports, comments, brackets.

The grammars name alike things alike; where two give one name to different things, the difference does not matter here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from tree_sitter import Node

Role: TypeAlias = Literal["statement", "import", "comment", "docstring", "text", "frame"]
"""What a piece of code is to its reader; "text" is what no parser understood, "frame" what a tool wrote around the code."""

BODIES = frozenset(
    """module program source_file translation_unit ERROR
    block statement_block compound_statement class_body interface_body enum_body enum_body_declarations constructor_body
    annotation_type_body declaration_list field_declaration_list enumerator_list enum_variant_list match_block jsx_element
    switch_body switch_case switch_default switch_block switch_block_statement_group case_statement expression_case
    default_case type_case communication_case const_declaration var_declaration import_spec_list
    preproc_if preproc_ifdef preproc_else preproc_elif""".split()
)
"""Nodes whose children are statements, members or cases, each of which may be kept or dropped on its own."""

CLAUSES = frozenset(["elif_clause", "else_clause", "except_clause", "except_group_clause", "finally_clause", "catch_clause"])
"""Parts of a statement that have a head and a body of their own."""

TRANSPARENT = frozenset(["statement_list", "ERROR"])
"""Nodes that are no statement themselves, even where they stand like one."""

CLOSERS = frozenset([")", "]", "}", ";", ",", "end", "jsx_closing_element"])
"""What ends a statement without adding to it."""

ATTRIBUTES = frozenset(["attribute_item", "decorator"])
"""Nodes that belong to the statement after them."""

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
_STRINGS = frozenset(["string", "concatenated_string"])
_OPENERS = frozenset(["(", "[", "{"])


def role_of(node: Node) -> Role:
    """What a statement is; a string that stands alone is a docstring wherever it stands."""
    kind = node.type
    if "comment" in kind:
        return "comment"
    if kind in _IMPORTS:
        return "import"
    only = node.child(0) if node.child_count == 1 else None
    return "docstring" if only is not None and only.type in _STRINGS else "statement"


def is_definition(node: Node) -> bool:
    """Whether a statement defines a function or a type, an arrow function that is given a name among them."""
    kind = node.type
    while kind in _WRAPPERS and node.named_child_count:
        node = node.named_children[-1]
        kind = node.type
    return kind in _DEFINITIONS


def is_bracketed(node: Node) -> bool:
    """Whether a node begins with a bracket: arguments, a list, a table of values."""
    first = node.child(0)
    return first is not None and first.type in _OPENERS
