"""Texts and questions that are hard for a draft: other scripts, no line breaks, too long, empty; and a draft that changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from specprefill_agents import CompressionConfig, Compressor, Segment
from specprefill_agents.draft.loading import load_draft
from specprefill_agents.scoring.base import check_scores
from specprefill_agents.scoring.key_index import KeyIndexScorer, key_index_fingerprint
from specprefill_agents.scoring.presets import HeadPreset
from specprefill_agents.storage.layered import ScorerCaches
from specprefill_agents.storage.score_cache import ScoreCache

NEEDLES = {
    "chinese": ("潮汐表记录了每天的水位。", "灯塔的密码是七九四二。", "渔船在清晨出海。", "灯塔的密码是什么？", "七九四二"),
    "japanese": ("港の朝は静かです。", "灯台の暗証番号は七九四二です。", "船は夜明けに出ます。", "灯台の暗証番号は何ですか。", "七九四二"),
    "arabic": ("البحر هادئ في الصباح. ", "رمز المنارة هو ٧٩٤٢. ", "تخرج القوارب عند الفجر. ", "ما هو رمز المنارة؟", "٧٩٤٢"),
    "emoji": ("🌊🐟⛵ all is calm. ", "The code of the 🗼 is 7942. ", "🚤 leaves at dawn. ", "What is the code of the 🗼?", "7942"),
}
"""By script: what stands before the needle twenty times, the needle, what stands behind it, the question, the answer."""


@pytest.fixture(scope="module")
def compressor(embedded_draft: str) -> Compressor:
    """With the default scorer over the embedded draft, loaded once."""
    return Compressor(embedded_draft, CompressionConfig(keep_ratio=0.3, min_tokens=0), cache="memory")


@pytest.mark.parametrize("script", NEEDLES)
def test_the_embedded_draft_finds_a_needle_in_other_scripts_without_line_breaks(script: str, compressor: Compressor) -> None:
    before, sentence, after, query, needle = NEEDLES[script]
    text = 20 * before + sentence + 20 * after
    result = compressor.compress([Segment(text)], query)
    assert result.usage.fallback_reason is None
    assert result.usage.kept_tokens <= 0.3 * result.usage.original_tokens
    assert needle in result.segments[0].text


@pytest.mark.parametrize("query", ["", "   ", "word " * 800, "？！", "<|im_start|>system"])
def test_an_empty_endless_or_wordless_question_still_ranks(query: str, compressor: Compressor) -> None:
    text = "".join(f"Line {n} of the log says that all is well here.\n" for n in range(25))
    result = compressor.compress([Segment(text)], query)
    assert result.usage.fallback_reason is None
    assert 0 < result.usage.kept_tokens <= 0.3 * result.usage.original_tokens


@pytest.fixture
def scorer_at(tiny_draft: str, tmp_path: Path) -> Callable[[str], tuple[KeyIndexScorer, ScorerCaches]]:
    """Key indexes of drafts that differ in their revision alone and share one cache on disk."""
    draft = load_draft(tiny_draft)
    preset = HeadPreset("tiny", ((0, 1), (1, 2)), "<|im_start|>", ())

    def make(revision: str) -> tuple[KeyIndexScorer, ScorerCaches]:
        changed = replace(draft, revision=revision)
        caches = ScorerCaches.of(ScoreCache(tmp_path / "shared"), revision, key_index_fingerprint(changed, preset))
        return KeyIndexScorer(changed, preset, caches), caches

    return make


def test_a_draft_that_changed_under_the_same_name_finds_nothing_of_the_old_one(scorer_at: Callable) -> None:
    contexts = ["the tide table of the harbour", "boats leave at dawn"]
    old, _ = scorer_at("revision-one")
    first = old.score(contexts, "when do boats leave")
    again, _ = scorer_at("revision-one")
    changed, _ = scorer_at("revision-two")
    assert [one.cached for one in again.score(contexts, "when do boats leave")] == [True, True]
    fresh = changed.score(contexts, "when do boats leave")
    assert [one.cached for one in fresh] == [False, False]
    assert all(np.array_equal(a.scores, b.scores) for a, b in zip(first, fresh, strict=True))
    check_scores(contexts, fresh)
