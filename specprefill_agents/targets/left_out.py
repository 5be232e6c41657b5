"""What of a prompt's texts a model is spared, marked in the texts themselves while templates and tokenizers work on them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from specprefill_agents.types import Span

_PRIVATE = range(0xF0000, 0xFFFFC, 2)
"""Characters without a meaning; those of them that a text holds cannot mark it."""


@dataclass(frozen=True, slots=True)
class Marks:
    """Two characters that open and close what is left out; neither is in any text that is marked."""

    opening: str
    closing: str

    @classmethod
    def absent_from(cls, text: str) -> Marks:
        """Marks that `text` does not hold."""
        return next(cls(chr(one), chr(one + 1)) for one in _PRIVATE if chr(one) not in text and chr(one + 1) not in text)

    def put(self, text: str, kept: Iterable[Span]) -> str:
        """`text` with everything marked that is not in the `kept` spans, which are sorted and disjoint.

        White space at its ends stays unmarked, so that a template that trims still does.
        """
        first, last = len(text) - len(text.lstrip()), len(text.rstrip())
        pieces, at = [], 0
        for start, end in [*kept, (len(text), len(text))]:
            low, high = max(at, first), min(start, last)
            if low < high:
                pieces += [text[at:low], self.opening, text[low:high], self.closing, text[high:start]]
            else:
                pieces.append(text[at:start])
            pieces.append(text[start:end])
            at = end
        return "".join(pieces)

    def take(self, text: str) -> tuple[str, list[Span]]:
        """`text` without the marks, and the spans of it that they marked."""
        plain: list[str] = []
        spans: list[Span] = []
        length = 0
        for index, piece in enumerate(text.split(self.opening)):
            inside, closed, outside = piece.partition(self.closing) if index else ("", "", piece)
            if closed or inside:
                spans.append((length, length + len(inside)))
            plain += [inside, outside]
            length += len(inside) + len(outside)
        return "".join(plain), spans


def is_left_out(offsets: Sequence[Span], spans: Sequence[Span]) -> list[bool]:
    """For each token's characters, whether all of them are in one of the `spans`; both are sorted."""
    found: list[bool] = []
    at = 0
    for start, end in offsets:
        while at < len(spans) and spans[at][1] <= start:
            at += 1
        found.append(at < len(spans) and spans[at][0] <= start < end <= spans[at][1])
    return found
