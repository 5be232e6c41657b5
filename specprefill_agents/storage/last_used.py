"""What was used last, so many of it, in this process's memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Made = TypeVar("Made")


class LastUsed(Generic[Made]):
    """Values by name, at most `limit` of them: the one that was not asked for the longest is forgotten. May be shared by threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[str, Made] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str, make: Callable[[], Made]) -> Made:
        """The value of that name; made now where none is held, while others wait. Raises what `make` raises."""
        with self._lock:
            value = self._held.pop(name) if name in self._held else make()
            self._held[name] = value
            while len(self._held) > self._limit:
                self._held.popitem(last=False)
            return value
