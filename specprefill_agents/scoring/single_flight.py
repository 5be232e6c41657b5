"""SingleFlight: what several threads ask for at once is computed once; the others wait and find it kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from specprefill_agents.storage.forking import watch_forks


class SingleFlight:
    """Lets one thread at a time at each name. Whoever enters looks in the cache first, and computes only what is not there."""

    def __init__(self) -> None:
        self.after_fork()
        watch_forks(self)

    def after_fork(self) -> None:
        """Nobody holds anything: the threads that did are not in the child."""
        self._lock = threading.Lock()
        self._flights: dict[str, tuple[threading.RLock, int]] = {}

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Holds `name` for this thread inside the `with` block."""
        with self._lock:
            lock, holders = self._flights.get(name, (threading.RLock(), 0))
            self._flights[name] = (lock, holders + 1)
        try:
            with lock:
                yield
        finally:
            with self._lock:
                _, holders = self._flights[name]
                if holders == 1:
                    del self._flights[name]
                else:
                    self._flights[name] = (lock, holders - 1)
