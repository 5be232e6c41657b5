"""A circuit breaker: after so many failures in a row nothing is tried for a while, then once, and so on.

A call that fails has cost its time limit. When a draft is gone, each step would pay that for nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal, TypeAlias

from specprefill_agents.errors import ConfigError
from specprefill_agents.storage.forking import watch_forks

State: TypeAlias = Literal["closed", "open", "half-open"]

LONGEST_COOLDOWN_S = 86_400


class CircuitBreaker:
    """Opens after `failures` in a row, for `cooldown_s` seconds; then one call may try. May be shared by threads and forks.

    Whoever was allowed reports `succeeded` or `failed`. A try of which nothing is heard, because its caller was cancelled, is
    given up after another `cooldown_s`, and another call may try. Reports that arrive late, of calls allowed before it
    opened, change nothing while it is open, and count as the try's while one tries. A `clock` (seconds) that jumps backwards
    starts the wait anew, at most. Raises `ConfigError` as `check_breaker` does.
    """

    def __init__(self, failures: int, cooldown_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        check_breaker(failures, cooldown_s)
        self._failures, self._cooldown_s = failures, cooldown_s
        self._clock = clock
        self.after_fork()
        watch_forks(self)

    def after_fork(self) -> None:
        """Start closed: what was allowed in the parent is not reported to the child."""
        self._lock = threading.Lock()
        self._failed = 0
        self._since: float | None = None  # when it opened, or let one call try; None while closed
        self._is_tried = False

    def allows(self) -> bool:
        """Whether to try now. While half-open the first to ask gets True, and is the one who tries."""
        with self._lock:
            if self._since is None:
                return True
            if not self._has_waited():
                return False
            self._since = self._clock()
            self._is_tried = True
            return True

    def succeeded(self) -> None:
        """Report that a call that was allowed went well."""
        with self._lock:
            if self._since is None or self._is_tried:
                self._failed, self._since, self._is_tried = 0, None, False

    def failed(self) -> None:
        """Report that a call that was allowed failed."""
        with self._lock:
            if self._since is None:
                self._failed += 1
            if self._is_tried or (self._since is None and self._failed >= self._failures):
                self._since, self._is_tried = self._clock(), False

    @property
    def state(self) -> State:
        """`closed`: all are allowed; `open`: none is; `half-open`: one may try, or does."""
        with self._lock:
            if self._since is None:
                return "closed"
            return "half-open" if self._is_tried or self._has_waited() else "open"

    def _has_waited(self) -> bool:
        assert self._since is not None
        now = self._clock()
        # Else the clock went back, and the old moment might never be reached again.
        self._since = min(self._since, now)
        return now - self._since >= self._cooldown_s


def check_breaker(failures: int, cooldown_s: float) -> None:
    """Raise `ConfigError` unless `failures` is an integer >= 1 and `cooldown_s` are seconds in (0, a day]."""
    if not isinstance(failures, int) or isinstance(failures, bool) or failures < 1:
        raise ConfigError("breaker.failures", failures, "an integer >= 1 (failures in a row)")
    is_number = isinstance(cooldown_s, (int, float)) and not isinstance(cooldown_s, bool)
    if not is_number or not 0 < cooldown_s <= LONGEST_COOLDOWN_S:
        raise ConfigError("breaker.cooldown_s", cooldown_s, "seconds > 0, up to 86,400")
