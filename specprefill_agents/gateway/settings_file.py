"""Settings of a gateway from a TOML file, the environment and the command line; the later ones go before the earlier."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from specprefill_agents.config import CompressionConfig
from specprefill_agents.errors import ConfigError
from specprefill_agents.gateway.settings import GatewaySettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PREFIX = "SPECPREFILL_GATEWAY_"
"""Of the variable for a setting, which then has the setting's name in capitals."""

_NAMES = tuple(setting.name for setting in fields(GatewaySettings))
_KINDS = {setting.name: str(setting.type) for setting in fields(GatewaySettings)}


def load_settings(path: str | Path | None, environment: Mapping[str, str], given: Mapping[str, Any]) -> GatewaySettings:
    """The settings of the TOML file at `path`, under what `environment` says, under what is `given`; None there says nothing.

    Settings of compression stand in the table `compression` of the file and of `given`. Raises `ConfigError` naming the
    field, or the file where it cannot be read.
    """
    values = _read(path) if path is not None else {}
    compression = _table(values.pop("compression", {}))
    values |= {name: _value(name, environment[PREFIX + name.upper()]) for name in _NAMES if PREFIX + name.upper() in environment}
    values |= {name: value for name, value in given.items() if value is not None}
    compression |= {name: value for name, value in _table(values.pop("compression", {})).items() if value is not None}
    for name in values:
        if name not in _NAMES:
            raise ConfigError(name, values[name], f"settings named {', '.join(_NAMES)}")
    if "upstream" not in values:
        raise ConfigError("upstream", None, "the base URL of the provider, such as https://api.deepseek.com/v1")
    return GatewaySettings(**values, compression=CompressionConfig.from_dict({"originals": bool(values.get("expand")), **compression}))


def _read(path: str | Path) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_bytes().decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError("config", str(path), f"a file of valid TOML that can be read ({error})") from error


def _table(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError("compression", value, "a table")
    return dict(value)


def _value(name: str, text: str) -> object:
    """A variable's text as the kind of value that the setting has; what is no such value is the setting's to refuse."""
    if name == "compression":
        raise ConfigError(PREFIX + name.upper(), text, "left out: settings of compression stand in the file")
    kind = _KINDS[name]
    if kind == "bool":
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return int(text) if kind == "int" else float(text) if kind == "float" else text
    except ValueError:
        return text
