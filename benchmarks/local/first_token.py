"""How long the first token takes behind one long output that nobody has read before: whole, as text, at its positions.

`scorer_ms` is the draft's reading of the output and the question, `choice_ms` all else that compression does. A repetition
has a text of its own, which all variants get. `again_ms` is the scorer's time for another question about the same text.
"""

from __future__ import annotations

import time
from collections import defaultdict
from functools import partial
from itertools import count
from typing import Any

from benchmarks.local.measured import FORMS, Row, Subject, answer, in_form, rows_of
from benchmarks.local.prompts import Texts, conversation, query_of, question, segment_of
from benchmarks.speed.timing import seconds_of
from specprefill_agents import CompressedSegment, Compressor
from specprefill_agents.targets.local import Generation


def first_token(subject: Subject) -> list[Row]:
    """Rows by target, length, form and keep ratio; and of the scorers, which are the same before every target."""
    sizes = subject.sizes
    scorers = {name: subject.scorer(name) for name in ("fused", "key_index")}
    compressors = {keep: subject.compressor(scorers["fused"], keep) for keep in sizes.keeps}
    scored: dict[tuple[Any, ...], list[dict[str, float]]] = defaultdict(list)
    taken: dict[tuple[Any, ...], list[dict[str, float]]] = defaultdict(list)
    numbers = count()
    for name in sizes.targets:
        target = subject.target(name)
        forms = {form: in_form(target, form) for form in FORMS}
        texts = Texts(target.tokenizer)
        for repetition in range(sizes.repeats):
            for length in sizes.lengths:
                subject.say(f"first token: {name}, {length} tokens, {repetition + 1} of {sizes.repeats}")
                text, asked, other = texts.take(length), question(next(numbers)), question(next(numbers))
                for scorer, one in scorers.items():
                    fresh, again = (_ms(seconds_of(partial(one.score, [text], query_of(each, 0)))) for each in (asked, other))
                    scored[name, length, scorer].append({"fresh_ms": fresh, "again_ms": again})
                scorer_ms = scored[name, length, "fused"][-1]["fresh_ms"]
                whole = answer(forms["whole"], conversation(asked, [(text, None)]), 1)
                taken[name, length, "whole", 1.0].append(_figures(whole, 0.0, 0.0))
                for keep, compressor in compressors.items():
                    decided, choice_ms = _decided(compressor, text, asked)
                    for form in FORMS[1:]:
                        found = answer(forms[form], conversation(asked, [(text, decided)]), 1)
                        taken[name, length, form, keep].append(_figures(found, scorer_ms, choice_ms))
    return [
        *rows_of(taken, ("target", "length", "form", "keep"), "first_token"),
        *rows_of(scored, ("target", "length", "scorer"), "scorer"),
    ]


def _decided(compressor: Compressor, text: str, asked: str) -> tuple[CompressedSegment, float]:
    """The decision on a text that is scored already, and its milliseconds."""
    started = time.perf_counter()
    result = compressor.compress([segment_of(text, 0)], query_of(asked, 0))
    return result.segments[0], _ms(time.perf_counter() - started)


def _figures(found: Generation, scorer_ms: float, choice_ms: float) -> dict[str, float]:
    return {
        "prompt_tokens": found.prompt_tokens,
        "scorer_ms": scorer_ms,
        "choice_ms": choice_ms,
        "first_token_ms": round(found.time_to_first_token_ms, 1),
    }


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)
