"""How long many agents that share one compressor keep the event loop waiting: the lateness of a heartbeat beside them.

A heartbeat asks to be woken every few milliseconds; how late it is woken is how long everything else in the loop would have
waited. The same agents are run with compression switched off first, which is what LangGraph itself costs the loop. The agents
begin one after the other, as requests do; only what is read is made, all else is real: `create_agent`, its tools, the
middleware, the draft. Loading the draft is measured by itself, since it happens once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
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
        "off": await _lateness(partial(_conversations, off, sizes.conversations)),
        "loading": await _lateness(partial(on.ainvoke, asked_for(0))),
        "on": await _lateness(partial(_conversations, on, sizes.conversations)),
    }
    return {
        "conversations": sizes.conversations,
        "outputs_each": sizes.conversation_outputs,
        "chars_each": sizes.conversation_chars,
        "scorer": config.scorer,
        "goal_ms": GOAL_MS,
        "beat_ms": 1000 * BEAT_S,
        "arrival_ms": 1000 * ARRIVAL_S,
        "late_ms": {name: _figures(beats) for name, (_, beats) in late.items()},
        "seconds": {name: round(seconds, 2) for name, (seconds, _) in late.items()},
    }


def _figures(beats: list[float]) -> dict[str, Any]:
    """Of the lateness of beats, in milliseconds."""
    late = 1000 * np.asarray(beats)
    return {
        "beats": len(beats),
        "p50": round(float(np.percentile(late, 50)), 2),
        "p99": round(float(np.percentile(late, 99)), 2),
        "longest": round(float(late.max()), 2),
        "over_goal": int((late > GOAL_MS).sum()),
    }


async def _lateness(work: Callable[[], Awaitable[object]]) -> tuple[float, list[float]]:
    """Seconds that `work` takes, and by how many seconds each beat beside it came late."""
    beats: list[float] = []
    heart = asyncio.create_task(_beat(beats))
    await asyncio.sleep(10 * BEAT_S)
    beats.clear()
    started = time.perf_counter()
    await work()
    seconds = time.perf_counter() - started
    heart.cancel()
    with suppress(asyncio.CancelledError):
        await heart
    return seconds, beats


async def _beat(beats: list[float]) -> None:
    while True:
        due = time.perf_counter() + BEAT_S
        await asyncio.sleep(BEAT_S)
        beats.append(max(0.0, time.perf_counter() - due))


async def _conversations(agent: Any, count: int) -> None:
    from benchmarks.speed.reading_agent import asked_for

    running = []
    for number in range(1, count + 1):
        running.append(asyncio.create_task(agent.ainvoke(asked_for(number))))
        await asyncio.sleep(ARRIVAL_S)
    await asyncio.gather(*running)
