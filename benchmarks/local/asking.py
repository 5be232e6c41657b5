"""One question to a local target: its prompt, whole or compressed, in text or at original positions, and how right the answer is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from benchmarks.answers import best_subspan_em, f1, string_match_all
from benchmarks.data import Question
from specprefill_agents import CompressedSegment, Segment, Span
from specprefill_agents.errors import TargetError
from specprefill_agents.targets.chat_template import ChatTurn
from specprefill_agents.targets.local import LocalTarget
from specprefill_agents.targets.sampling import Sampling

INSTRUCTION = "Answer the question with a name, a number or a few words, and nothing else.\n\n"
METRICS = ("f1", "contains", "share_contained", "prompt_tokens", "restored")
"""The last two: tokens that the target read, and whether their positions were restored. All None where the prompt was too long."""

LONG_ANSWERS = {"kv_140": 100}
"""Tokens of the longest answer where more than a few words are asked for: a UUID takes up to 36, and small models name the key first."""

Mode: TypeAlias = Literal["text", "positions"]


@dataclass(frozen=True, slots=True)
class Shown:
    """A prompt: `text` as it reads after compression; `whole` before it, of which `spans` are kept."""

    text: str
    whole: str
    spans: tuple[Span, ...]

    def turns(self) -> list[ChatTurn]:
        """The one turn of the prompt."""
        return [ChatTurn("user", self.text, whole=(self.whole, self.spans))]


def shown(query: str, segments: Sequence[Segment], decided: Sequence[CompressedSegment] | None) -> Shown:
    """The prompt of a question about segments: all of them, or what was decided on each. One of which nothing is kept is left out."""
    texts, wholes, spans = [INSTRUCTION], [INSTRUCTION], [(0, len(INSTRUCTION))]
    at = len(INSTRUCTION)
    for index, segment in enumerate(segments):
        heading = f"{segment.name}:\n"
        kept: tuple[Span, ...] = decided[index].spans if decided else ((0, len(segment.text)),)
        if kept:
            texts.append(f"{heading}{decided[index].text if decided else segment.text}\n\n")
            spans += [(at, at + len(heading)), *((at + len(heading) + start, at + len(heading) + end) for start, end in kept)]
        wholes.append(f"{heading}{segment.text}\n\n")
        at += len(wholes[-1])
        spans += [(at - 2, at)] if kept else []
    asked = f"Question: {query}\nAnswer:"
    return Shown("".join(texts) + asked, "".join(wholes) + asked, (*spans, (at, at + len(asked))))


def answered(target: LocalTarget, prompt: Shown, answers: Sequence[str], tokens: int) -> dict[str, float | None]:
    """The metrics of one answer, which ends with its first line."""
    turns = prompt.turns()
    try:
        read = target.encode(turns)
    except TargetError:
        return dict.fromkeys(METRICS)
    said = target.generate(turns, Sampling(max_new_tokens=tokens, stop=("\n",))).text
    return {
        "f1": f1(said, answers),
        "contains": best_subspan_em(said, answers),
        "share_contained": string_match_all(said, answers),
        "prompt_tokens": float(len(read.ids)),
        "restored": float(len(read.ids) < read.end),
    }


def answers_by_id(rows: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """The accepted answers of each row of a file."""
    return {row["id"]: tuple(row["answers"]) for row in rows}


def closed(question: Question) -> Shown:
    """The prompt without any of what the question is about."""
    return shown(question.query, (), None)


def truncated(question: Question, share: float) -> Shown:
    """The prompt with this share of the characters of what the question is about, half of them from either end."""
    asked = closed(question).text.removeprefix(INSTRUCTION)
    whole = shown(question.query, question.segments, None).text.removeprefix(INSTRUCTION).removesuffix(asked)
    kept = int(len(whole) * share)
    cut = whole if kept >= len(whole) else f"{whole[: kept - kept // 2]}\n{whole[len(whole) - kept // 2 :]}"
    text = f"{INSTRUCTION}{cut}{asked}"
    return Shown(text, text, ((0, len(text)),))
