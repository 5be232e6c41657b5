"""What calibration asks: a context, questions about it, and where in it the answers stand. Pure; knows no model."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from specprefill_agents.types import Span

_PIECE = re.compile(r"[^\W\d_]{1,6}|\d{1,2}|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the `needles`: spans of the context that its answer needs, all of them."""

    text: str
    needles: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A context of one `kind` with its questions. Several questions share a context, since reading it is what costs."""

    kind: str
    text: str
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a context under construction; `needs` are (number of a question, span within `text`)."""

    text: str
    needs: tuple[tuple[int, Span], ...] = ()


def assemble(kind: str, pieces: Sequence[Piece], questions: Sequence[str], separator: str = "\n") -> Example:
    """Join `pieces`; question n needs the spans that pieces marked with n, in the order of the text."""
    spans: list[list[Span]] = [[] for _ in questions]
    offset = 0
    for piece in pieces:
        for number, (start, end) in piece.needs:
            spans[number].append((offset + start, offset + end))
        offset += len(piece.text) + len(separator)
    text = separator.join(piece.text for piece in pieces)
    return Example(kind, text, tuple(Question(question, tuple(needles)) for question, needles in zip(questions, spans, strict=True)))


def whole(text: str, number: int) -> Piece:
    """A piece that question `number` needs whole."""
    return Piece(text, ((number, (0, len(text))),))


def rough_tokens(text: str) -> int:
    """About how many tokens a draft reads in `text`, whatever its tokenizer; contexts are built to a length by it."""
    return len(_PIECE.findall(text))


def seeded(*names: object) -> random.Random:
    """A generator whose numbers depend on `names` only."""
    return random.Random(":".join(map(str, names)))  # noqa: S311  # reproducible material, no secrets


def phrased(rng: random.Random, question: str) -> str:
    """`question` in one of the forms a scorer meets: as typed, as a search, as a task, or behind a tool call."""
    bare = question.rstrip("?. ")
    lowered = bare[:1].lower() + bare[1:]
    forms = (
        question,
        question,
        bare.lower(),
        f"I need one thing from this: {question} Please answer briefly and say where you found it.",
        f'search(query="{lowered}")',
        f"We are going through last week's open points. {question}",
        f"{question}\nread_document offset 0 limit 2000",
    )
    return rng.choice(forms)
