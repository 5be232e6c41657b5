"""Frozen value objects that every room shares.

Axes in array shapes: T context tokens. Text positions are Python character indices into the original string;
a span is half-open. Nothing here knows a framework, a tokenizer or a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Span: TypeAlias = tuple[int, int]

Kind: TypeAlias = Literal["tool_result", "document", "system", "user", "assistant", "tool_call", "reasoning", "tool_error", "expanded"]
"""What a segment is. Only `tool_result` and `document` are candidates for compression, `user` when asked for."""

Outcome: TypeAlias = Literal["compressed", "passthrough", "protected"]

MarkStyle: TypeAlias = Literal["full", "brief", "none"]
"""How gaps are marked: with what they hide, as briefly as possible (small budgets), or not at all (no budget)."""


GapForm: TypeAlias = Literal["plain", "item", "member", "string"]
"""How a gap is marked: in words on a line of its own or between words, as an item of a JSON array, as a member of a JSON
object, or as words inside a JSON string."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One text of a conversation with its kind, and where it came from.

    `name` is the tool's name or the document's title, `id` the tool-call id or the document's id. `keep` are spans of the
    text that must survive when it is compressed; the units they touch are kept whole. `call` is how the call that made it
    reads, such as `read_file("setup.py")`: later texts name it by that, and no decision on it depends on it. `prior`, in
    [0, 1], is what is known of its worth before it is read, such as by a retriever's rank, beside the other texts of a call.
    """

    text: str
    kind: Kind = "tool_result"
    name: str | None = None
    id: str | None = None
    keep: tuple[Span, ...] = ()
    call: str = ""
    prior: float = 0.0


KeepRatio: TypeAlias = float | Literal["auto"]
"""Share of target tokens to keep, in (0, 1]; `auto` goes by how much of a text stands out."""

KeepRule: TypeAlias = str | Callable[[Segment], Iterable[Span]]
"""What must survive: a regular expression, or a function from a segment to spans of its text."""


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Importance of each draft token of one context.

    `offsets` (T, 2) int64: character span of each token, non-decreasing. `scores` (T,) float64: higher is more
    important, comparable across the contexts of one `Scorer.score` call only. `cached` tells that the context was
    not read again.
    """

    offsets: NDArray[np.int64]
    scores: NDArray[np.float64]
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Unit:
    """The smallest piece of a text that is kept or dropped whole; the units of a text tile it."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """What of a text stands in an earlier one of the same conversation, and is therefore not said again.

    `source` names the decision on the earlier segment, `label` is what the text calls it, `gaps` are the numbers of the
    gaps, from 0, that hide nothing but what the earlier text shows.
    """

    source: str
    label: str
    gaps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Recalled:
    """Parts of an earlier segment that were left out then and are shown at the end of a later one, under `heading`.

    `source` names the decision on the earlier segment; `spans` are characters of its original.
    """

    source: str
    heading: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class CompressedSegment:
    """What is forwarded for one segment: `text`, and the character `spans` of the original that it shows.

    `text` is derivable (`prompt.decided`) from the original, `spans`, `marks`, `forms` (of each gap in order; none: all
    plain), `original_id` (under which the whole text is kept; "" where no mark names it), and, in a conversation, from
    what it repeats of an earlier text (`repeat`) and what of earlier ones it brings back (`recalled`). `reason` says why a
    segment was not compressed ("" where it was). Token counts are in target tokens, of all of `text`. `score` is what its
    best unit was worth for the query, comparable within the call; None where it was not scored, or decided earlier.
    """

    text: str
    spans: tuple[Span, ...]
    outcome: Outcome
    original_tokens: int
    kept_tokens: int
    reason: str = ""
    marks: MarkStyle = "full"
    forms: tuple[GapForm, ...] = ()
    original_id: str = ""
    repeat: Repeat | None = None
    recalled: tuple[Recalled, ...] = ()
    score: float | None = field(default=None, compare=False)

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the decisions on earlier segments without which this one means nothing, sorted."""
        return tuple(sorted({*([self.repeat.source] if self.repeat else []), *(one.source for one in self.recalled)}))


@dataclass(frozen=True, slots=True)
class Usage:
    """Cost and effect of one call. `*_tokens` in target tokens, `scorer_ms` in milliseconds of wall time.

    Of the texts scored, `cache_hits` were not read again, `cache_misses` were; a scorer that keeps nothing reads all of them.

    `fallback_reason` is None when scoring went as configured, otherwise what failed and what was done instead. `note`
    says what a caller should know of a result that is as configured, such as a question that no part of a text answers.
    """

    original_tokens: int = 0
    kept_tokens: int = 0
    scorer_ms: float = 0.0
    cache_hits: int = 0
    fallback_reason: str | None = None
    note: str | None = None
    cache_misses: int = 0


@dataclass(frozen=True, slots=True)
class CompressionResult:
    """One `CompressedSegment` per input segment, in the same order, and what the call cost.

    `is_refused` tells that guardrails let nothing be scored; the segments say why.
    """

    segments: tuple[CompressedSegment, ...]
    usage: Usage = field(default_factory=Usage)
    is_refused: bool = False
