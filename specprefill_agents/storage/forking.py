"""What holds locks or connections must start afresh in a forked child, where the threads that used them are gone."""

from __future__ import annotations

import os
import weakref
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


def _after_fork() -> None:
    for holder in list(_LIVING):
        holder.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
