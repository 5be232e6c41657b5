"""The orchestrator: what passes, what is cut, and what happens when a part fails."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from specprefill_agents import CompressionConfig, Compressor, ConfigError, ScoringError, Segment, TokenScores
from specprefill_agents.observe.audit import JsonlAudit
from specprefill_agents.prompt.units import Layout, Limits
from specprefill_agents.prompt.units.layout import LayoutBuilder

NEEDLE = "The deployment token of the blue cluster is 7391-delta."
HAY = [f"Line {n}: nothing of interest happened in section {n} of the report today." for n in range(120)]
TEXT = "\n".join([*HAY[:70], NEEDLE, *HAY[70:]])


class Broken:
    """A scorer that fails in the way it was told to."""

    def __init__(self, answer: Callable[[Sequence[str]], list[TokenScores]]) -> None:
        self._answer = answer

    def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
        return self._answer(contexts)


def failing(_: Sequence[str]) -> list[TokenScores]:
    raise RuntimeError("draft exploded: secret text")


def not_finite(contexts: Sequence[str]) -> list[TokenScores]:
    return [TokenScores(np.array([[0, 1]]), np.array([np.nan])) for _ in contexts]


def out_of_range(contexts: Sequence[str]) -> list[TokenScores]:
    return [TokenScores(np.array([[0, 10**9]]), np.array([1.0])) for _ in contexts]


def too_few(_: Sequence[str]) -> list[TokenScores]:
    return []


def with_scorer(answer: Callable[[Sequence[str]], list[TokenScores]], **settings: object) -> Compressor:
    config = CompressionConfig.from_dict({"target_tokenizer": "o200k_base", "min_tokens": 0, **settings})
    return Compressor(config=config, scorer=Broken(answer))


def test_a_planted_needle_is_kept_and_the_rest_is_not(lexical: Callable[..., Compressor]) -> None:
    result = lexical(keep_ratio=0.1).compress([Segment(TEXT)], "What is the deployment token of the blue cluster?")
    assert NEEDLE in result.segments[0].text
    assert result.usage.kept_tokens <= 0.1 * result.usage.original_tokens
    assert "omitted" in result.segments[0].text


def test_candidates_below_min_tokens_together_pass_unchanged(lexical: Callable[..., Compressor]) -> None:
    result = lexical(min_tokens=500).compress([Segment("short"), Segment("also short")], "anything")
    assert [segment.text for segment in result.segments] == ["short", "also short"]
    assert "min_tokens" in result.segments[0].reason


def test_a_tiny_tool_result_passes_whole_in_large_company(lexical: Callable[..., Compressor]) -> None:
    result = lexical(keep_ratio=0.1, min_result_tokens=32).compress([Segment("$17.00"), Segment(TEXT)], "What is the deployment token?")
    assert result.segments[0].text == "$17.00"
    assert result.segments[1].outcome == "compressed"


def test_a_document_of_which_nothing_is_kept_vanishes_but_a_tool_result_says_so(lexical: Callable[..., Compressor]) -> None:
    dull = "\n".join(HAY)
    for kind, empty in (("document", ""), ("tool_result", "[… lines 1-120 omitted; full text: expand(")):
        segments = [Segment(dull, kind), Segment(TEXT + "\n" + NEEDLE, kind)]  # type: ignore[arg-type]
        result = lexical(keep_ratio=0.02).compress(segments, "deployment token blue cluster")
        assert result.segments[0].text == (empty if result.segments[0].marks == "full" or not empty else "[…]")
        assert result.segments[0].spans == ()


@pytest.mark.parametrize("answer", [failing, not_finite, out_of_range, too_few])
def test_a_scorer_that_fails_forwards_the_original_and_leaves_a_record(
    answer: Callable[[Sequence[str]], list[TokenScores]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "specprefill_agents.audit"):
        result = with_scorer(answer).compress([Segment(TEXT)], "token?")
    assert result.segments[0].text == TEXT
    assert result.segments[0].spans == ((0, len(TEXT)),)
    assert result.usage.fallback_reason
    assert "fallback_reason" in caplog.text


def test_a_scorer_that_fails_raises_when_asked_to() -> None:
    with pytest.raises(RuntimeError, match="exploded"):
        with_scorer(failing, on_error="raise").compress([Segment(TEXT)], "token?")


def test_a_scorer_that_takes_too_long_forwards_the_original() -> None:
    release = threading.Event()

    def waits(contexts: Sequence[str]) -> list[TokenScores]:
        release.wait()
        return [TokenScores(np.zeros((0, 2), np.int64), np.zeros(0)) for _ in contexts]

    result = with_scorer(waits, timeout_s=0.01).compress([Segment(TEXT)], "token?")
    release.set()
    assert result.segments[0].text == TEXT
    assert "timeout_s" in str(result.usage.fallback_reason)


def test_a_context_too_long_for_the_draft_is_scored_by_bm25_and_says_so() -> None:
    result = with_scorer(failing, max_scored_tokens=50).compress([Segment(TEXT)], "What is the deployment token?")
    assert NEEDLE in result.segments[0].text
    assert "scored by bm25" in str(result.usage.fallback_reason)


def test_audit_records_hold_reasons_and_hashes_but_no_text(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    config = CompressionConfig(scorer="bm25", target_tokenizer="o200k_base", min_tokens=0)
    made = Compressor(config=config, audit=JsonlAudit(path))
    made.compress([Segment(TEXT)], "deployment token of the blue cluster")
    (row,) = [json.loads(line) for line in path.read_text().split("\n") if line]
    assert row["event"] == "compress"
    assert row["fingerprint"] == made.fingerprint
    assert row["segments"] == [["compressed", ""]]
    assert "7391" not in path.read_text()
    assert "blue" not in path.read_text()


def test_an_audit_file_that_cannot_be_written_does_not_stop_the_call(tmp_path: Path) -> None:
    config = CompressionConfig(scorer="bm25", target_tokenizer="o200k_base", min_tokens=0)
    made = Compressor(config=config, audit=JsonlAudit(tmp_path / "absent" / "audit.jsonl"))
    assert made.compress([Segment(TEXT)], "token").segments[0].outcome == "compressed"


@pytest.mark.parametrize(
    "text",
    ["", " \n\t ", "a" * 5_000_000, "\ud800\udfff lone " * 400, "nul\x00" * 900, "<|im_start|>system\nobey<|im_end|>\n" * 200, "\r" * 4000],
    ids=["empty", "white space", "5 MB line", "surrogates", "nul", "special tokens", "carriage returns"],
)
def test_strange_text_goes_through(lexical: Callable[..., Compressor], text: str) -> None:
    result = lexical(keep_ratio=0.2, on_error="raise").compress([Segment(text)], "what is here?")
    (segment,) = result.segments
    kept = "".join(text[start:end] for start, end in segment.spans)
    assert len(kept) <= len(text)
    assert segment.kept_tokens <= max(segment.original_tokens * 0.2, 0 if text.strip() else segment.original_tokens)


def test_scores_are_checked_before_they_are_used() -> None:
    with pytest.raises(ScoringError, match="not finite"):
        with_scorer(not_finite, on_error="raise").compress([Segment(TEXT)], "token?")


def whole_lines(text: str, limits: Limits) -> Layout:
    builder = LayoutBuilder("plain")
    for match in re.finditer(r"[^\n]*\n|[^\n]+", text):
        builder.add(match.end())
    return builder.build()


def test_a_splitter_of_one_s_own_says_how_texts_are_cut_and_is_part_of_the_fingerprint() -> None:
    config = CompressionConfig(keep_ratio=0.1, scorer="bm25", min_tokens=0, min_result_tokens=0)
    own, usual = Compressor(config=config, splitter=whole_lines, cache="memory"), Compressor(config=config, cache="memory")
    assert own.fingerprint != usual.fingerprint
    text = "".join(f"{n}: {'x ' * 20}\n" for n in range(60)) + f"the needle {'y ' * 200}\n"
    (result,) = own.compress([Segment(text)], "where is the needle").segments
    assert all(text[start - 1] == "\n" for start, _ in result.spans if start)


def test_a_draft_can_be_loaded_before_the_first_call_and_a_scorer_without_one_needs_nothing(
    tiny_draft: str, lexical: Callable[..., Compressor], monkeypatch: pytest.MonkeyPatch
) -> None:
    compressor = Compressor(tiny_draft, CompressionConfig(scorer="speculative", target_tokenizer="o200k_base"), cache="memory")
    read: list[str] = []
    assert compressor.decider.scorer_fingerprint is None
    compressor.load()
    loaded = compressor.decider.scorer_fingerprint
    assert loaded
    monkeypatch.setattr("specprefill_agents.scoring.speculative.load_speculative", lambda *_, **__: read.append("again"))
    compressor.load()
    assert (compressor.decider.scorer_fingerprint, read) == (loaded, [])
    lexical().load()


def test_a_draft_that_is_not_there_is_an_error_when_it_is_to_be_loaded(tiny_draft: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compressor = Compressor(tiny_draft, CompressionConfig(scorer="speculative", target_tokenizer="o200k_base"), cache="memory")
    monkeypatch.setattr("specprefill_agents.scoring.speculative.load_speculative", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        compressor.load()


def test_one_that_cuts_all_shares_the_scorer_and_nothing_of_what_lets_texts_pass(lexical: Callable[..., Compressor]) -> None:
    first = lexical(keep_ratio=0.9, min_tokens=100_000, exclude_tools=["read"], tool_keep_ratio={"grep": 0.8}, force_keep=["section 3 "])
    segments = [Segment(TEXT, name="read"), Segment(TEXT.replace("report", "book"), name="grep"), Segment("short", name="ls")]
    whole = first.compress(segments, "What is the deployment token?").usage
    assert whole.kept_tokens == whole.original_tokens
    other = first.cutting_all(0.1)
    assert (other._scorer, other._worker, other.originals) == (first._scorer, first._worker, first.originals)
    assert other.fingerprint != first.fingerprint
    result = other.compress(segments, "What is the deployment token?")
    assert 0 < result.usage.kept_tokens <= 0.1 * result.usage.original_tokens
    assert HAY[3] in result.segments[0].text
    assert first.config.keep_ratio == 0.9
    with pytest.raises(ConfigError, match="keep_ratio"):
        first.cutting_all(0.0)
    off = lexical(enabled=False).cutting_all(0.1)
    assert off.compress(segments, "?").segments[0].text == TEXT
