"""Property tests of the invariants in the design: identity, strict budget, spans, protection, frozen bytes, determinism."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from specprefill_agents import CompressionConfig, CompressionResult, Compressor, Segment, Session, TokenScores
from specprefill_agents.accounting.tokens import counter_for
from specprefill_agents.prompt.render import gap_marks, render
from specprefill_agents.scoring.words import words
from tests.strategies import QUERIES, RATIOS, SEGMENTS, TEXTS

CANDIDATES = {"tool_result", "document"}


class LongWords:
    """A scorer whose importance is the length of a word: cheap, deterministic, different for every token."""

    def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
        found = [words(context) for context in contexts]
        return [
            TokenScores(
                np.array([span for _, span in part], dtype=np.int64).reshape(-1, 2),
                np.array([len(word) for word, _ in part], dtype=np.float64),
            )
            for part in found
        ]


@cache
def counter() -> object:
    return counter_for("o200k_base")


def compressor(keep_ratio: float = 0.3, **settings: object) -> Compressor:
    values = {"keep_ratio": keep_ratio, "min_tokens": 0, "min_result_tokens": 0, "on_error": "raise", **settings}
    return Compressor(config=CompressionConfig.from_dict(values), scorer=LongWords(), counter=counter(), cache="memory")  # type: ignore[arg-type]


def kept_candidates(segments: Sequence[Segment], result: CompressionResult) -> tuple[int, int]:
    """(original, kept) tokens of the candidates."""
    pairs = [(r.original_tokens, r.kept_tokens) for s, r in zip(segments, result.segments, strict=True) if s.kind in CANDIDATES]
    return sum(a for a, _ in pairs), sum(b for _, b in pairs)


@given(st.lists(SEGMENTS, max_size=4), QUERIES)
def test_keeping_everything_and_being_switched_off_are_the_identity(segments: list[Segment], query: str) -> None:
    for made in (compressor(1.0), compressor(0.2, enabled=False)):
        result = made.compress(segments, query)
        assert [segment.text for segment in result.segments] == [segment.text for segment in segments]
        assert result.usage.original_tokens == result.usage.kept_tokens


@given(st.lists(SEGMENTS, max_size=4), QUERIES, RATIOS)
def test_kept_tokens_with_their_gap_marks_never_exceed_the_budget(segments: list[Segment], query: str, ratio: float) -> None:
    result = compressor(ratio).compress(segments, query)
    for segment in result.segments:
        assert segment.kept_tokens == counter().count(segment.text)  # type: ignore[attr-defined]
    blank = sum(r.kept_tokens for s, r in zip(segments, result.segments, strict=True) if s.kind in CANDIDATES and s.text.isspace())
    original, kept = kept_candidates(segments, result)
    assert kept - blank <= int(ratio * (original - blank))


@given(st.lists(SEGMENTS, max_size=4), QUERIES, RATIOS)
def test_spans_are_sorted_disjoint_in_range_and_give_the_text(segments: list[Segment], query: str, ratio: float) -> None:
    made = compressor(ratio)
    for segment, result in zip(segments, made.compress(segments, query).segments, strict=True):
        flat = [position for span in result.spans for position in span]
        assert flat == sorted(flat)
        assert all(start < end for start, end in result.spans)
        assert not flat or (flat[0] >= 0 and flat[-1] <= len(segment.text))
        derived = render(segment.text, result.spans, gap_marks(made.config, segment.kind, result.marks, result.original_id), result.forms)
        assert result.text == (derived if result.outcome == "compressed" else segment.text)


@given(st.lists(SEGMENTS, max_size=5), QUERIES, RATIOS)
def test_protected_segments_survive_byte_for_byte(segments: list[Segment], query: str, ratio: float) -> None:
    result = compressor(ratio, exclude_tools=["secret"]).compress(segments, query)
    for segment, done in zip(segments, result.segments, strict=True):
        if segment.kind not in CANDIDATES or (segment.kind == "tool_result" and segment.name == "secret"):
            assert done.text == segment.text
            assert done.outcome == "protected"
            assert done.reason


@given(st.lists(SEGMENTS, min_size=1, max_size=6), st.lists(QUERIES, min_size=6, max_size=6), RATIOS)
def test_what_a_session_sent_stays_sent_whatever_is_asked_later(segments: list[Segment], queries: list[str], ratio: float) -> None:
    made = compressor(ratio)
    session = made.session("c")
    sent: list[str] = []
    for step in range(1, len(segments) + 1):
        texts = [segment.text for segment in session.step(segments[:step], queries[step % 6]).segments]
        assert texts[: len(sent)] == sent
        sent = texts
    restored = Session.from_dict(json.loads(json.dumps(session.to_dict())), made)
    assert [segment.text for segment in restored.step(segments, "something else").segments] == sent


@given(TEXTS, QUERIES, RATIOS)
def test_the_same_input_gives_the_same_bytes_in_another_compressor(text: str, query: str, ratio: float) -> None:
    first = compressor(ratio).compress([Segment(text)], query)
    second = compressor(ratio).compress([Segment(text)], query)
    assert first.segments == second.segments


@given(TEXTS, RATIOS)
def test_text_that_matches_force_keep_is_kept_before_anything_else(text: str, ratio: float) -> None:
    marked = f"{text}\n\nMAGIC-77 is here\n\n{text}"
    result = compressor(ratio, force_keep=["MAGIC-77"]).compress([Segment(marked)], "")
    budget = int(ratio * result.usage.original_tokens)
    if budget >= 80 and len(text) < 200:
        assert "MAGIC-77" in result.segments[0].text
