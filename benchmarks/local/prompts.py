"""Conversations to measure on: an agent that reads one part of the standard library's text after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.speed.plan import CHARS_PER_TOKEN
from benchmarks.speed.text import questions, stdlib_text
from specprefill_agents import CompressedSegment, Segment
from specprefill_agents.prompt.query import CallContext, build_query
from specprefill_agents.targets.chat_template import ChatTurn
from specprefill_agents.targets.tools import ToolCall

SYSTEM = "You read the parts of a manual that you need, then answer in one sentence."
MARGIN = 64
"""Characters beyond an estimate, so that a short text too has the tokens it is cut to."""


class Texts:
    """Parts of one long text, each handed out once, so that no cache knows them."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._at = 0

    def take(self, tokens: int) -> str:
        """The next text of so many tokens."""
        size = CHARS_PER_TOKEN * tokens + MARGIN
        text = stdlib_text(self._at + size)[self._at :]
        offsets = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
        end = int(offsets[tokens - 1][1])
        self._at += end
        return text[:end]


def question(number: int) -> str:
    """A question; another for each number, as far as there are."""
    known = questions()
    return known[number % len(known)]


def query_of(asked: str, part: int) -> str:
    """What a scorer is asked when part number `part` was read for the question."""
    return build_query(asked, [CallContext("read", {"part": part}, "")])


def segment_of(text: str, part: int) -> Segment:
    """A part as a compressor gets it."""
    return Segment(text, "tool_result", "read", f"call{part}", call=f"read({part})")


def conversation(asked: str, outputs: Sequence[tuple[str, CompressedSegment | None]]) -> list[ChatTurn]:
    """The turns up to the answer; of each output with a decision its short form, with the whole of it for restored positions."""
    turns = [ChatTurn("system", SYSTEM), ChatTurn("user", asked)]
    for part, (text, decided) in enumerate(outputs):
        identifier = f"call{part}"
        whole = (text, decided.spans) if decided and not decided.recalled else None
        turns.append(ChatTurn("assistant", "", (ToolCall("read", {"part": part}, identifier),)))
        turns.append(ChatTurn("tool", decided.text if decided else text, (), "read", identifier, whole))
    return turns
