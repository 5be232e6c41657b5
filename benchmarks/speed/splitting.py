"""How long a text takes to be cut into units, and units to be chosen and put together again, by kind and length.

Generated texts (`benchmarks.made`) of every content kind, and texts that are hard to cut, at three lengths each: is the
cost a straight line? Neither draft nor tokenizer is run: token scores are random, one for every four characters, and a text
counts as a quarter of its characters in tokens. What is timed beside the layout is all that follows the scorer: priorities
of units, selection and rendering, repeated until the budget is used. Costs of units are known before. Python code on one
thread; layouts are made anew, past the cache that holds them. Seconds are those of the processor that this process had, so
that what else runs on a machine counts little.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.made import KINDS, made_text
from benchmarks.speed.plan import Subject
from benchmarks.speed.timing import line_through, spread_per_size
from specprefill_agents import CompressionConfig
from specprefill_agents.prompt.render import gap_marks
from specprefill_agents.prompt.units import DEFAULT_LIMITS, Layout, layout_of
from specprefill_agents.selection.fit import Part, fit, unit_costs
from specprefill_agents.selection.units import priorities
from specprefill_agents.types import TokenScores

KEEP_RATIO = 0.3
CHARS_PER_TOKEN = 4
SEED = 0

REPEATED = {"pipes": ("|\n", ""), "letters apart": ("a\n\n", ""), "empty brackets": ("()", ""), "nested tags": ("<div>", "</div>")}
"""Name -> what a text repeats from its beginning on, and as often up to its end."""

CHARS = {
    **dict.fromkeys(KINDS, 1_000_000),
    **dict.fromkeys(["one line", "one word", *REPEATED], 1_000_000),
    "deep json": 200_000,
    "short lines": 2_000_000,
}
"""Full length of each text: 90,000 tags deep, 100,000 brackets deep, a million lines of one character."""

split: Callable[..., Layout] = layout_of.__wrapped__
"""`layout_of` without its cache."""


def stand_in(text: str) -> int:
    """Tokens of `text`, roughly, at no cost."""
    return -(-len(text) // CHARS_PER_TOKEN)


@dataclass(frozen=True)
class _Chooser:
    """Everything after the scorer for one text whose layout, token scores and unit costs are known."""

    part: Part
    scores: TokenScores

    @classmethod
    def of(cls, text: str) -> _Chooser:
        """With random scores, the same ones for the same length."""
        starts = np.arange(0, len(text), CHARS_PER_TOKEN)
        offsets = np.stack([starts, np.minimum(starts + CHARS_PER_TOKEN, len(text))], axis=1)
        layout = split(text, DEFAULT_LIMITS)
        marks = gap_marks(CompressionConfig(), "tool_result", "full", "sp-aaaaaaaa")
        forced = np.zeros(len(layout.units), dtype=np.bool_)
        part = Part(text, stand_in(text), layout, unit_costs(text, layout, stand_in), forced, "full", marks, "sp-aaaaaaaa")
        return cls(part, TokenScores(offsets, np.random.default_rng(SEED).random(len(starts))))

    def run(self) -> object:
        """The compressed text."""
        part = self.part
        values = priorities([part.text], [part.layout], [self.scores], "", CompressionConfig().neighbour_bonus)
        return fit([part], values, int(KEEP_RATIO * part.tokens), stand_in)


def splitting(subject: Subject) -> dict[str, Any]:
    """Part 6."""
    sizes = subject.sizes
    found = {name: _measure(name, chars, sizes.splitting_shares, sizes.splitting_repeats) for name, chars in CHARS.items()}
    return {
        "keep_ratio": KEEP_RATIO,
        "stand_ins": f"random scores and unit costs of {CHARS_PER_TOKEN} characters a token; no tokenizer",
        "texts": found,
    }


def text_of(name: str, chars: int) -> str:
    """A text of about so many characters."""
    if name not in REPEATED:
        return made_text(name, chars)
    opens, closes = REPEATED[name]
    count = chars // len(opens + closes)
    return opens * count + closes * count


def _processor_seconds(run: Callable[[], object]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


def _measure(name: str, chars: int, shares: tuple[float, ...], repeats: int) -> dict[str, Any]:
    """One kind of text at several shares of its full length; times are the least of `repeats`, since other work only adds."""
    choosers = [_Chooser.of(text_of(name, int(share * chars))) for share in shares]
    runs: dict[str, Callable[[], object]] = {}
    for at, chooser in enumerate(choosers):
        runs[f"layout {at}"] = partial(split, chooser.part.text, DEFAULT_LIMITS)
        runs[f"choice {at}"] = chooser.run
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for variant, run in runs.items():
            seconds[variant].append(_processor_seconds(run))
    lengths = [len(chooser.part.text) for chooser in choosers]
    times = {step: [min(seconds[f"{step} {at}"]) for at in range(len(shares))] for step in ("layout", "choice")}
    return {
        "kind": choosers[-1].part.layout.kind,
        "chars": lengths,
        "units": [len(chooser.part.layout.units) for chooser in choosers],
        **{f"{step}_s": [round(one, 5) for one in taken] for step, taken in times.items()},
        **{f"{step}_s_per_million_chars": round(1e6 * taken[-1] / lengths[-1], 4) for step, taken in times.items()},
        **{f"{step}_r2": line_through(lengths, taken)["r2"] for step, taken in times.items()},
        **{f"{step}_most_over_least_per_char": spread_per_size(lengths, taken) for step, taken in times.items()},
        "seconds": seconds,
    }
