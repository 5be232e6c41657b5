"""How long each step of an agent loop takes to its first token, as outputs pile up, with and without a cache of what was read.

Every step brings one new output. A session decides on it once; `compress_ms` is that step's, scorer included. What keeps
nothing between steps reads all of the prompt at each, so only some of its steps are measured.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

from benchmarks.local.measured import FORMS, Row, Subject, answer, in_form, replace_readings, rows_of
from benchmarks.local.plan import measured_steps
from benchmarks.local.prompts import Texts, conversation, query_of, question, segment_of
from specprefill_agents import CompressedSegment, Scorer


def loop(subject: Subject) -> list[Row]:
    """Rows by target, form, whether it keeps what it read, and step."""
    sizes = subject.sizes
    scorer = subject.scorer("fused")
    taken: dict[tuple[Any, ...], list[dict[str, float]]] = defaultdict(list)
    for name in sizes.targets:
        target = subject.target(name)
        texts = Texts(target.tokenizer)
        forms = {form: in_form(target, form) for form in FORMS}
        for repetition in range(sizes.loop_repeats):
            subject.say(f"loop: {name}, {repetition + 1} of {sizes.loop_repeats}")
            asked = question(repetition)
            outputs = [texts.take(sizes.output_tokens) for _ in range(sizes.steps)]
            decided = _decided(subject, scorer, outputs, asked)
            for form in FORMS:
                for keeps in (True, False):
                    reader = replace_readings(forms[form], sizes.loop_cache_bytes if keeps else 0)
                    for step in range(1, sizes.steps + 1) if keeps else measured_steps(sizes.steps):
                        ones, compress_ms = decided[step - 1]
                        shown = [(text, None if form == "whole" else ones[index]) for index, text in enumerate(outputs[:step])]
                        found = answer(reader, conversation(asked, shown), 1)
                        taken[name, form, keeps, step].append(
                            {
                                "prompt_tokens": found.prompt_tokens,
                                "cached_tokens": found.cached_tokens,
                                "compress_ms": 0.0 if form == "whole" else compress_ms,
                                "first_token_ms": round(found.time_to_first_token_ms, 1),
                            }
                        )
    return rows_of(taken, ("target", "form", "cached", "step"), "loop")


def _decided(subject: Subject, scorer: Scorer, outputs: list[str], asked: str) -> list[tuple[tuple[CompressedSegment, ...], float]]:
    """For each step the decisions on all outputs so far, and the milliseconds that it took."""
    session = subject.compressor(scorer, subject.sizes.loop_keep).session("loop")
    segments = [segment_of(text, part) for part, text in enumerate(outputs)]
    found = []
    for step in range(1, len(segments) + 1):
        started = time.perf_counter()
        result = session.step(segments[:step], query_of(asked, step - 1))
        found.append((tuple(result.segments), round(1000 * (time.perf_counter() - started), 1)))
    return found
