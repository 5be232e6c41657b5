"""Explanations to make pages of, and what the library selects of random texts for the page's script to agree with."""

from __future__ import annotations

import random
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from specprefill_agents import CompressionConfig, Compressor, Segment
from specprefill_agents.observe.explain import Explanation, explain
from specprefill_agents.scoring.controls import HeadTailScorer
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.selection.budget import Candidate, select

QUERY = "which port does the metrics server use?"
LINES = [f"worker {n} started with {n * 7} tasks and nothing <b>to</b> report about it\n" for n in range(90)]
LOG = "".join([*LINES[:30], "metrics server listens on port 9187\n", *LINES[30:]])
ATTACK = "</script><img src=x onerror=\"document.title='owned'\"><!-- \u2028 ]]> &lt; {{ 7*7 }} <svg/onload=alert(1)> \"'"


@cache
def compressor(keep_ratio: float = 0.3) -> Compressor:
    """One compressor for each ratio, scoring with BM25; what worker 77 says is forced."""
    config = CompressionConfig(
        scorer="bm25",
        keep_ratio=keep_ratio,
        min_tokens=0,
        min_result_tokens=0,
        target_tokenizer="estimate",
        force_keep=("worker 77 ",),
        on_error="raise",
    )
    return Compressor(config=config, cache="memory")


def explained(text: str = LOG, keep_ratio: float = 0.3, query: str = QUERY, title: str = "app.log") -> Explanation:
    """What the compressor makes of a text, with a second scorer beside the one that decided."""
    scorers = {"bm25": LexicalScorer(), "head_tail": HeadTailScorer()}
    return explain(compressor(keep_ratio), Segment(text), query, scorers, title)


def random_cases(number: int) -> tuple[list[dict[str, Any]], list[list[int]]]:
    """Texts as numbers, with budgets, and what the library keeps of them."""
    draw = random.Random(7)
    cases, expected = [], []
    for _ in range(number):
        units = draw.randint(1, 40)
        case = {
            "scores": [draw.choice([0.0, 0.5, draw.random(), 10 * draw.random()]) for _ in range(units)],
            "costs": [draw.randint(0, 30) for _ in range(units)],
            "forced": [int(draw.random() < 0.1) for _ in range(units)],
            "needs": [draw.sample(range(units), draw.randint(0, min(units, 3))) if draw.random() < 0.4 else [] for _ in range(units)],
            "emptyCost": draw.randint(0, 15),
            "gapCost": draw.randint(0, 15),
            "noteCost": draw.randint(0, 9),
            "budget": draw.randint(0, 20 * units),
        }
        cases.append(case)
        candidate = Candidate(
            np.array(case["scores"]),
            np.array(case["costs"]),
            np.array(case["forced"], dtype=np.bool_),
            case["emptyCost"],
            case["gapCost"],
            needs=case["needs"],
            note_cost=case["noteCost"],
        )
        expected.append(select([candidate], case["budget"])[0].astype(int).tolist())
    return cases, expected


CHOOSE_ALL = "(cases) => cases.map((one) => [...select(one, ranking(one.scores, one.forced), one.budget).kept])"
"""The page's selection as a JavaScript function of cases as `random_cases` makes them."""


def select_script() -> str:
    """The page's own source of its selection."""
    return (files("specprefill_agents.observe") / "page" / "select.js").read_text(encoding="utf-8")
