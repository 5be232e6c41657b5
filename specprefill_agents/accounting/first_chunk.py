"""How long a streamed answer lets one wait for its first piece."""

from __future__ import annotations

import time
from collections.abc import Callable


class FirstChunk:
    """A watch that runs from its making until `came` is first called; `clock` tells seconds."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._started = clock()
        self._ms: float | None = None

    def came(self) -> None:
        """A piece is there."""
        if self._ms is None:
            self._ms = 1000 * (self._clock() - self._started)

    @property
    def ms(self) -> float | None:
        """Milliseconds until the first piece; None as long as none came."""
        return self._ms
