"""The kill switch: an environment variable that stops compression at once, without a new file and without a restart.

A process sees a variable of its own environment only: set it before the start, or in the process by `os.environ`.
"""

from __future__ import annotations

import logging
import os
import threading

VARIABLE = "SPECPREFILL_DISABLED"

_ON = frozenset({"1", "true", "yes", "on"})
_OFF = frozenset({"", "0", "false", "no", "off"})

logger = logging.getLogger("specprefill_agents.guardrails")


class _Once:
    """Says yes the first time it is asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._was_asked = False

    def first(self) -> bool:
        with self._lock:
            was_asked, self._was_asked = self._was_asked, True
        return not was_asked


_warning = _Once()


def is_killed() -> bool:
    """Whether compression is switched off; read anew at every call.

    A value that says neither yes nor no counts as yes, since whoever set it wanted something stopped; a warning says so once.
    """
    value = os.environ.get(VARIABLE, "").strip().lower()
    if value not in _ON | _OFF and _warning.first():
        logger.warning("%s=%.40r is neither yes (1, true, yes, on) nor no (0, false, no, off): compression is off", VARIABLE, value)
    return value not in _OFF
