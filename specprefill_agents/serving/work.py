"""Work: a bounded number of requests at a time, in threads, so that the event loop answers at once whatever the draft does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeAlias

from specprefill_agents.serving.problems import ClientGone, Problem

RETRY_AFTER_S = 1

Answering: TypeAlias = Callable[[bytes], bytes]
"""From a request's body to its answer; blocks, and raises `Problem`."""
Executing: TypeAlias = Callable[[Answering, bytes], Awaitable[bytes]]
"""Runs one outside the event loop."""


class Work:
    """Up to `threads` requests are worked on and `max_waiting` more wait, each for `time_limit_s` in all. For one event loop."""

    def __init__(self, threads: int, max_waiting: int, time_limit_s: float, executing: Executing | None = None) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="specprefill-service")
        self._places = threads + max_waiting
        self._time_limit_s = time_limit_s
        self._executing = executing or self._in_a_thread
        self.taken = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for one request, taken before its body is read: that bounds what is held in memory. Raises `Problem` when full."""
        if self.taken >= self._places:
            raise Problem(503, "busy", "too many requests are waiting", RETRY_AFTER_S)
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    async def run(self, function: Answering, body: bytes, client_gone: Coroutine[Any, Any, None]) -> bytes:
        """`function(body)` in a thread. Raises `Problem` after the time limit, `ClientGone` when nobody waits any more.

        What was not begun by then is not done; what was begun goes on, and what it has read is kept for the next request.
        """
        work: asyncio.Future[bytes] = asyncio.ensure_future(self._executing(function, body))
        gone = asyncio.create_task(client_gone)
        both: set[asyncio.Future[Any]] = {work, gone}
        try:
            done, _ = await asyncio.wait(both, timeout=self._time_limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            work.cancel()
        if work in done:
            return work.result()
        if gone in done:
            raise ClientGone
        raise Problem(503, "time_limit", f"not done within {self._time_limit_s:g} s", RETRY_AFTER_S)

    async def _in_a_thread(self, function: Answering, body: bytes) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, body)

    async def load(self, function: Callable[[], None]) -> None:
        """`function()` in a thread."""
        await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def close(self) -> None:
        """Wait for what was begun; what waits is given up."""
        self._threads.shutdown(wait=True, cancel_futures=True)
