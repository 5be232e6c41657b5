"""A question of a public set as a row of the evaluation data: these sets bring accepted answers, and no needles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LEAST_CHARS = 4
"""Shorter answers occur by chance, as do yes and no."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about one text.

    `answers` are what is accepted, of which any is enough, unless `wants_all`. `about` goes into the row's `meta`.
    """

    id: str
    text: str
    query: str
    answers: tuple[str, ...]
    wants_all: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)

    def row(self, name: str) -> dict[str, Any]:
        """The row of the set called `name`; its needles are of the kind `answer`."""
        needles = list(answer_needles(self.text, self.answers, self.wants_all))
        return {
            "id": self.id,
            "set": name,
            "segments": [{"kind": "document", "name": "context", "text": self.text}],
            "query": self.query,
            "answers": list(self.answers),
            "needles": needles,
            "meta": {**self.about, "needle_kinds": ["answer"] * len(needles)},
        }


def answer_needles(text: str, answers: Sequence[str], wants_all: bool) -> Iterator[list[str]]:
    """The accepted answers that stand in `text`, case folded and white space collapsed: one group, or one each where all are wanted."""
    folded = _folded(text)
    found = [answer for answer in answers if len(answer.strip()) >= LEAST_CHARS and _folded(answer) in folded]
    if wants_all:
        yield from ([answer] for answer in found)
    elif found:
        yield found


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
