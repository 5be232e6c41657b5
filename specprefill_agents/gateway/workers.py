"""Threads in which requests are read and compressed, as many as there may be, with a queue that has an end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from specprefill_agents.gateway.problems import Problem

Made = TypeVar("Made")


class Workers:
    """`count` threads, and at most `waiting` tasks that wait for one. Used from one event loop."""

    def __init__(self, count: int, waiting: int) -> None:
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="specprefill-gateway")
        self._limit = count + waiting
        self._taken = 0

    async def run(self, work: Callable[[], Made]) -> Made:
        """What `work` makes. Raises `Problem` where too much is waiting already."""
        if self._taken >= self._limit:
            raise Problem(503, "too many requests wait to be compressed", {"retry-after": "1"})
        self._taken += 1
        loop = asyncio.get_running_loop()
        task = self._threads.submit(work)
        # Work goes on, and takes its place, when nobody waits for it any more.
        task.add_done_callback(lambda _: _told(loop, self._done))
        return await asyncio.wrap_future(task)

    def close(self) -> None:
        """Let no new task in; those that were begun are finished."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _done(self) -> None:
        self._taken -= 1


def _told(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(what)
