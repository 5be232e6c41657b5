"""Interleaved repetitions, so that what else runs on a machine slows every variant alike, and what is computed from them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from specprefill_agents.draft.loading import Draft

import torch  # isort: skip (after loading, whose ImportError says what to install)


@dataclass(frozen=True, slots=True)
class Ratio:
    """One variant's time over another's: median, smallest and largest of the ratios taken within each repetition."""

    median: float
    low: float
    high: float


def interleaved(variants: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each variant, repetition by repetition (A B A B ...), after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for repetition in range(repeats + 1):
        for name, run in variants.items():
            taken = seconds_of(run)
            if repetition:
                seconds[name].append(taken)
    return seconds


def seconds_of(run: Callable[[], object]) -> float:
    """Wall time of one call, work queued on a GPU included."""
    _wait()
    started = time.perf_counter()
    run()
    _wait()
    return time.perf_counter() - started


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def ratio(slower: Sequence[float], faster: Sequence[float]) -> Ratio:
    """How many times as long `slower` takes, both measured in the same repetitions."""
    found = [above / below for above, below in zip(slower, faster, strict=True)]
    return Ratio(round(statistics.median(found), 3), round(min(found), 3), round(max(found), 3))


def milliseconds(seconds: Sequence[float]) -> float:
    """The median in milliseconds."""
    return round(1000 * statistics.median(seconds), 3)


def line_through(sizes: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    """Least-squares line: value = `intercept` + `slope` * size, and the share of variance it explains (`r2`)."""
    slope, intercept = np.polyfit(sizes, values, 1)
    rest = np.asarray(values) - (intercept + slope * np.asarray(sizes))
    spread = float(np.var(values))
    return {"slope": float(slope), "intercept": float(intercept), "r2": round(1 - float(np.var(rest)) / spread, 5) if spread else 1.0}


def spread_per_size(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Largest value per size over the smallest: 1 where a cost is strictly proportional."""
    each = [value / size for size, value in zip(sizes, values, strict=True)]
    return round(max(each) / min(each), 3)


def first_tokens(draft: Draft, text: str, count: int) -> str:
    """The start of `text` that is `count` tokens of the draft. Raises ValueError when it is shorter."""
    offsets = draft.encode(text).offsets
    if len(offsets) < count:
        raise ValueError(f"only {len(offsets)} tokens of text for {count}")
    return text[: int(offsets[count - 1, 1])]
