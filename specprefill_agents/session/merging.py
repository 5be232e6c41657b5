"""Two serialized sessions of one conversation, made into the one that both go on with. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """`first`, which was there first, and behind it what `second` alone decided.

    Where both decided on the same, `first` holds. Of two generations the later one holds alone: history was rewritten there.
    """
    if first["generation"] != second["generation"]:
        return dict(max(first, second, key=lambda one: int(one["generation"])))
    rows = dict(first["decisions"])
    last = max((row[0] for row in rows.values()), default=0)
    added = {name: row for name, row in second["decisions"].items() if name not in rows}
    for number, (name, row) in enumerate(sorted(added.items(), key=lambda one: (one[1][0], one[0])), start=last + 1):
        rows[name] = [number, *row[1:]]
    return {**first, "decisions": rows}


def contradictions(first: Mapping[str, Any], second: Mapping[str, Any]) -> int:
    """On how much of what `second` decided the result of `merged` says something else."""
    held = merged(first, second)["decisions"]
    return sum(held.get(name, [None])[1:] != row[1:] for name, row in second["decisions"].items())
