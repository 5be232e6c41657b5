"""What a cache of computed values is, and one in this process's memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeAlias, TypeVar

from specprefill_agents.scoring.context_keys import ContextKeys
from specprefill_agents.storage.forking import watch_forks

V = TypeVar("V")


class ValueCache(Protocol[V]):
    """Keeps values by name. A name holds the content hash and everything else the value depends on."""

    def get(self, name: str, /) -> V | None:
        """The value stored under `name`, or None."""
        ...

    def put(self, name: str, value: V, /) -> None:
        """Store `value`; may drop older ones, and must not raise."""
        ...


KeyCache: TypeAlias = ValueCache[ContextKeys]
"""Keeps the keys of contexts."""


class MemoryCache(Generic[V]):
    """Least-recently-used values, at most `max_bytes` of them by `size_of`; safe to share between threads."""

    def __init__(self, max_bytes: int, size_of: Callable[[V], int]) -> None:
        self._max_bytes = max_bytes
        self._size_of = size_of
        self.after_fork()
        watch_forks(self)

    def after_fork(self) -> None:
        """Empty: another thread may have been halfway through a change."""
        self._held = 0
        self._rows: OrderedDict[str, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str, /) -> V | None:
        """The value stored under `name`, or None."""
        with self._lock:
            value = self._rows.get(name)
            if value is not None:
                self._rows.move_to_end(name)
            return value

    def put(self, name: str, value: V, /) -> None:
        """Store `value`, dropping the least recently used until the limit holds; one beyond the limit is not kept."""
        size = self._size_of(value)
        with self._lock:
            replaced = self._rows.pop(name, None)
            if replaced is not None:
                self._held -= self._size_of(replaced)
            if size > self._max_bytes:
                return
            self._held += size
            self._rows[name] = value
            while self._held > self._max_bytes:
                _, dropped = self._rows.popitem(last=False)
                self._held -= self._size_of(dropped)


class MemoryKeyCache(MemoryCache[ContextKeys]):
    """Keys of contexts in this process's memory."""

    def __init__(self, max_bytes: int = 2**28) -> None:
        super().__init__(max_bytes, lambda keys: keys.nbytes)
