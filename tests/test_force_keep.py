"""What must survive: patterns, functions and spans, with what they drag along, within the budget or beyond it."""

from __future__ import annotations

import re

import pytest

from specprefill_agents import CompressionConfig, Compressor, ConfigError, Segment
from specprefill_agents.types import Span

LINES = [f"worker {n} started with {n * 7} tasks and nothing to report about it\n" for n in range(90)]
LOG = "".join(LINES)


def numbers_of_worker_seven(segment: Segment) -> list[Span]:
    return [match.span() for match in re.finditer(r"worker 7[0-9] ", segment.text)]


def outside(segment: Segment) -> list[Span]:
    return [(0, len(segment.text) + 1)]


def compressor(**settings: object) -> Compressor:
    config = {"scorer": "bm25", "min_tokens": 0, "min_result_tokens": 0, "keep_ratio": 0.1, **settings}
    return Compressor(config=CompressionConfig.from_dict(config), cache="memory")


def test_what_a_pattern_matches_is_kept_even_across_two_lines() -> None:
    result = compressor(force_keep=[r"worker 41 .*\nworker 42 "]).compress([Segment(LOG)], "zebras?")
    assert "worker 41 started" in result.segments[0].text
    assert "worker 42 started" in result.segments[0].text
    assert result.usage.kept_tokens <= 0.1 * result.usage.original_tokens


def test_a_function_says_what_is_kept() -> None:
    result = compressor(force_keep=[numbers_of_worker_seven]).compress([Segment(LOG)], "zebras?")
    assert all(f"worker 7{n} started" in result.segments[0].text for n in range(10))


def test_the_spans_of_a_segment_are_kept() -> None:
    start = LOG.index("worker 55")
    result = compressor().compress([Segment(LOG, keep=((start, start + 9),))], "zebras?")
    assert LINES[55] in result.segments[0].text


def test_what_must_survive_does_so_beyond_the_budget_and_the_result_says_so() -> None:
    result = compressor(force_keep=[r"worker [1-4]\d "]).compress([Segment(LOG)], "zebras?")
    assert all(line in result.segments[0].text for line in LINES[10:50])
    assert result.usage.kept_tokens > 0.1 * result.usage.original_tokens
    assert result.usage.note is not None
    assert f"{result.usage.kept_tokens} tokens, more than the budget" in result.usage.note


def test_a_span_outside_the_text_leaves_the_text_alone_and_is_said() -> None:
    result = compressor(force_keep=[outside]).compress([Segment(LOG)], "zebras?")
    assert result.segments[0].text == LOG
    assert "does not lie in a text" in (result.usage.fallback_reason or "")


def test_the_fingerprint_knows_a_function_by_its_name() -> None:
    named = CompressionConfig(force_keep=(numbers_of_worker_seven,))
    assert named.fingerprint() == CompressionConfig(force_keep=(numbers_of_worker_seven,)).fingerprint()
    assert named.fingerprint() != CompressionConfig(force_keep=(outside,)).fingerprint()


@pytest.mark.parametrize("rule", [lambda segment: [(0, len(segment.text))], 7, None])
def test_a_rule_without_a_name_is_refused(rule: object) -> None:
    with pytest.raises(ConfigError, match="force_keep"):
        CompressionConfig(force_keep=(rule,))  # type: ignore[arg-type]
