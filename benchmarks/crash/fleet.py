"""Processes that announce what they do as lines on their standard output; any of them can be killed and started again."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

Event = dict[str, Any]


@dataclass(slots=True)
class _Worker:
    index: int
    process: subprocess.Popen[bytes]
    rest: bytes = b""


class Fleet:
    """`count` processes, each made by `start` from its index, with standard output as a pipe."""

    def __init__(self, start: Callable[[int], subprocess.Popen[bytes]], count: int) -> None:
        self._start = start
        self._selector = selectors.DefaultSelector()
        self._workers: dict[int, _Worker] = {}
        for index in range(count):
            self.restart(index)

    def events(self, timeout_s: float) -> Iterator[tuple[int, Event]]:
        """What was announced, as soon as anything was; nothing when that takes too long.

        A worker that ended is announced as `{"event": "ended", "status": ..}`, and is no longer listened to.
        """
        for ready, _ in self._selector.select(timeout_s):
            worker: _Worker = ready.data
            read = os.read(ready.fd, 2**16)
            if read:
                yield from ((worker.index, event) for event in _lines(worker, read))
            else:
                self._selector.unregister(ready.fileobj)
                yield worker.index, {"event": "ended", "status": worker.process.wait()}

    def until(self, moment: float) -> Iterator[tuple[int, Event]]:
        """What is announced until `time.monotonic()` says `moment`."""
        while (left := moment - time.monotonic()) > 0:
            yield from self.events(left)

    def kill(self, index: int) -> Iterator[tuple[int, Event]]:
        """End a worker by SIGKILL, and give what it had announced by then."""
        worker = self._workers[index]
        worker.process.kill()
        worker.process.wait()
        out = worker.process.stdout
        assert out is not None
        if out.fileno() in self._selector.get_map():
            self._selector.unregister(out)
        while read := os.read(out.fileno(), 2**16):
            yield from ((index, event) for event in _lines(worker, read))

    def restart(self, index: int) -> None:
        """Start a worker that has ended, or the first of its index."""
        if index in self._workers and (old := self._workers[index].process.stdout) is not None:
            old.close()
        process = self._start(index)
        assert process.stdout is not None
        self._workers[index] = worker = _Worker(index, process)
        self._selector.register(process.stdout, selectors.EVENT_READ, worker)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for worker in self._workers.values():
            worker.process.kill()
            worker.process.wait()
            if worker.process.stdout is not None:
                worker.process.stdout.close()
        self._selector.close()


def _lines(worker: _Worker, read: bytes) -> list[Event]:
    """Whole lines; what a kill cuts off was not announced."""
    *lines, worker.rest = (worker.rest + read).split(b"\n")
    return [json.loads(line) for line in lines]
