"""Frozen decisions: found by what a segment is and by what stands before it. Bounded, without texts.

A decision that quotes earlier segments holds only where those stand before it as they did. A segment may therefore have
several decisions, one for each history it was seen in; of those that hold, the one made first is the one that was sent.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

from specprefill_agents.errors import ConfigError
from specprefill_agents.session.packing import pack, unpack
from specprefill_agents.types import CompressedSegment

MAX_DECISIONS = 10_000
"""The least recently used beyond these are forgotten, unless they are in view."""


class Named(NamedTuple):
    """A decision and its name."""

    name: str
    decided: CompressedSegment


class Decisions:
    """The decisions of one conversation. One thread at a time."""

    def __init__(self, limit: int = MAX_DECISIONS) -> None:
        self._limit = limit
        self._made: OrderedDict[str, CompressedSegment] = OrderedDict()
        self._numbers: dict[str, int] = {}
        self._names: dict[str, list[str]] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._made)

    def find(self, key: str, before: Container[str]) -> Named | None:
        """The first decision on a segment of this `key` that holds where the decisions named `before` stand before it."""
        for name in self._names.get(key, ()):
            decided = self._made[name]
            if all(need in before for need in decided.needs):
                self._made.move_to_end(name)
                return Named(name, decided)
        return None

    def add(self, key: str, decided: CompressedSegment) -> Named:
        """Freeze a decision; the one that is frozen under its name already, if any, stays."""
        name = _name(key, decided.needs)
        if name not in self._made:
            self._put(name, decided, self._last + 1)
        return Named(name, self._made[name])

    def _put(self, name: str, decided: CompressedSegment, number: int) -> None:
        self._made[name] = decided
        self._numbers[name] = number
        self._last = max(self._last, number)
        names = self._names.setdefault(_key(name), [])
        names.append(name)
        names.sort(key=lambda one: (self._numbers[one], one))

    @property
    def last(self) -> int:
        """The number of the decision made last; numbers rise."""
        return self._last

    def made_after(self, number: int) -> set[str]:
        """The names of what was made after the decision of this number."""
        return {name for name, own in self._numbers.items() if own > number} if self._last > number else set()

    def forget_after(self, number: int) -> None:
        """Forget what was made after the decision of this number."""
        for name in [name for name, own in self._numbers.items() if own > number]:
            self._remove(name)

    def prune(self, present: Container[str]) -> None:
        """Keep to the limit; decisions `present` in the view are never forgotten."""
        excess = len(self._made) - self._limit
        if excess > 0:
            for name in [name for name in self._made if name not in present][:excess]:
                self._remove(name)

    def _remove(self, name: str) -> None:
        self._names[_key(name)].remove(name)
        if not self._names[_key(name)]:
            del self._names[_key(name)]
        del self._made[name], self._numbers[name]

    def to_dict(self) -> dict[str, list[Any]]:
        """Rows of plain JSON types by name, the number in the order of making first."""
        return {name: [self._numbers[name], *pack(decided)] for name, decided in self._made.items()}

    @classmethod
    def from_dict(cls, rows: Mapping[str, Sequence[Any]]) -> Decisions:
        """Continue. Raises `ConfigError` for rows that are damaged."""
        decisions = cls()
        for name, row in rows.items():
            try:
                number, decided = int(row[0]), unpack(row[1:])
            except (IndexError, TypeError, ValueError) as error:
                raise ConfigError(f"decisions.{name}", type(error).__name__, "a decision as `to_dict` wrote it") from error
            if name != _name(_key(name), decided.needs):
                raise ConfigError(f"decisions.{name}", name, f"the name {_name(_key(name), decided.needs)}")
            decisions._put(name, decided, number)
        return decisions


def _name(key: str, needs: Sequence[str]) -> str:
    """What tells the decisions on one segment apart: the decisions that each of them needs."""
    return f"{key}.{hashlib.sha256(' '.join(needs).encode('ascii')).hexdigest()[:12]}" if needs else key


def _key(name: str) -> str:
    return name.partition(".")[0]
