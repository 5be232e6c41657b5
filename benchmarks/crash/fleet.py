"""Processes that announce what they do through pipes; any of them can be killed and started again.

They are forked from a server that has imported everything and done nothing, so that a start costs milliseconds and the
time goes into what is to be interrupted.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, TypeAlias

Event: TypeAlias = dict[str, Any]
Target: TypeAlias = Callable[[int, Connection], None]
"""What a process does, told its index and where to announce: each message is one event as JSON."""


@dataclass(frozen=True, slots=True)
class _Worker:
    index: int
    process: BaseProcess
    heard: Connection


class Fleet:
    """`count` processes that do `target`, which must be importable; `preload` names modules that all of them need."""

    def __init__(self, target: Target, count: int, preload: Sequence[str] = ()) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))
        self._target = target
        self._workers: dict[int, _Worker] = {}
        for index in range(count):
            self.restart(index)

    def events(self, timeout_s: float) -> Iterator[tuple[int, Event]]:
        """What was announced, as soon as anything was; nothing when that takes too long.

        A worker that ended is announced as `{"event": "ended", "status": ..}`, and must be started again.
        """
        listening = {worker.heard: worker for worker in self._workers.values() if not worker.heard.closed}
        for ready in wait(list(listening), timeout_s):
            assert isinstance(ready, Connection)
            worker = listening[ready]
            event = _next(ready)
            if event is None:
                ready.close()
                worker.process.join()
                event = {"event": "ended", "status": worker.process.exitcode}
            yield worker.index, event

    def until(self, moment: float) -> Iterator[tuple[int, Event]]:
        """What is announced until `time.monotonic()` says `moment`."""
        while (left := moment - time.monotonic()) > 0:
            yield from self.events(left)

    def kill(self, index: int) -> Iterator[tuple[int, Event]]:
        """End a worker by SIGKILL, and give what it had announced by then."""
        worker = self._workers[index]
        worker.process.kill()
        worker.process.join()
        while not worker.heard.closed and (event := _next(worker.heard)) is not None:
            yield index, event

    def restart(self, index: int) -> None:
        """Start a worker that has ended, or the first of its index."""
        if index in self._workers:
            self._workers[index].heard.close()
        heard, announced = self._context.Pipe(duplex=False)
        process = self._context.Process(target=self._target, args=(index, announced), daemon=True)
        process.start()
        announced.close()  # the worker's own end is the only one left, so its death is heard
        self._workers[index] = _Worker(index, process, heard)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for worker in self._workers.values():
            worker.process.kill()
            worker.process.join()
            worker.heard.close()


def _next(heard: Connection) -> Event | None:
    """The next event; None at the end, where what a kill cut off was not announced."""
    with suppress(EOFError, OSError):
        event: Event = json.loads(heard.recv_bytes())
        return event
    return None
