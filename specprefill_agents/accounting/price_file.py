"""Prices of your own: a TOML or JSON file, or the same as a mapping, checked before any of it is used.

[aliases]
"team-large" = "claude-of-ours"          # another name for a model

[[tariffs]]
model = "claude-of-ours"
since = 2026-11-01                       # first day, UTC; in JSON "2026-11-01"
caching = "anthropic"                    # deepseek, openai, anthropic, anthropic-1h or none (the default)
input_miss = 3.0                         # USD per 1M tokens
output = 15.0
source = "price list of November"        # where it was read, for people

# Left out, `input_hit`, `input_write` and `input_write_1h` follow from `input_miss` by `pricing.CACHE_FACTORS`, or
# equal it where nothing is cached. A dearer window of the day, UTC, Mondays to Fridays but not on holidays:
# peak = { input_hit = 0.6, input_miss = 6.0, output = 30.0, hours = [["01:00", "04:00"]], holidays = [2026-10-01] }
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Literal

from specprefill_agents.accounting.caching import RULES
from specprefill_agents.accounting.pricing import ALIASES, CACHE_FACTORS, TARIFFS, Price, PriceTable, Tariff, price_by_factors
from specprefill_agents.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_RATES = ("input_hit", "input_miss", "input_write", "input_write_1h", "output")
_TARIFF_KEYS = ("model", "since", "caching", "source", "peak", *_RATES)
_PEAK_KEYS = ("hours", "holidays", *_RATES)
_RANGE = (1e-4, 1e4)
_RATE_ALLOWED = f"a number of USD per 1M tokens: 0, or from {_RANGE[0]:.4f} to {_RANGE[1]:,.0f}"
"""A price per token, the usual mistake, lies below this range."""


def load_prices(path: str | Path) -> PriceTable:
    """The prices of a file (.json, else TOML), before the shipped ones.

    Raises `ConfigError` naming the field, its value and what is allowed, and OSError for a file that cannot be read.
    """
    path = Path(path)
    data = path.read_bytes()
    try:
        values = json.loads(data) if path.suffix.lower() == ".json" else tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            "prices", str(path), f"a file of valid {'JSON' if path.suffix.lower() == '.json' else 'TOML'} ({error})"
        ) from error
    return prices_from(values)


def prices_from(values: object) -> PriceTable:
    """A price table from a mapping of plain values, before the shipped prices; raises `ConfigError` as `load_prices` does."""
    top = _mapping("prices", values, ("tariffs", "aliases"))
    rows = top.get("tariffs", [])
    if not isinstance(rows, list):
        raise ConfigError("tariffs", rows, "a list of tables")
    tariffs = tuple(_tariff(f"tariffs[{index}]", row) for index, row in enumerate(rows))
    aliases = {name: _text(f"aliases.{name}", model) for name, model in _mapping("aliases", top.get("aliases", {}), None).items()}
    known = {tariff.model for tariff in (*tariffs, *TARIFFS)}
    for name, model in aliases.items():
        if model not in known:
            raise ConfigError(f"aliases.{name}", model, f"a model with a tariff: {', '.join(sorted(known))}")
    return PriceTable((*tariffs, *TARIFFS), {**ALIASES, **aliases})


def _tariff(where: str, value: object) -> Tariff:
    row = _mapping(where, value, _TARIFF_KEYS)
    caching = row.get("caching", "none")
    if caching not in RULES:
        raise ConfigError(f"{where}.caching", caching, f"one of {', '.join(RULES)}")
    peak = _mapping(f"{where}.peak", row.get("peak", {}), _PEAK_KEYS)
    return Tariff(
        model=_text(f"{where}.model", row.get("model")),
        since=_day(f"{where}.since", row.get("since")),
        off_peak=_price(where, row, caching, "off-peak"),
        peak=_price(f"{where}.peak", peak, caching, "peak") if peak else None,
        peak_hours=_hours(f"{where}.peak.hours", peak.get("hours")) if peak else (),
        holidays=frozenset(_day(f"{where}.peak.holidays", day) for day in _list(f"{where}.peak.holidays", peak.get("holidays", []))),
        caching=caching,
        source=_text(f"{where}.source", row["source"]) if "source" in row else "",
    )


def _price(where: str, row: Mapping[str, Any], caching: str, window: Literal["off-peak", "peak"]) -> Price:
    given = {name: _rate(f"{where}.{name}", row[name]) for name in _RATES if name in row}
    for name in ("input_miss", "output"):
        if name not in given:
            raise ConfigError(f"{where}.{name}", None, _RATE_ALLOWED)
    by_rule: dict[str, float | None] = {}
    if caching in CACHE_FACTORS:
        derived = price_by_factors(caching, given["input_miss"], given["output"])
        by_rule = {"input_hit": derived.input_hit, "input_write": derived.input_write, "input_write_1h": derived.input_write_1h}
    elif caching == "none":
        by_rule = {"input_hit": given["input_miss"]}
    rates = {**by_rule, **given}
    hit = rates.pop("input_hit", None)
    if hit is None:
        raise ConfigError(f"{where}.input_hit", None, _RATE_ALLOWED)
    return Price(hit, given["input_miss"], given["output"], window, rates.get("input_write"), rates.get("input_write_1h"))


def _rate(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (value == 0 or _RANGE[0] <= value <= _RANGE[1]):
        raise ConfigError(where, value, _RATE_ALLOWED)
    return float(value)


def _hours(where: str, value: object) -> tuple[tuple[time, time], ...]:
    pairs = _list(where, value)
    if not pairs or not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs):
        raise ConfigError(where, value, 'pairs of times in UTC, such as [["01:00", "04:00"]]')
    return tuple((_time(where, start), _time(where, end)) for start, end in pairs)


def _time(where: str, value: object) -> time:
    if isinstance(value, time) and value.tzinfo is None:
        return value
    if not isinstance(value, str) or not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ConfigError(where, value, 'a time in UTC from "00:00" to "23:59"')
    return time.fromisoformat(value)


def _day(where: str, value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError as error:
        raise ConfigError(where, value, "a day such as 2026-11-01") from error


def _text(where: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(where, value, "a text that is not empty")
    return value


def _list(where: str, value: object) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(where, value, "a list")
    return list(value)


def _mapping(where: str, value: object, keys: tuple[str, ...] | None) -> Mapping[str, Any]:
    """`value` as a table whose keys are among `keys`."""
    if not isinstance(value, Mapping):
        raise ConfigError(where, value, "a table")
    for name in value:
        if not isinstance(name, str) or (keys is not None and name not in keys):
            raise ConfigError(f"{where}.{name}", value[name], f"settings named {', '.join(keys or ())}")
    return value
