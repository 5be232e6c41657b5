"""Where originals lie: shelves that hold a text under a name for a limited time. A shelf never makes a call fail.

A shelf knows nothing of how names are made or what they promise; `storage.originals` does.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from specprefill_agents.errors import ConfigError
from specprefill_agents.storage.memory import MemoryCache
from specprefill_agents.storage.rows import ORIGINAL
from specprefill_agents.storage.score_cache import DEFAULT_SIZE_LIMIT, MAX_AGE_S, Scope, ScoreCache, value_key

MEMORY_BYTES = 2**27
"""Limit of a memory shelf, in compressed bytes."""


class Shelf(Protocol):
    """Holds texts by name."""

    def read(self, name: str) -> str | None:
        """The text under `name`, whose time starts anew; None when there is none, or none that is sound."""
        ...

    def write(self, name: str, text: str) -> bool:
        """Hold `text` under `name`; False when that failed."""
        ...

    def close(self) -> None:
        """Let go of connections; the next call opens them again."""
        ...


class _Held(NamedTuple):
    packed: bytes
    until: float


class MemoryShelf:
    """Texts in this process's memory, compressed to at most `max_bytes`, the least recently used dropped first.

    `clock` gives seconds that never run backwards. A forked child starts with an empty shelf.
    """

    def __init__(self, max_bytes: int = MEMORY_BYTES, max_age_s: float = MAX_AGE_S, clock: Callable[[], float] = time.monotonic) -> None:
        check_age(max_age_s)
        self._rows = MemoryCache[_Held](max_bytes, lambda held: len(held.packed))
        self._max_age_s = max_age_s
        self._clock = clock

    def read(self, name: str) -> str | None:
        """The text under `name`, whose time starts anew, or None."""
        held = self._rows.get(name)
        if held is None or self._clock() >= held.until:
            return None
        self._rows.put(name, self._until_later(held.packed))
        return zlib.decompress(held.packed).decode("utf-8", "surrogatepass")

    def write(self, name: str, text: str) -> bool:
        """Hold `text` under `name`; False when it alone is beyond the limit."""
        self._rows.put(name, self._until_later(zlib.compress(text.encode("utf-8", "surrogatepass"), 1)))
        return self._rows.get(name) is not None

    def close(self) -> None:
        """Nothing to let go of."""

    def _until_later(self, packed: bytes) -> _Held:
        return _Held(packed, self._clock() + self._max_age_s)


class DiskShelf(ScoreCache):
    """Texts in a directory of their own, for all of a user's processes: the rows of a score cache, with a time to live.

    So they are looked for, checked, kept apart by tenant and evicted as those are; see `ScoreCache` for the settings and
    the errors. A text whose compressed row exceeds an eighth of `size_limit` is not held.
    """

    _CONTENT, _EMPTIED_BY = "originals", "specprefill cache clear originals"

    def __init__(
        self,
        directory: str | Path,
        *,
        tenant: str = "",
        size_limit: int = DEFAULT_SIZE_LIMIT,
        max_age_s: float = MAX_AGE_S,
        timeout_s: float = 1.0,
    ) -> None:
        check_age(max_age_s)
        super().__init__(directory, tenant=tenant, size_limit=size_limit, timeout_s=timeout_s)
        self._max_age_s = max_age_s

    def read(self, name: str) -> str | None:
        """The text under `name`, whose time starts anew; None when there is none, or none that is sound."""
        text = self.get(ORIGINAL, TEXT_SCOPE, name)
        if text is not None:
            self._refresh(name)
        return text

    def write(self, name: str, text: str) -> bool:
        """Hold `text` under `name`; False when that failed, which is counted in `stats`."""
        self.put(ORIGINAL, TEXT_SCOPE, name, text)
        return self._refresh(name)

    def _refresh(self, name: str) -> bool:
        """Start the time of the row under `name` anew; False when there is no such row."""
        try:
            opened = self._open()
            if opened is None:
                return False
            cache, secret = opened
            return bool(cache.touch(original_key(secret, name, self.tenant), expire=self._max_age_s))
        except Exception as error:
            self._failed("written", error)
            return False


def original_key(secret: bytes, name: str, tenant: str) -> bytes:
    """The key of the row that holds the text under `name`, on the disk shelf of a directory with this `secret`."""
    return value_key(secret, ORIGINAL, TEXT_SCOPE, name, tenant)


def check_age(max_age_s: float) -> None:
    """Raise `ConfigError` for a time that nothing can be kept for."""
    if not max_age_s > 0:
        raise ConfigError("max_age_s", max_age_s, "seconds > 0")


TEXT_SCOPE = Scope("", "")
"""An original depends on its text alone."""
