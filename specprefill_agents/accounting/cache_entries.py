"""What one account has in a provider's prefix cache: names of prefixes and when each was last used. Bounded, without texts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from specprefill_agents.accounting.pricing import in_utc
from specprefill_agents.errors import ConfigError

VERSION = 1
"""Of the serialized form."""


class CacheEntries:
    """The entries of one account under one rule; `lifetime_s` after its last use an entry is gone (None: never).

    Time is passed in by `tick`. A clock that jumps back counts as one that stands still. Beyond `limit` entries the least
    recently used are forgotten, so that hits are under-estimated, never invented. One thread at a time.
    """

    def __init__(self, lifetime_s: float | None = None, limit: int = 20_000) -> None:
        self._lifetime_s = lifetime_s
        self._limit = limit
        self._used: OrderedDict[str, float] = OrderedDict()
        self._clock = 0.0
        self._last: float | None = None

    def __len__(self) -> int:
        return len(self._used)

    def tick(self, now: datetime) -> None:
        """Let time pass until `now`. Raises `ConfigError` for a `now` without a time zone."""
        seconds = in_utc(now).timestamp()
        self._clock += max(0.0, seconds - self._last) if self._last is not None else 0.0
        self._last = seconds

    def holds(self, name: str) -> bool:
        """Whether an entry is there and alive."""
        return self.held(name) and (self._lifetime_s is None or self._clock - self._used[name] <= self._lifetime_s)

    def held(self, name: str) -> bool:
        """Whether an entry is there or was, before its time ran out."""
        return name in self._used

    def put(self, names: Iterable[str]) -> None:
        """Store entries, or use them once more."""
        for name in names:
            self._used[name] = self._clock
            self._used.move_to_end(name)
        while len(self._used) > self._limit:
            self._used.popitem(last=False)

    def idle_s(self, now: datetime) -> float | None:
        """Seconds from the last `tick` to `now`; None before the first."""
        return None if self._last is None else max(0.0, in_utc(now).timestamp() - self._last)

    def to_dict(self) -> dict[str, Any]:
        """The entries as plain JSON types."""
        ages = {name: round(self._clock - used, 3) for name, used in self._used.items()}
        return {"version": VERSION, "last": self._last, "ages": ages}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], lifetime_s: float | None = None, limit: int = 20_000) -> CacheEntries:
        """Continue. Raises `ConfigError` when the data come from another version or are damaged."""
        if data.get("version") != VERSION:
            raise ConfigError("version", data.get("version"), str(VERSION))
        entries = cls(lifetime_s, limit)
        last, ages = data.get("last"), data.get("ages")
        is_number = isinstance(last, (int, float)) and not isinstance(last, bool)
        if not isinstance(ages, Mapping) or not (last is None or is_number):
            raise ConfigError("ages", type(ages).__name__, "a table of seconds, beside `last` in seconds")
        try:
            oldest_first = sorted(((str(name), float(age)) for name, age in ages.items()), key=lambda pair: -pair[1])
        except (TypeError, ValueError) as error:
            raise ConfigError("ages", type(ages).__name__, "a table of seconds") from error
        entries._last = None if last is None else float(last)
        entries._clock = oldest_first[0][1] if oldest_first else 0.0
        entries._used.update((name, entries._clock - age) for name, age in oldest_first)
        return entries
