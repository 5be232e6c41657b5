"""Audited conversations: what several tests of audit logs have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from specprefill_agents import CompressionConfig, CompressionResult, Compressor, Originals, Segment, TokenScores
from specprefill_agents.observe.audit import JsonlAudit

SETTINGS: dict[str, Any] = {
    "scorer": "bm25",
    "min_tokens": 0,
    "min_result_tokens": 0,
    "keep_ratio": 0.2,
    "target_tokenizer": "o200k_base",
}
RECORDS = "\n".join(f"Record {n}: the value of entry {n} is {n * n}." for n in range(80))
BASINS = "\n".join(f"Basin {n}: the depth at mooring {n} is {n * 7} metres." for n in range(80))
WORDS = ("zebra", "giraffe", "mooring", "Record 7", "entry 33", "walrus")
"""Of texts, questions and arguments: what a log without text must not hold."""


class Broken:
    """A scorer that quotes what it was given when it fails."""

    def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
        raise RuntimeError(f"cannot read {contexts[0][:100]!r}")


def audited(path: Path, originals: Originals | None = None, *, include_text: bool = False, **settings: Any) -> Compressor:
    """A compressor that leaves its records at `path`, and its originals in the store given or in the user's."""
    config = CompressionConfig.from_dict(SETTINGS | settings)
    return Compressor(config=config, audit=JsonlAudit(path, include_text=include_text), originals=originals)


def conversation(compressor: Compressor) -> list[CompressionResult]:
    """Three steps: an output, the same again, and others, one of which has parts of the first brought back."""
    session = compressor.session("conversation-1", model_id="deepseek-chat")
    first = Segment(RECORDS, name="read_file", id="call-1", call='read_file("zebra.txt")')
    again = Segment(RECORDS, name="read_file", id="call-2", call='read_file("giraffe.txt")')
    other = Segment(BASINS, name="depths", id="call-3", call='depths("walrus")')
    error = Segment("no such file: walrus.txt", "tool_error", "read_file", "call-4")
    return [
        session.step([first], "what is the value of entry 7"),
        session.step([first, again], "what is the value of entry 7"),
        session.step([first, again, other, error], "the value of entry 33 in Record 33"),
    ]
