"""Synthetic needles: contexts with questions and the spans their answers stand in, made from a seed and local text.

Eleven kinds, one function each: `make(rng, tokens, questions) -> Example`. They are made to be hard: a question's words
occur in places that do not answer it, records differ from their neighbours in one field, and questions use other words
than the needle. Invented entities and the standard library's own sources and manuals are the only material.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from specprefill_agents.scoring.needles.code import code, search_hits
from specprefill_agents.scoring.needles.example import Example, Question, seeded
from specprefill_agents.scoring.needles.logs import log, trace
from specprefill_agents.scoring.needles.prose import manual, passages
from specprefill_agents.scoring.needles.records import key_value, records, table
from specprefill_agents.scoring.needles.world import facts, two_facts

__all__ = ["KINDS", "Example", "Question", "make_examples"]

KINDS: dict[str, Callable[[random.Random, int, int], Example]] = {
    "facts": facts,
    "two_facts": two_facts,
    "manual": manual,
    "passages": passages,
    "key_value": key_value,
    "json": records,
    "table": table,
    "log": log,
    "trace": trace,
    "search_hits": search_hits,
    "code": code,
}

CONTEXT_TOKENS = (1400, 2200)
"""Range of a context's length, in rough tokens."""


def make_examples(count: int, seed: int = 0, *, questions: int = 4, tokens: tuple[int, int] = CONTEXT_TOKENS) -> list[Example]:
    """`count` contexts with `questions` each (fewer where a short one has no room), the kinds in turn.

    The n-th depends on `seed`, n and the sizes only.

    Raises `ScoringError` where the standard library came without its sources.
    """
    made = []
    for index in range(count):
        kind = list(KINDS)[index % len(KINDS)]
        rng = seeded(seed, kind, index // len(KINDS))
        made.append(KINDS[kind](rng, rng.randint(*tokens), questions))
    return made
