"""Compressors of which one part fails, in every way that a part can fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np

from specprefill_agents import CompressionConfig, Compressor, DraftError, Originals, TokenScores
from specprefill_agents.prompt.units import layout_of
from specprefill_agents.storage.shelves import MemoryShelf
from tests.invariants import LongWords, Records, counter

SAID = "the disk of the draft is on fire"
"""In the text of every error."""
ERRORS: tuple[tuple[type[Exception], tuple[Any, ...]], ...] = (
    (RuntimeError, (SAID,)),
    (DraftError, (SAID,)),
    (OSError, (28, SAID)),
    (MemoryError, (SAID,)),
    (RecursionError, (SAID,)),
    (TimeoutError, (SAID,)),
    (UnicodeEncodeError, ("utf-8", "\ud800", 0, 1, SAID)),
    (AssertionError, (SAID,)),
    (KeyError, (SAID,)),
    (StopIteration, (SAID,)),
)
"""Class and arguments."""


class Failing:
    """Does what `works` does, but from its call number `first` on (or in that one alone) what `fails` does."""

    def __init__(self, works: Callable[..., Any], fails: Callable[..., Any], first: int = 0, *, once: bool = False) -> None:
        self._works, self._fails, self._first, self._once = works, fails, first, once
        self._calls = 0

    def __call__(self, *arguments: Any) -> Any:
        number = self._calls
        self._calls += 1
        is_wrong = number == self._first if self._once else number >= self._first
        return (self._fails if is_wrong else self._works)(*arguments)

    @property
    def has_failed(self) -> bool:
        """Whether it has come to that."""
        return self._calls > self._first


def _raises(source: Random) -> Callable[..., Any]:
    error, said = source.choice(ERRORS)

    def fail(*arguments: Any) -> Any:
        raise error(*said)

    return fail


def _scores(offsets: Any, scores: Any) -> Callable[..., Any]:
    return lambda contexts, query: [TokenScores(np.array(offsets), np.array(scores)) for _ in contexts]


def _empty(contexts: Sequence[str]) -> list[TokenScores]:
    return [TokenScores(np.zeros((0, 2), np.int64), np.zeros(0)) for _ in contexts]


WRONG_SCORES: dict[str, Callable[..., Any]] = {
    "not a number": _scores([[0, 1]], [np.nan]),
    "infinite": _scores([[0, 1]], [-np.inf]),
    "beyond the text": _scores([[0, 10**9]], [1.0]),
    "before the text": _scores([[-1, 1]], [1.0]),
    "out of order": _scores([[1, 1], [0, 1]], [1.0, 1.0]),
    "three columns": _scores([[0, 1, 1]], [1.0]),
    "one axis": _scores([0, 1], [1.0, 1.0]),
    "more scores than offsets": _scores([[0, 1]], [1.0, 2.0]),
    "words": _scores([[0, 1]], ["high"]),
    "too few": lambda contexts, query: _empty(contexts)[1:],
    "too many": lambda contexts, query: [*_empty(contexts), *_empty(contexts)],
    "no answer": lambda contexts, query: None,
    "other objects": lambda contexts, query: [SAID for _ in contexts],
}
METHODS = {
    "scorer": ("scorer", "score"),
    "scores": ("scorer", "score"),
    "time": ("scorer", "score"),
    "counter": ("counter", "count"),
    "splitter": ("layouts", "split"),
    "reading originals": ("shelf", "read"),
    "writing originals": ("shelf", "write"),
    "originals lost": ("shelf", "write"),
    "audit": ("audit", "record"),
}
"""What may fail -> the object and its method that does."""
RECORDED = tuple(part for part in METHODS if part != "audit")


class Fault(ExitStack):
    """A compressor of `ratio` with one failing part, otherwise like `invariants.fresh`.

    Leaving its context lets go of what the part holds up.
    """

    def __init__(self, part: str, source: Random, ratio: float, **settings: Any) -> None:
        super().__init__()
        release = threading.Event()
        self.callback(release.set)
        self.records = Records()
        shelf = MemoryShelf()
        objects = {
            "scorer": SimpleNamespace(score=LongWords().score, fingerprint=LongWords.__qualname__),
            "counter": SimpleNamespace(count=counter().count, name=counter().name),
            "layouts": SimpleNamespace(split=layout_of),
            "shelf": SimpleNamespace(read=shelf.read, write=shelf.write, close=shelf.close),
            "audit": SimpleNamespace(record=self.records.record),
        }
        ways: dict[str, Callable[..., Any]] = {
            "scores": source.choice(tuple(WRONG_SCORES.values())),
            "time": lambda contexts, query: release.wait() and _empty(contexts),
            "originals lost": lambda name, text: False,
        }
        late = source.choice((0, 0, 1, 2, 7)) if part in ("counter", "splitter", "audit") else 0
        name, method = METHODS[part]
        works, fails = getattr(objects[name], method), ways.get(part) or _raises(source)
        self._failing = Failing(works, fails, late, once=source.random() < 0.5)
        setattr(objects[name], method, self._failing)
        config = {"keep_ratio": ratio, "min_tokens": 0, "min_result_tokens": 0, **settings}
        self.compressor = Compressor(
            config=CompressionConfig.from_dict({**config, "timeout_s": 1e-6 if part == "time" else None}),
            scorer=objects["scorer"],
            counter=objects["counter"],
            audit=objects["audit"],
            originals=Originals([objects["shelf"]]),  # type: ignore[list-item]
            splitter=(lambda text, limits: self._failing(text, limits)) if part == "splitter" else layout_of,
        )

    @property
    def has_struck(self) -> bool:
        """Whether the part was used and failed."""
        return self._failing.has_failed
