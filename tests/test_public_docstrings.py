"""Everything that a user can reach from the public names says what it does."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import specprefill_agents
import specprefill_langchain
import specprefill_llamaindex

PACKAGES = (specprefill_agents, specprefill_langchain, specprefill_llamaindex)


def public_names() -> Iterator[tuple[str, Any]]:
    """Each public class and function of the packages, and the public members that its class defines itself."""
    for package in PACKAGES:
        for name in package.__all__:
            value = getattr(package, name)
            if not (inspect.isclass(value) or inspect.isfunction(value)) or is_foreign(value):
                continue
            yield f"{package.__name__}.{name}", value
            for member, held in vars(value).items() if inspect.isclass(value) else ():
                if not member.startswith("_") and (inspect.isroutine(held) or isinstance(held, (property, classmethod, staticmethod))):
                    yield f"{package.__name__}.{name}.{member}", getattr(value, member)


def is_foreign(value: Any) -> bool:
    return value.__module__.partition(".")[0] not in {package.__name__ for package in PACKAGES}


def test_each_public_name_has_a_docstring_of_its_own_or_of_what_it_overrides() -> None:
    found = dict(public_names())
    assert {"specprefill_agents.Session.step", "specprefill_langchain.ChatSpecPrefill.bind_tools"} <= set(found)
    assert [name for name, value in found.items() if not (inspect.getdoc(value) or "").strip()] == []
