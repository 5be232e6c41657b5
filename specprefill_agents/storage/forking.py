"""What holds threads, locks or connections must start afresh in a forked child, where the threads that used them are gone."""

from __future__ import annotations

import os
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol


class StartsAfresh(Protocol):
    """Holds something that must not cross a fork."""

    def after_fork(self) -> None:
        """Called in the child, before anything else runs there."""
        ...


_LIVING: weakref.WeakSet[StartsAfresh] = weakref.WeakSet()


def watch_forks(holder: StartsAfresh) -> None:
    """Call `holder.after_fork` in every forked child, for as long as `holder` lives."""
    _LIVING.add(holder)


class RestartingPool(ThreadPoolExecutor):
    """Threads that a forked child starts anew for its own work; what the parent had them do stays with the parent."""

    def __init__(self, max_workers: int = 1, thread_name_prefix: str = "") -> None:
        self._given = (max_workers, thread_name_prefix)
        super().__init__(*self._given)
        watch_forks(self)

    def after_fork(self) -> None:
        """As `StartsAfresh.after_fork`."""
        super().__init__(*self._given)


def _after_fork() -> None:
    for holder in list(_LIVING):
        holder.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
