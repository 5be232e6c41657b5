"""Guardrails as a TOML file, or the same as a mapping; `examples/guardrails.toml` shows every setting.

A table or a key that is not known is an error that lists the known ones: a limit that is misspelt must not be no limit.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from specprefill_agents.errors import ConfigError
from specprefill_agents.guardrails.settings import SECTIONS, Guardrails, ToolSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def load_guardrails(path: str | Path) -> Guardrails:
    """The guardrails of a TOML file.

    Raises `ConfigError` naming the dotted field, its value and what is allowed, or the file where it cannot be read.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or a null character in the path
        raise ConfigError("guardrails", str(path), f"a file of UTF-8 text that can be read ({error})") from error
    try:
        return guardrails_from(tomllib.loads(text))
    except ConfigError:
        raise
    except (ValueError, RecursionError) as error:  # also an integer with more digits than Python shows in a message
        raise ConfigError("guardrails", str(path), f"a file of valid TOML ({error})") from error


def guardrails_from(values: object) -> Guardrails:
    """Guardrails from a mapping of plain values, as the file has them; raises `ConfigError` as `load_guardrails` does."""
    given = _table("", values, _names_of(Guardrails))
    for name in ("id", "version"):
        if name not in given:
            raise ConfigError(name, None, "given in every file: decisions are recorded under it")
    for name in SECTIONS.keys() & given.keys():
        given[name] = SECTIONS[name](**_table(name, given[name], _names_of(SECTIONS[name])))
    if "tools" in given:
        rows = _table("tools", given["tools"], None)
        given["tools"] = tuple(_tool(name, row) for name, row in rows.items())
    return Guardrails(**given)


def _tool(name: str, value: object) -> ToolSettings:
    known = [known for known in _names_of(ToolSettings) if known != "name"]
    return ToolSettings(name=name, **_table(f"tools.{name}", value, known))


def _table(where: str, value: object, known: Sequence[str] | None) -> dict[str, Any]:
    """`value` as a table whose keys are `known` ones, or any text where None; `where` is "" for the file as a whole."""
    if not isinstance(value, Mapping):
        raise ConfigError(where or "guardrails", value, "a table")
    for name in value:
        if not isinstance(name, str) or (known is not None and name not in known):
            raise ConfigError(f"{where}.{name}".lstrip("."), value[name], f"settings named {', '.join(known or ())}")
    return dict(value)


def _names_of(section: type) -> list[str]:
    return [field.name for field in fields(section)]
