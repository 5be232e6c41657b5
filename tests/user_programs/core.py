"""A program as a user may write it, which names everything that specprefill_agents makes public.

`make check` reads it with `mypy --strict`, the tests run it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from typing_extensions import assert_type

from specprefill_agents import (
    CompressedSegment,
    CompressionConfig,
    CompressionResult,
    Compressor,
    ConfigError,
    DraftError,
    DraftFetchError,
    Guard,
    Guardrails,
    NotKeptError,
    Originals,
    Scorer,
    ScoringError,
    Segment,
    Session,
    Span,
    SpecPrefillError,
    TargetError,
    TokenScores,
    Turn,
    UnknownDraftError,
    Usage,
    __version__,
    expand,
    load_guardrails,
)

KNOWN: tuple[type[SpecPrefillError], ...] = (ConfigError, DraftError, DraftFetchError, NotKeptError, ScoringError, TargetError)


class LongWords:
    """A scorer of one's own: the longer a word, the more it matters."""

    def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
        """As every scorer."""
        return [self._scores(context) for context in contexts]

    def _scores(self, context: str) -> TokenScores:
        spans: list[Span] = []
        start = 0
        for word in context.split(" "):
            spans.append((start, start + len(word)))
            start += len(word) + 1
        offsets = np.asarray(spans, np.int64).reshape(-1, 2)
        return TokenScores(offsets, (offsets[:, 1] - offsets[:, 0]).astype(np.float64))


def compressed(log: str, question: str) -> CompressedSegment:
    """What a target should read of a log."""
    scorer: Scorer = LongWords()
    config = CompressionConfig(keep_ratio=0.3, min_tokens=0, min_result_tokens=0, target_tokenizer="o200k_base")
    compressor = Compressor(config=config, scorer=scorer, cache="memory")
    result = compressor.compress([Segment(log, "tool_result", name="read_file")], question)
    assert_type(result, CompressionResult)
    assert_type(result.usage, Usage)
    return result.segments[0]


def conversation(outputs: Sequence[str], rules: Path) -> tuple[str, str | None]:
    """The last output of an agent loop as sent, after two steps in two sessions, and the whole of it again."""
    guardrails = load_guardrails(rules)
    assert_type(guardrails, Guardrails)
    with Originals.in_memory() as originals:
        compressor = Compressor(scorer=LongWords(), originals=originals, guardrails=Guard(guardrails), cache="memory")
        session = compressor.session("conversation-42", model_id="a-model")
        segments = tuple(Segment(text, name="read_file", id=str(number)) for number, text in enumerate(outputs))
        session.steps([Turn(segments[:1], "What is first?"), Turn(segments, "What is last?")])
        continued = Session.from_dict(session.to_dict(), compressor)
        last = continued.step(segments, "What is last?").segments[-1]
        return last.text, expand(originals, last.original_id) if last.original_id else None


def advice(draft: str) -> str:
    """What to tell a user who asked for a draft."""
    try:
        return f"{Compressor(draft).draft} of {__version__}"
    except UnknownDraftError as error:
        return str(error)
    except KNOWN as error:
        return type(error).__name__
