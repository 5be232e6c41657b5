"""How late a beat comes that is due every few milliseconds: in an event loop, and in a process of its own that does nothing.

The second, `python -m benchmarks.speed.heartbeat`, beats until its input ends, then writes its beats; the clock is that of the
whole machine, so that the two can be compared.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import numpy as np

BEAT_S = 0.002
"""Between two beats."""
GOAL_MS = 50.0
"""Later than this, a beat was held up."""


@dataclass(frozen=True, slots=True)
class Beat:
    """When a beat was due and when it came, in seconds.

    `coreless_s` of that the loop's thread was ready and had no core, `collecting_s` Python collected garbage, in any thread.
    """

    due_s: float
    came_s: float
    coreless_s: float = 0.0
    collecting_s: float = 0.0

    @property
    def late_s(self) -> float:
        """By how much it came late."""
        return max(0.0, self.came_s - self.due_s)


class _Collections:
    """Adds up the seconds that Python spends on collecting garbage, during which no thread runs."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started = 0.0

    def __call__(self, phase: str, info: object) -> None:
        if phase == "start":
            self._started = time.perf_counter()
        else:
            self.seconds += time.perf_counter() - self._started


async def beside(work: Callable[[], Awaitable[object]]) -> list[Beat]:
    """The beats in this event loop from the beginning of `work` to its end."""
    beats: list[Beat] = []
    collections = _Collections()
    gc.callbacks.append(collections)
    heart = asyncio.create_task(_beat(beats, collections))
    await asyncio.sleep(10 * BEAT_S)
    beats.clear()
    await work()
    await asyncio.sleep(2 * BEAT_S)
    heart.cancel()
    with suppress(asyncio.CancelledError):
        await heart
    gc.callbacks.remove(collections)
    return beats


async def _beat(beats: list[Beat], collections: _Collections) -> None:
    while True:
        due, coreless, collecting = time.perf_counter() + BEAT_S, _coreless_s(), collections.seconds
        await asyncio.sleep(BEAT_S)
        beats.append(Beat(due, time.perf_counter(), _coreless_s() - coreless, collections.seconds - collecting))


def _coreless_s() -> float:
    """For how long this thread has been ready without a core so far; always 0 where the system does not say."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except OSError:
        return 0.0


@contextmanager
def idle_process() -> Iterator[list[Beat]]:
    """A process that only beats; its beats are in the list when the context is left."""
    command = [sys.executable, "-m", "benchmarks.speed.heartbeat"]
    beats: list[Beat] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()  # it has begun
        yield beats
        written, _ = process.communicate()
    beats += [Beat(due, came) for due, came in json.loads(written)]


def _idle() -> None:
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    print(flush=True)
    beats = []
    while not ended.is_set():
        due = time.perf_counter() + BEAT_S
        time.sleep(BEAT_S)
        beats.append((due, time.perf_counter()))
    json.dump(beats, sys.stdout)


def figures(beats: Sequence[Beat], idle: Sequence[Beat]) -> dict[str, Any]:
    """Of the lateness of beats in milliseconds: as it was, of an idle process, and without what the machine's other work took.

    The last of them also without garbage collections, whose longest is given.
    """
    others = [max(beat.coreless_s, late_beside(beat, idle)) for beat in beats]
    return {
        "beats": len(beats),
        **_spread([beat.late_s for beat in beats]),
        "idle_process": _spread([beat.late_s for beat in idle if beats[0].due_s <= beat.came_s and beat.due_s <= beats[-1].came_s]),
        "by_this_process": _spread([max(0.0, beat.late_s - other) for beat, other in zip(beats, others, strict=True)]),
        "without_collections": _spread(
            [max(0.0, beat.late_s - max(other, beat.collecting_s)) for beat, other in zip(beats, others, strict=True)]
        ),
        "longest_collection": round(1000 * max(beat.collecting_s for beat in beats), 2),
    }


def late_beside(beat: Beat, idle: Sequence[Beat]) -> float:
    """How late beats of the idle process came while `beat` was late: then the whole machine stood still, or was busy. In seconds."""
    if beat.late_s < BEAT_S:
        return 0.0
    first = bisect_left(idle, beat.due_s, key=lambda other: other.came_s)
    return max((other.late_s for other in takewhile(lambda other: other.due_s < beat.came_s, islice(idle, first, None))), default=0.0)


def _spread(late_s: Sequence[float]) -> dict[str, float]:
    late = 1000 * np.array(late_s)
    p50, p99 = (round(float(value), 2) for value in np.percentile(late, (50, 99)))
    return {"p50": p50, "p99": p99, "longest": round(float(late.max()), 2), "over_goal": int((late > GOAL_MS).sum())}


if __name__ == "__main__":
    _idle()
