"""Rows of the evaluation data -> everything that a compressor makes of them, with what is needed to check it.

Questions are compressed once, agent runs are stepped through by a session. The evaluation data has no tables, no JSON
Lines, few diffs and no long code, so there are two sets more: `made`, generated texts of every content kind, and `stdlib`,
files of the Python standard library, whole and as an editor's view of some of their lines (which files, and what is in
them, depends on the Python version).
"""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from benchmarks import data
from benchmarks.data import Question, Trajectory
from benchmarks.evaluate import step_through
from benchmarks.made import KINDS, made_text
from specprefill_agents import CompressedSegment, CompressionConfig, CompressionResult, Compressor, Scorer, Segment
from specprefill_agents.accounting.tokens import TokenCounter
from specprefill_agents.prompt.units import Layout, Limits, layout_of

OWN_SETS = ("made", "stdlib")
MADE_CHARS = (1_500, 6_000, 24_000)
"""Lengths of the generated texts, in characters."""
STDLIB_FILES, STDLIB_CHARS, VIEW_LINES = 40, (2_000, 60_000), 150
"""How many files, of which lengths, and how many lines of each are shown in a view."""


@dataclass(frozen=True, slots=True)
class Output:
    """What became of segment `index` of a row (of an agent run: of its tool results); `recounted_tokens` are counted anew."""

    index: int
    segment: Segment
    decided: CompressedSegment
    recounted_tokens: int
    compressor: Compressor

    @property
    def text(self) -> str:
        """The original."""
        return self.segment.text

    @property
    def limits(self) -> Limits:
        """How long units may be."""
        return Limits(*self.compressor.config.unit_chars)

    @property
    def layout(self) -> Layout:
        """How the original may be cut."""
        return layout_of(self.text, self.limits)


@dataclass(frozen=True, slots=True)
class Call:
    """The outputs of one compression, which share a budget."""

    outputs: tuple[Output, ...]


class HeldCounts:
    """A token counter that counts each text of a row once for all keep ratios; `forget()` between rows bounds what is held."""

    def __init__(self, inner: TokenCounter) -> None:
        self.name = inner.name
        self.count = cache(inner.count)
        self.forget = self.count.cache_clear


class Recorder(Compressor):
    """A compressor that keeps what it was given and what it made of it, also when a session asks. In memory only."""

    def __init__(self, draft: str, config: CompressionConfig, scorer: Scorer, counter: TokenCounter) -> None:
        super().__init__(draft, config, scorer=scorer, counter=counter, cache="memory")
        self.calls: list[Call] = []

    def compress(self, segments: Sequence[Segment], query: str) -> CompressionResult:
        """As `Compressor.compress`, recorded."""
        result = super().compress(segments, query)
        before = sum(len(call.outputs) for call in self.calls)
        outputs = [
            Output(before + index, segment, decided, self.counter.count(decided.text), self)
            for index, (segment, decided) in enumerate(zip(segments, result.segments, strict=True))
        ]
        self.calls.append(Call(tuple(outputs)))
        return result


def calls_of(row: Question | Trajectory, recorder: Recorder) -> list[Call]:
    """Every call that `row` takes. Raises whatever compression raises."""
    recorder.calls.clear()
    if isinstance(row, Trajectory):
        step_through(row, recorder)
    else:
        recorder.compress(row.segments, row.query)
    return list(recorder.calls)


def set_names(directory: Path, names: Sequence[str]) -> list[str]:
    """As `data.expand`, with our own sets left as they are."""
    return [one for name in names for one in ([name] if name in OWN_SETS else data.expand(directory, [name]))]


def load(directory: Path, name: str) -> Sequence[Question | Trajectory]:
    """All rows of a set, agent runs that need no value of a tool result among them."""
    if name in OWN_SETS:
        return list(_made() if name == "made" else _stdlib())
    if data.is_runs(directory, name):
        return data.load_runs(directory, name)
    return data.load_questions(directory, name)


def _made() -> Iterator[Question]:
    for kind in KINDS:
        for chars in MADE_CHARS:
            for seed in range(3):
                yield _about(f"{kind}/{chars}/{seed}", made_text(kind, chars, seed))


def _stdlib() -> Iterator[Question]:
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    texts = {file.name: file.read_text(encoding="utf-8", errors="replace") for file in files}
    fitting = [(name, text) for name, text in texts.items() if STDLIB_CHARS[0] <= len(text) <= STDLIB_CHARS[1]]
    for name, text in data.sample(fitting, STDLIB_FILES, seed=0):
        yield _about(name, text)
        lines = text.splitlines(keepends=True)
        first = Random(name).randrange(len(lines))
        numbered = [f"{first + number}:{line}" for number, line in enumerate(lines[first : first + VIEW_LINES], start=1)]
        yield _about(f"{name}:{first + 1}", "".join(numbered))


def _about(identifier: str, text: str) -> Question:
    """A question of a few words that `text` has."""
    words = sorted({*re.findall(r"[^\W\d_]{5,}", text)})
    query = "What of " + ", ".join(Random(identifier).sample(words, min(4, len(words)))) + "?"
    return Question(identifier, (Segment(text, "tool_result"),), query, ())
