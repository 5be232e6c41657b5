"""How long many agents that share one compressor keep the event loop waiting: the lateness of a heartbeat beside them.

A heartbeat asks to be woken every few milliseconds; how late it is woken is how long everything else in the loop would have
waited. The same agents are run with compression switched off first, which is what LangGraph itself costs the loop. The agents
begin one after the other, as requests do; only what is read is made, all else is real: `create_agent`, its tools, the
middleware, the draft. Loading the draft is measured by itself, since it happens once (`Compressor.load` does it beforehand).

What other work on the machine does to a beat is told apart: by the time that the loop's thread stood ready without a core, and
by beats of a process of its own that does nothing.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.plan import Subject
from benchmarks.speed.text import stdlib_text
from specprefill_agents import CompressionConfig, Compressor

BEAT_S = 0.002
"""Between two beats."""
ARRIVAL_S = 0.02
"""Between the beginnings of two agents."""
GOAL_MS = 50.0


def concurrency(subject: Subject) -> dict[str, Any]:
    """Part 10."""
    return asyncio.run(_measured(subject))


async def _measured(subject: Subject) -> dict[str, Any]:
    from benchmarks.speed.reading_agent import asked_for, reading_agent

    sizes = subject.sizes
    stdlib_text((sizes.conversations + 1) * sizes.conversation_outputs * sizes.conversation_chars)  # read from disk once
    config = CompressionConfig(min_tokens=0, min_result_tokens=0, target_tokenizer="o200k_base", timeout_s=None, on_error="raise")
    off, on = (
        reading_agent(
            Compressor(subject.name, one, device=subject.device, cache="memory"), sizes.conversation_outputs, sizes.conversation_chars
        )
        for one in (replace(config, enabled=False), config)
    )
    await off.ainvoke(asked_for(0))  # what is imported and made once is not the conversations' doing
    late = {
        "off": await _beside(partial(_conversations, off, sizes.conversations)),
        "loading": await _beside(partial(on.ainvoke, asked_for(0))),
        "on": await _beside(partial(_conversations, on, sizes.conversations)),
    }
    return {
        "conversations": sizes.conversations,
        "outputs_each": sizes.conversation_outputs,
        "chars_each": sizes.conversation_chars,
        "scorer": config.scorer,
        "goal_ms": GOAL_MS,
        "beat_ms": 1000 * BEAT_S,
        "arrival_ms": 1000 * ARRIVAL_S,
        "late_ms": {name: figures for name, (_, figures) in late.items()},
        "seconds": {name: round(seconds, 2) for name, (seconds, _) in late.items()},
    }


@dataclass(frozen=True, slots=True)
class Beat:
    """When a beat was due and when it came, and for how much of that the loop's thread was ready and had no core; in seconds."""

    due_s: float
    came_s: float
    coreless_s: float = 0.0

    @property
    def late_s(self) -> float:
        """By how much it came late."""
        return max(0.0, self.came_s - self.due_s)


def _figures(beats: Sequence[Beat], idle: Sequence[Beat]) -> dict[str, Any]:
    """Of the lateness of beats in milliseconds: as it was, of an idle process, and without what the machine's other work took."""
    return {
        "beats": len(beats),
        **_spread([beat.late_s for beat in beats]),
        "idle_process": _spread([beat.late_s for beat in idle]),
        "by_this_process": _spread([max(0.0, beat.late_s - max(beat.coreless_s, _late_beside(beat, idle))) for beat in beats]),
    }


def _late_beside(beat: Beat, idle: Sequence[Beat]) -> float:
    """How late beats of the idle process came while `beat` was late: then the whole machine stood still, or was busy."""
    if beat.late_s < BEAT_S:
        return 0.0
    first = bisect_left(idle, beat.due_s, key=lambda other: other.came_s)
    return max((other.late_s for other in takewhile(lambda other: other.due_s < beat.came_s, islice(idle, first, None))), default=0.0)


def _spread(late_s: Sequence[float]) -> dict[str, float]:
    late = 1000 * np.array(late_s)
    p50, p99 = (round(float(value), 2) for value in np.percentile(late, (50, 99)))
    return {"p50": p50, "p99": p99, "longest": round(float(late.max()), 2), "over_goal": int((late > GOAL_MS).sum())}


async def _beside(work: Callable[[], Awaitable[object]]) -> tuple[float, dict[str, Any]]:
    """Seconds that `work` takes, and how late beats come beside it."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        done = context.Manager().Event()
        idle = pool.apply_async(_idle_beats, (done,))
        beats: list[Beat] = []
        heart = asyncio.create_task(_beat(beats))
        await asyncio.sleep(1.0)  # until the process has begun
        beats.clear()
        started = time.perf_counter()
        await work()
        seconds = time.perf_counter() - started
        await asyncio.sleep(2 * BEAT_S)
        heart.cancel()
        with suppress(asyncio.CancelledError):
            await heart
        done.set()
        found = [beat for beat in idle.get() if beat.came_s >= started]
    return seconds, _figures(beats, found)


async def _beat(beats: list[Beat]) -> None:
    while True:
        due, waited = time.perf_counter() + BEAT_S, _coreless_s()
        await asyncio.sleep(BEAT_S)
        beats.append(Beat(due, time.perf_counter(), _coreless_s() - waited))


def _idle_beats(done: Any) -> list[Beat]:
    """Beats of a process that does nothing else; the clock is that of the whole machine."""
    beats = []
    while not beats or len(beats) % 50 or not done.is_set():
        due = time.perf_counter() + BEAT_S
        time.sleep(BEAT_S)
        beats.append(Beat(due, time.perf_counter()))
    return beats


def _coreless_s() -> float:
    """For how long this thread has been ready without a core so far; always 0 where the system does not say."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except OSError:
        return 0.0


async def _conversations(agent: Any, count: int) -> None:
    from benchmarks.speed.reading_agent import asked_for

    running = []
    for number in range(1, count + 1):
        running.append(asyncio.create_task(agent.ainvoke(asked_for(number))))
        await asyncio.sleep(ARRIVAL_S)
    await asyncio.gather(*running)
