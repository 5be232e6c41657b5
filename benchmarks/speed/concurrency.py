"""How long many agents that share one compressor keep the event loop waiting: the lateness of a heartbeat beside them.

A heartbeat asks to be woken every few milliseconds; how late it is woken is how long everything else in the loop would have
waited. The same agents are run with compression switched off first, which is what LangGraph itself costs the loop. The agents
begin one after the other, as requests do; only what is read is made, all else is real: `create_agent`, its tools, the
middleware, the draft. Loading the draft is measured by itself, since it happens once (`Compressor.load` does it beforehand).

A draft brings some hundred thousand objects that Python's garbage collector goes through again and again, with all threads at
rest. So after loading they are frozen (`gc.freeze`), as a server would do.

What other work on the machine does to a beat is told apart: by the time that the loop's thread stood ready without a core, and
by beats of a process of its own that does nothing.
"""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks.speed.heartbeat import BEAT_S, GOAL_MS, beside, figures, idle_process
from benchmarks.speed.plan import Subject
from benchmarks.speed.text import stdlib_text
from specprefill_agents import CompressionConfig, Compressor

ARRIVAL_S = 0.02
"""Between the beginnings of two agents."""


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
    with idle_process() as idle:
        beats = {"off": await beside(partial(_conversations, off, sizes.conversations))}
        beats["loading"] = await beside(partial(on.ainvoke, asked_for(0)))
        gc.collect()
        gc.freeze()
        beats["on"] = await beside(partial(_conversations, on, sizes.conversations))
        gc.unfreeze()
    return {
        "conversations": sizes.conversations,
        "outputs_each": sizes.conversation_outputs,
        "chars_each": sizes.conversation_chars,
        "scorer": config.scorer,
        "goal_ms": GOAL_MS,
        "beat_ms": 1000 * BEAT_S,
        "arrival_ms": 1000 * ARRIVAL_S,
        "late_ms": {name: figures(some, idle) for name, some in beats.items()},
        "seconds": {name: round(some[-1].came_s - some[0].due_s, 2) for name, some in beats.items()},
    }


async def _conversations(agent: Any, count: int) -> None:
    from benchmarks.speed.reading_agent import asked_for

    running = []
    for number in range(1, count + 1):
        running.append(asyncio.create_task(agent.ainvoke(asked_for(number))))
        await asyncio.sleep(ARRIVAL_S)
    await asyncio.gather(*running)
