"""The attention-key index: exact capture, undone hooks, independence of order, batch and company, and what it finds."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from specprefill_agents import CompressionConfig, Compressor, DraftError, Segment
from specprefill_agents.draft.capture import HeadCapture
from specprefill_agents.draft.loading import Draft, load_draft
from specprefill_agents.scoring.key_index import KeyIndexScorer, attention_mass, average_pool, load_key_index, overlapping_rows, quantize
from specprefill_agents.scoring.presets import HeadPreset, load_presets
from specprefill_agents.storage.layered import ScorerCaches
from specprefill_agents.storage.memory import MemoryKeyCache
from specprefill_agents.storage.score_cache import ScoreCache

TINY = HeadPreset("tiny", heads=((0, 1), (1, 3)), prefix="<|im_start|>", match=())


@pytest.fixture(scope="module")
def draft(tiny_draft: str) -> Draft:
    return load_draft(tiny_draft, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def embedded(embedded_draft: str) -> KeyIndexScorer:
    scorer = load_key_index(embedded_draft, device="cpu")
    assert isinstance(scorer, KeyIndexScorer)
    return scorer


def test_captured_vectors_are_the_pre_rope_projections(draft: Draft) -> None:
    ids = torch.tensor([[3, 4, 5, 6]])
    layer = draft.model.layers[0]
    hidden = layer.input_layernorm(draft.model.embed_tokens(ids))
    size = draft.model.config.head_dim
    with HeadCapture(draft.model, [(0, 1), (0, 3)], "query") as capture:
        queries = capture.run(ids)
    with HeadCapture(draft.model, [(0, 1), (0, 3)], "key") as capture:
        keys = capture.run(ids)
    projected = layer.self_attn.q_proj(hidden).reshape(1, 4, -1, size)
    assert torch.equal(queries, torch.stack([projected[:, :, 1], projected[:, :, 3]]))
    grouped = layer.self_attn.k_proj(hidden).reshape(1, 4, -1, size)
    assert torch.equal(keys, torch.stack([grouped[:, :, 0], grouped[:, :, 1]])), "heads 1 and 3 of 4 read key heads 0 and 1 of 2"


def test_no_hook_is_left_behind_even_after_a_failure(draft: Draft) -> None:
    with pytest.raises(IndexError), HeadCapture(draft.model, [(1, 0)], "key") as capture:
        capture.run(torch.tensor([[10**6]]))
    hooks = [module for module in draft.model.modules() if module._forward_hooks]
    assert hooks == []


def test_a_model_without_projections_to_hook_is_refused(draft: Draft) -> None:
    class Fused(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            block = torch.nn.Module()
            block.self_attn = torch.nn.Module()
            self.layers = torch.nn.ModuleList([block])

    with pytest.raises(DraftError, match="k_proj"), HeadCapture(Fused(), [(0, 0)], "key"):
        pass


def test_quantized_keys_differ_by_at_most_half_a_step() -> None:
    vectors = np.random.default_rng(0).normal(size=(2, 50, 8)).astype(np.float32)
    keys, scales = quantize(vectors)
    assert np.abs(keys * scales[..., None] - vectors).max() <= scales.max() / 2 + 1e-6
    assert quantize(np.zeros((1, 3, 4), np.float32))[0].tolist() == [[[0] * 4] * 3]


def test_mass_is_one_softmax_over_all_contexts_of_the_call(draft: Draft) -> None:
    scorer = KeyIndexScorer(draft, TINY)
    contexts = [scorer.read("first context"), scorer.read("another, longer context")]
    queries = np.random.default_rng(1).normal(size=(2, 1, draft.model.config.head_dim)).astype(np.float32)
    masses = attention_mass(queries, contexts)
    assert math.isclose(sum(mass.sum() for mass in masses), 2.0, rel_tol=1e-9), "one row: each head spends a mass of one"
    swapped = attention_mass(queries, contexts[::-1])
    assert [mass.tolist() for mass in swapped[::-1]] == [mass.tolist() for mass in masses]


def test_average_pool_counts_the_padding() -> None:
    assert average_pool(np.array([3.0, 0, 0, 0, 3]), 3).tolist() == [1, 1, 0, 1, 1]
    assert average_pool(np.zeros(0), 13).tolist() == []


def test_rows_are_the_tokens_that_overlap_a_content_word() -> None:
    offsets = np.array([[0, 3], [3, 4], [4, 6], [6, 9]])
    assert overlapping_rows(offsets, [(0, 3), (5, 7)]).tolist() == [0, 2, 3]
    assert overlapping_rows(offsets, []).tolist() == []


def test_scores_do_not_depend_on_order_or_on_the_cache(draft: Draft) -> None:
    scorer = KeyIndexScorer(draft, TINY, ScorerCaches.of(None, "r", "f"), window_tokens=16)
    contexts = ["a first text of some length", "another one " * 9, "", "third"]
    fresh = scorer.score(contexts, "some length?")
    again = scorer.score(contexts[::-1], "some length?")[::-1]
    assert [score.scores.tolist() for score in fresh] == [score.scores.tolist() for score in again]
    assert [score.cached for score in fresh] == [False] * 4
    assert [score.cached for score in again] == [True] * 4


def test_another_process_finds_keys_query_and_scores_on_disk(draft: Draft, tmp_path: Path) -> None:
    contexts, query = ["a first text of some length", "another one"], "some length?"
    first = KeyIndexScorer(draft, TINY, ScorerCaches.of(ScoreCache(tmp_path / "c"), "r", "f")).score(contexts, query)
    disk = ScoreCache(tmp_path / "c")
    again = KeyIndexScorer(draft, TINY, ScorerCaches.of(disk, "r", "f")).score(contexts[::-1], query)[::-1]
    assert [score.scores.tolist() for score in again] == [score.scores.tolist() for score in first]
    assert all(score.cached for score in again)
    assert (disk.stats.hits, disk.stats.misses) == (1, 0), "the scores of the whole call are one row"


def test_a_context_keeps_its_keys_whatever_company_it_is_in(draft: Draft) -> None:
    scorer = KeyIndexScorer(draft, TINY, window_tokens=16)
    alone = scorer.read("x" * 40)
    assert alone.keys.tolist() == scorer.read("x" * 40).keys.tolist()
    assert alone.keys.shape == (2, 40, draft.model.config.head_dim)


def test_special_token_strings_in_a_context_are_read_as_plain_text(draft: Draft) -> None:
    encoding = draft.encode("<|im_start|>a")
    assert len(encoding.ids) == len("<|im_start|>a")
    assert not set(encoding.ids.tolist()) & {0, 1, 2}


def test_lone_surrogates_keep_their_place_in_the_offsets(draft: Draft) -> None:
    text = "a\ud800b\udfff"
    assert draft.encode(text).offsets[-1].tolist() == [3, 4]


@pytest.mark.parametrize("query", ["", "   ", "the of and", "?!", "word " * 2000])
def test_any_query_gives_finite_scores(draft: Draft, query: str) -> None:
    (scores,) = KeyIndexScorer(draft, TINY).score(["some context to look at"], query)
    assert np.isfinite(scores.scores).all()
    assert scores.scores.max() > 0


def test_the_memory_cache_drops_the_least_recently_used_keys(draft: Draft) -> None:
    keys = KeyIndexScorer(draft, TINY).read("twelve chars")
    cache = MemoryKeyCache(max_bytes=2 * keys.nbytes)
    cache.put("a", keys)
    cache.put("b", keys)
    assert cache.get("a") is keys
    cache.put("c", keys)
    assert cache.get("b") is None
    assert cache.get("a") is keys


def test_a_draft_without_a_preset_is_refused_by_name(tiny_draft: str) -> None:
    with pytest.raises(DraftError, match="smollm2-135m"):
        load_key_index(tiny_draft)


def test_every_shipped_preset_names_existing_heads() -> None:
    presets = load_presets()
    assert "smollm2-135m" in {preset.name for preset in presets}
    for preset in presets:
        fields = dict(preset.match)
        assert all(head < fields["num_attention_heads"] for _, head in preset.heads)


def test_the_embedded_draft_stops_after_the_deepest_head(embedded: KeyIndexScorer) -> None:
    assert len(embedded._draft.model.layers) == 19


def test_the_embedded_draft_finds_a_needle_that_shares_few_words_with_the_question(embedded: KeyIndexScorer) -> None:
    filler = [f"Paragraph {n} describes the weather over the hills, the harvest and the village school in calm words." for n in range(60)]
    needle = "Marie Dubois was born on 3 May 1911 in a small town near Lyon."
    text = "\n".join([*filler[:37], needle, *filler[37:]])
    config = CompressionConfig(keep_ratio=0.1, target_tokenizer="o200k_base", min_tokens=0, on_error="raise")
    result = Compressor(config=config, scorer=embedded).compress([Segment(text)], "What is the birth date of Ms Dubois?")
    assert needle in result.segments[0].text


def test_a_second_question_over_the_same_context_reads_nothing_again(embedded: KeyIndexScorer) -> None:
    config = CompressionConfig(target_tokenizer="o200k_base", min_tokens=0)
    scorer = KeyIndexScorer(embedded._draft, embedded._preset, ScorerCaches.of(None, "r", "f"))
    made = Compressor(config=config, scorer=scorer)
    text = "The parcel was sent on Monday. It weighed four kilograms.\n" * 3
    assert made.compress([Segment(text)], "When was it sent?").usage.cache_hits == 0
    assert made.compress([Segment(text)], "How heavy was it?").usage.cache_hits == 1
