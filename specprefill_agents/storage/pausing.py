"""When to leave a server alone: after a failure nothing is asked for a while, then once, and so on.

Not `scoring.breaker`: there what is reported of a call that was not allowed changes nothing. Here a connection that is lost
in one way of asking pauses the other way anew, too, so that a server that is gone costs one wait a pause, not one each way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class Pause:
    """Of `seconds` after each failure. May be shared by threads; `clock` gives seconds that never run backwards."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self.after_fork()

    def after_fork(self) -> None:
        """Start without a pause."""
        self._until: float | None = None
        self._lock = threading.Lock()

    def allows(self) -> bool:
        """Whether to try now. When a pause is over, one caller tries, and the rest wait for another one unless it succeeds."""
        with self._lock:
            if self._until is None:
                return True
            now = self._clock()
            if now < self._until:
                return False
            self._until = now + self._seconds
            return True

    def begin(self) -> bool:
        """Report a failure; True when it is the first after a success."""
        with self._lock:
            is_first = self._until is None
            self._until = self._clock() + self._seconds
            return is_first

    def end(self) -> bool:
        """Report a success; True when it is the first after a failure."""
        with self._lock:
            was_paused, self._until = self._until is not None, None
            return was_paused
