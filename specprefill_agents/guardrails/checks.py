"""Checks of settings: each raises `ConfigError` naming the dotted field, its value and what is allowed."""

from __future__ import annotations

from typing import cast

from specprefill_agents.errors import ConfigError


def check(field: str, value: object, holds: bool, allowed: str) -> None:
    """Raise unless `holds`."""
    if not holds:
        raise ConfigError(field, value, allowed)


def check_text(field: str, value: object) -> None:
    """A text that is not empty."""
    check(field, value, isinstance(value, str) and value.strip() != "", "a text that is not empty")


def check_switch(field: str, value: object) -> None:
    """True or False, and no number that passes for one."""
    check(field, value, isinstance(value, bool), "true or false")


def check_count(field: str, value: object, unit: str, most: int | None = None) -> None:
    """An integer from 1 up to `most`."""
    allowed = f"an integer >= 1 ({unit})" if most is None else f"an integer from 1 to {most:,} ({unit})"
    holds = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= (most or value)
    check(field, value, holds, allowed)


def check_share(field: str, value: object) -> None:
    """A number in [0, 1]."""
    check(field, value, is_number(value) and 0 <= cast(float, value) <= 1, "a share in [0, 1], such as 0.05 for 5 %")


def is_number(value: object) -> bool:
    """Whether `value` is a finite number, and no bool."""
    # Compared, not given to math.isfinite: that fails for an integer too long for a float, as a file may hold it.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and float("-inf") < value < float("inf")
