"""What a step of an agent loop costs early and late: a session whose every step brings one new output of the same size.

All outputs are different. Those of the steps that are measured were never read before, nor were their questions asked; the
others are found in the scorer's caches from the second run on, which changes nothing of what the session holds by then. Early
and late steps of one run are compared, so that what else runs on a machine slows both alike.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.speed.plan import Subject
from benchmarks.speed.text import questions as ask
from benchmarks.speed.timing import milliseconds, ratio
from specprefill_agents import CompressionConfig, Compressor, Segment
from specprefill_agents.draft.loading import Draft

FIRST_MEASURED = 2
"""The first step also loads the draft."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """One step's wall time and what scoring took of it, in seconds."""

    step_s: float
    scorer_s: float


def steps(subject: Subject) -> dict[str, Any]:
    """Part 8."""
    sizes = subject.sizes
    measured = sorted({FIRST_MEASURED, (FIRST_MEASURED + sizes.steps) // 2, sizes.steps})
    texts = _texts(subject, subject.draft(), sizes.steps + sizes.step_repeats * len(measured))
    held = [next(texts) for _ in range(sizes.steps)]
    questions = (f"{question} ({number})" for number in itertools.count() for question in ask())
    asked = [next(questions) for _ in range(sizes.steps)]
    config = CompressionConfig(min_tokens=0, min_result_tokens=0, timeout_s=None, on_error="raise")
    compressor = Compressor(subject.name, config, device=subject.device, cache="memory")
    _run(compressor, held, asked)
    runs = []
    for _ in range(sizes.step_repeats):
        for step in measured:
            held[step - 1], asked[step - 1] = next(texts), next(questions)
        runs.append(_run(compressor, held, asked))
    taken = {
        "scorer": {step: [run[step - 1].scorer_s for run in runs] for step in measured},
        "step": {step: [run[step - 1].step_s for run in runs] for step in measured},
    }
    return {
        "steps": sizes.steps,
        "tokens": sizes.step_tokens,
        "scorer": config.scorer,
        "scorer_ms": {str(step): milliseconds(seconds) for step, seconds in taken["scorer"].items()},
        "step_ms": {str(step): milliseconds(seconds) for step, seconds in taken["step"].items()},
        "late_over_early": {
            name: {str(step): ratio(seconds, each[FIRST_MEASURED]) for step, seconds in each.items()} for name, each in taken.items()
        },
        "seconds": {name: {str(step): seconds for step, seconds in each.items()} for name, each in taken.items()},
    }


def _texts(subject: Subject, draft: Draft, count: int) -> Iterator[str]:
    """`count` texts of `step_tokens` tokens of the draft each, one after the other from the standard library."""
    size = subject.sizes.step_tokens
    whole = subject.text(draft, count * size)
    offsets = draft.encode(whole).offsets
    for at in range(0, count * size, size):
        yield whole[int(offsets[at, 0]) : int(offsets[at + size - 1, 1])]


def _run(compressor: Compressor, texts: list[str], questions: list[str]) -> list[_Taken]:
    """One conversation: every step hands over all outputs so far."""
    session = compressor.session("steps")
    segments = [Segment(text, "tool_result", "read", f"call-{index}") for index, text in enumerate(texts)]
    taken = []
    for count, question in enumerate(questions, start=1):
        started = time.perf_counter()
        result = session.step(segments[:count], question)
        taken.append(_Taken(time.perf_counter() - started, result.usage.scorer_ms / 1000))
    return taken
