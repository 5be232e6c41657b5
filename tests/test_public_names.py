"""The package's public face: one list of names, each importable, each visible to type checkers."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

import specprefill_agents


def test_every_public_name_has_a_home_and_every_home_a_public_name() -> None:
    assert set(specprefill_agents.__all__) == {*specprefill_agents._HOMES, "__version__"}
    assert len(specprefill_agents.__all__) == len(set(specprefill_agents.__all__))


@pytest.mark.parametrize("name", specprefill_agents.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    value = getattr(specprefill_agents, name)
    home = specprefill_agents._HOMES.get(name)
    assert home is None or value is getattr(import_module(f"specprefill_agents.{home}"), name)


def test_type_checkers_see_the_same_names_from_the_same_homes() -> None:
    tree = ast.parse(Path(specprefill_agents.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: str(node.module).removeprefix("specprefill_agents.") for node in imports for alias in node.names}
    assert seen == specprefill_agents._HOMES


def test_names_are_listed_before_they_are_imported() -> None:
    assert set(specprefill_agents.__all__) <= set(dir(specprefill_agents))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Compresser'"):
        specprefill_agents.Compresser  # noqa: B018


def test_public_classes_have_docstrings() -> None:
    for name in set(specprefill_agents._HOMES) - {"Span"}:
        assert getattr(specprefill_agents, name).__doc__, name
