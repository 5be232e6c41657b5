"""What many calls give, as one digest that must be the same in every process. Run as a program with a count, it prints that."""

from __future__ import annotations

import hashlib
import sys

from specprefill_agents.scoring.controls import RandomScorer
from specprefill_agents.scoring.fusion import FusionScorer, Member
from specprefill_agents.scoring.identifiers import IdentifierScorer
from specprefill_agents.scoring.lexical import LexicalScorer
from tests.invariants import compressor
from tests.strategies import case_of

SCORERS = ("", "bm25", "random", "head_tail")
"""Those that need no model, as `invariants.compressor` takes them."""
FUSED = FusionScorer([Member(LexicalScorer()), Member(RandomScorer(3), 0.5), Member(IdentifierScorer(), 0.3)])
TITLES = ("", "harbour", "Sawmill Lantern", None, "orchard 42")


def digest(count: int) -> str:
    """Of the texts, spans and scores that so many calls give with every scorer that needs no model."""
    found = hashlib.sha256()
    for seed in range(count):
        case = case_of(seed, seed % 7)
        result = compressor(case.ratio, scorer=SCORERS[seed % 4]).compress(case.segments, case.query)
        found.update(repr([(done.text, done.spans, done.reason) for done in result.segments]).encode("utf-8", "surrogatepass"))
        contexts = [segment.text for segment in case.segments]
        for scores in FUSED.score(contexts, case.query, TITLES[: len(contexts)]):
            found.update(scores.scores.tobytes())
    return found.hexdigest()


if __name__ == "__main__":
    sys.stdout.write(digest(int(sys.argv[1])))
