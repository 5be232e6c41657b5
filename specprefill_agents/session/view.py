"""What a conversation shows at some point: its segments in order, each with the decision by which it was sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, KeysView, Sequence
from dataclasses import dataclass

from specprefill_agents.types import CompressedSegment, Segment, Span

LABEL_CHARS = 80
"""Of what a later text calls an earlier one."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A segment as it was sent: `name` is that of the decision, `decided` has its text."""

    name: str
    segment: Segment
    decided: CompressedSegment


class View:
    """The segments of a conversation in order, and what is visible of them. Grows at its end."""

    def __init__(self) -> None:
        self.shown: list[Shown] = []
        self._by_name: dict[str, Shown] = {}
        self._recalled: dict[str, list[Span]] = {}
        self._calls: Counter[str] = Counter()

    @property
    def names(self) -> KeysView[str]:
        """Of the decisions in view."""
        return self._by_name.keys()

    def add(self, shown: Shown) -> None:
        """Let a segment follow."""
        self.shown.append(shown)
        self._calls[_call(shown.segment)] += shown.name not in self._by_name
        self._by_name.setdefault(shown.name, shown)
        for part in shown.decided.recalled:
            self._recalled.setdefault(part.source, []).extend(part.spans)

    def cut(self, length: int) -> None:
        """Keep the first so many segments."""
        kept = self.shown[:length]
        self.shown, self._by_name, self._recalled = [], {}, {}
        self._calls.clear()
        for shown in kept:
            self.add(shown)

    def text_of(self, names: Sequence[str]) -> dict[str, str]:
        """The whole texts of the segments with these decisions."""
        return {name: self._by_name[name].segment.text for name in names}

    def visible(self, shown: Shown) -> Iterator[Span]:
        """The spans of a segment's original that can be read, where it stands or where it was recalled."""
        yield from shown.decided.spans
        yield from self._recalled.get(shown.name, ())

    def label(self, shown: Shown) -> str:
        """What a later text calls a segment: the call that made it, with its id where several calls read the same."""
        call = _call(shown.segment)
        which = f", {_one_line(shown.segment.id)}" if self._calls[call] > 1 and shown.segment.id else ""
        return f"{call}{which}"


def _call(segment: Segment) -> str:
    """How the call that made a segment reads; for a document, its title."""
    named = _one_line(segment.name or "")
    if segment.call:
        return _one_line(segment.call)
    if segment.kind == "document":
        return f'document "{named}"' if named else "a document"
    return f"the result of {named}" if named else "a tool result"


def _one_line(text: str) -> str:
    line = " ".join(text[: 4 * LABEL_CHARS].split())
    return line if len(line) <= LABEL_CHARS else f"{line[: LABEL_CHARS - 1]}…"
