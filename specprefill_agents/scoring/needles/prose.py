"""Kinds `manual` and `passages`: documentation that was written by people, asked for by sentences that were taken out of it.

Nothing guarantees that such a question shares words with its needle, which is the point (the inverse cloze task of
arXiv 1906.00300).
"""

from __future__ import annotations

import random
import re

from specprefill_agents.scoring.needles.example import Example, Piece, assemble, phrased, rough_tokens
from specprefill_agents.scoring.needles.library import Function, functions, modules, paragraphs


def manual(rng: random.Random, tokens: int, questions: int) -> Example:
    """Docstrings without their first sentence; the first sentence, as a question, needs the paragraph that follows it."""
    pool = _documented(rng)
    entries: list[Function] = []
    while pool and sum(rough_tokens(entry.details) + 12 for entry in entries) < tokens:
        entries.append(pool.pop())
    wanted = {index: number for number, index in enumerate(rng.sample(range(len(entries)), min(questions, len(entries))))}
    pieces = []
    for index, entry in enumerate(entries):
        title = f"{entry.module}.{entry.name}\n"
        first = re.split(r"\n\s*\n", entry.details)[0]
        needs = ((wanted[index], (len(title), len(title) + len(first))),) if index in wanted else ()
        pieces.append(Piece(title + entry.details + "\n", needs))
    asked = [phrased(rng, _as_question(rng, entries[index].summary)) for index in wanted]
    return assemble("manual", pieces, asked)


def _documented(rng: random.Random) -> list[Function]:
    """Functions with a summary and one prose paragraph or more below it, of a few modules each, in random order."""
    found: dict[str, Function] = {}
    for module in rng.sample(modules(), min(40, len(modules()))):
        for function in functions(module):
            first = re.split(r"\n\s*\n", function.details)[0]
            is_prose = 80 <= len(first) <= 420 and sum(c.isalpha() or c.isspace() for c in first) > 0.85 * len(first)
            if is_prose and 25 <= len(function.summary) <= 200 and len(function.details) <= 900:
                found.setdefault(function.details, function)
    pool = list(found.values())
    rng.shuffle(pool)
    return pool


def _as_question(rng: random.Random, summary: str) -> str:
    bare = summary.rstrip(".")
    lowered = bare[:1].lower() + bare[1:]
    return rng.choice((f"{bare}: what should I know?", f"What do I use to {lowered}?", f"How does this work: {lowered}?", summary))


def passages(rng: random.Random, tokens: int, questions: int) -> Example:
    """Paragraphs of a reference; a sentence that was taken out needs the sentences that stood next to it."""
    pool = rng.sample(paragraphs(), len(paragraphs()))
    chosen: list[tuple[str, ...]] = []
    while pool and sum(rough_tokens(" ".join(sentences)) for sentences in chosen) < tokens:
        chosen.append(pool.pop())
    wanted = {index: number for number, index in enumerate(rng.sample(range(len(chosen)), min(questions, len(chosen))))}
    width = rng.choice((0, 72))
    pieces, asked = [], []
    for index, sentences in enumerate(chosen):
        if index not in wanted:
            pieces.append(Piece(_wrapped(" ".join(sentences), width) + "\n"))
            continue
        removed = rng.randrange(len(sentences))
        rest = [*sentences[:removed], *sentences[removed + 1 :]]
        near = [n for n in (removed - 1, removed) if 0 <= n < len(rest)]
        needle = " ".join(rest[near[0] : near[-1] + 1])
        text = " ".join(rest)
        start = text.index(needle)
        # Wrapping swaps blanks for newlines one for one, so spans stay where they are.
        pieces.append(Piece(_wrapped(text, width) + "\n", ((wanted[index], (start, start + len(needle))),)))
        asked.append((wanted[index], phrased(rng, sentences[removed])))
    return assemble("passages", pieces, [question for _, question in sorted(asked)])


def _wrapped(text: str, width: int) -> str:
    """`text` with blanks replaced by newlines so that lines are about `width` long; 0 leaves it on one line."""
    if not width:
        return text
    out: list[str] = []
    since = 0
    for word in text.split(" "):
        if out and since + len(word) > width:
            out.append("\n")
            since = 0
        elif out:
            out.append(" ")
        out.append(word)
        since += len(word) + 1
    return "".join(out)
