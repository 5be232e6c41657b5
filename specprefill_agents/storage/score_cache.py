"""Where a scorer's per-context keys live between calls."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from specprefill_agents.scoring.context_keys import ContextKeys


class KeyCache(Protocol):
    """Keeps `ContextKeys` by name. A name holds the content hash and everything the keys depend on."""

    def get(self, name: str) -> ContextKeys | None:
        """The keys stored under `name`, or None."""
        ...

    def put(self, name: str, keys: ContextKeys) -> None:
        """Store `keys`; may drop older ones."""
        ...


class MemoryKeyCache:
    """Least-recently-used keys in this process's memory, at most `max_bytes`; safe to share between threads."""

    def __init__(self, max_bytes: int = 256 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._held = 0
        self._rows: OrderedDict[str, ContextKeys] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str) -> ContextKeys | None:
        """The keys stored under `name`, or None."""
        with self._lock:
            keys = self._rows.get(name)
            if keys is not None:
                self._rows.move_to_end(name)
            return keys

    def put(self, name: str, keys: ContextKeys) -> None:
        """Store `keys`, dropping the least recently used until the limit holds."""
        with self._lock:
            replaced = self._rows.pop(name, None)
            self._held += keys.nbytes - (replaced.nbytes if replaced else 0)
            self._rows[name] = keys
            while self._held > self._max_bytes and self._rows:
                _, dropped = self._rows.popitem(last=False)
                self._held -= dropped.nbytes
