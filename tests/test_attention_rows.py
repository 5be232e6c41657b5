"""Attention rows on small random models of each architecture: equal to eager attention, cheap, undone, refused if inexact."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModelForCausalLM

from specprefill_agents import ConfigError, DraftError
from specprefill_agents.draft.attention_rows import IMPLEMENTATION, AttentionRows, full_attention_layers
from specprefill_agents.draft.loading import Draft
from specprefill_agents.draft.look_ahead import LookAhead
from tests.small_models import SMALL_MODELS, small_model

TOKENS = 23


@pytest.fixture(params=SMALL_MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    """A small random causal model of each architecture, with SDPA."""
    return small_model(request.param)


def prompt(tokens: int = TOKENS, batch: int = 1) -> Tensor:
    return torch.randint(3, 64, (batch, tokens), generator=torch.Generator().manual_seed(1))


def eager_attentions(model: Any, ids: Tensor, **inputs: Any) -> dict[int, Tensor]:
    """Layer -> probabilities (B, H, S, S) of a plain eager pass, full-attention layers only."""
    model.set_attn_implementation("eager")
    try:
        attentions = model(input_ids=ids, output_attentions=True, use_cache=False, **inputs).attentions
    finally:
        model.set_attn_implementation("sdpa")
    return {layer: attentions[layer] for layer in sorted(full_attention_layers(model))}


def as_draft(model: Any) -> Draft:
    class NoTokenizer:
        eos_token_id = None

    return Draft("small", "0", model, NoTokenizer(), torch.device("cpu"), torch.float32)


def largest_difference(rows: dict[Any, Tensor], expected: dict[Any, Tensor]) -> float:
    assert rows.keys() == expected.keys()
    assert max(float(row.std()) for row in expected.values()) > 0.01, "a flat softmax would prove nothing"
    return max(float((rows[name] - expected[name]).abs().max()) for name in rows)


@torch.inference_mode()
def test_rows_equal_eager_attention(model: Any) -> None:
    rows: dict[int, Tensor] = {}
    with AttentionRows(model) as capture:
        capture.run(TOKENS, rows.__setitem__, input_ids=prompt(batch=2), use_cache=False)
    expected = {layer: every[:, :, -1] for layer, every in eager_attentions(model, prompt(batch=2)).items()}
    assert largest_difference(rows, expected) < 1e-5


@torch.inference_mode()
def test_rows_equal_eager_attention_behind_left_padding(model: Any) -> None:
    mask = torch.ones(2, TOKENS, dtype=torch.long)
    mask[1, :7] = 0
    rows: dict[int, Tensor] = {}
    with AttentionRows(model) as capture:
        capture.run(TOKENS, rows.__setitem__, input_ids=prompt(batch=2), attention_mask=mask, use_cache=False)
    expected = {layer: every[:, :, -1] for layer, every in eager_attentions(model, prompt(batch=2), attention_mask=mask).items()}
    assert largest_difference(rows, expected) < 1e-5
    assert all(float(row[1, :, :7].abs().max()) == 0 for row in rows.values())


@torch.inference_mode()
@pytest.mark.parametrize("prefill_tokens", [1, 5, 11, 1024])
def test_rows_after_chunked_prefill_and_look_ahead_equal_eager_attention(model: Any, prefill_tokens: int) -> None:
    rows: dict[tuple[int, int], Tensor] = {}

    def consume(row: int, layer: int, probabilities: Tensor) -> None:
        rows[row, layer] = probabilities

    assert LookAhead(4, prefill_tokens).read(as_draft(model), prompt()[0], consume) == 4
    ids = prompt()
    for _ in range(3):
        ids = torch.cat([ids, model(input_ids=ids, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
    expected = {}
    for layer, every in eager_attentions(model, ids).items():
        for row in range(4):
            over_prompt = every[0, :, TOKENS - 1 + row, :TOKENS]
            expected[row, layer] = over_prompt / over_prompt.sum(-1, keepdim=True)
    assert largest_difference(rows, expected) < 1e-5


@torch.inference_mode()
def test_the_attention_function_comes_back_and_the_model_answers_as_before(model: Any) -> None:
    before = model(input_ids=prompt()).logits
    with AttentionRows(model) as capture:
        assert model.config._attn_implementation == IMPLEMENTATION
        within = capture.run(TOKENS, lambda *_: None, input_ids=prompt()).logits
    assert model.config._attn_implementation == "sdpa"
    assert torch.equal(model(input_ids=prompt()).logits, before)
    assert torch.equal(within, before), "the rows are computed beside SDPA, not instead of it"


@pytest.mark.parametrize("former", ["eager", "sdpa"])
def test_the_attention_function_comes_back_after_a_failure(former: str) -> None:
    model = small_model("llama")
    model.set_attn_implementation(former)

    def fail(_layer: int, _row: Tensor) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"), AttentionRows(model) as capture:
        capture.run(TOKENS, fail, input_ids=prompt())
    assert model.config._attn_implementation == former
    rows: list[int] = []
    with AttentionRows(model) as capture:
        model(input_ids=prompt())
        assert rows == [], "a pass outside `run` gives no rows"
        capture.run(TOKENS, lambda layer, _: rows.append(layer), input_ids=prompt())
    assert rows == [0, 1, 2]


def test_a_model_is_captured_by_one_thread_at_a_time_and_another_s_pass_gives_no_rows() -> None:
    model = small_model("llama")
    rows: list[int] = []
    entered = threading.Event()

    def enter() -> None:
        with AttentionRows(model):
            entered.set()

    second = threading.Thread(target=enter)
    with AttentionRows(model) as capture:
        second.start()

        def consume(layer: int, _row: Tensor) -> None:
            other = threading.Thread(target=lambda: model(input_ids=prompt()))
            other.start()
            other.join()
            rows.append(layer)

        capture.run(TOKENS, consume, input_ids=prompt())
        assert rows == [0, 1, 2]
        assert not entered.is_set()
    second.join()
    assert entered.is_set()
    assert model.config._attn_implementation == "sdpa"


@torch.inference_mode()
def test_no_matrix_of_prompt_by_prompt_is_ever_made() -> None:
    tokens, sizes = 400, [0]

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            sizes.extend(part.numel() for part in (result if isinstance(result, tuple) else (result,)) if isinstance(part, Tensor))
            return result

    model = small_model("llama")
    with AttentionRows(model) as capture, Sizes():
        capture.run(tokens, lambda *_: None, input_ids=prompt(tokens), use_cache=False, logits_to_keep=1)
    assert 0 < max(sizes) < tokens * tokens / 4


@pytest.mark.parametrize("kind", ["gemma2", "gpt_oss", "granite_swa", "bloom"])
def test_a_model_whose_attention_sdpa_cannot_compute_is_refused(kind: str) -> None:
    with pytest.raises(DraftError, match=r"ForCausalLM computes attention in a way that SDPA does not .*sinks or soft-capped"):
        AttentionRows(small_model(kind))


@pytest.mark.parametrize(("kind", "what"), [("gemma2", "soft-capped logits"), ("gpt_oss", "attention sinks")])
def test_inexact_attention_is_refused_in_the_pass_too(kind: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model(kind)
    monkeypatch.setattr(type(model), "_supports_sdpa", True)
    with pytest.raises(DraftError, match=what), AttentionRows(model) as capture:
        capture.run(TOKENS, lambda *_: None, input_ids=prompt())
    assert model.config._attn_implementation == "eager"


def test_a_model_that_is_no_transformers_model_is_refused() -> None:
    with pytest.raises(DraftError, match="Linear computes attention"):
        AttentionRows(nn.Linear(2, 2))


def test_a_model_of_sliding_windows_alone_is_refused_and_wide_windows_hide_nothing() -> None:
    narrow, wide = (AutoConfig.for_model("mistral", sliding_window=n, max_position_embeddings=64, num_hidden_layers=2) for n in (8, 64))
    for config in (narrow, wide):
        config.update({"hidden_size": 32, "vocab_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 32})
    with pytest.raises(DraftError, match="no layer of MistralForCausalLM attends to the whole prompt"):
        AttentionRows(AutoModelForCausalLM.from_config(narrow))
    assert full_attention_layers(AutoModelForCausalLM.from_config(wide)) == {0, 1}


def test_a_layer_that_delivers_no_row_is_an_error() -> None:
    model = small_model("llama")
    model.model.layers[1].self_attn.layer_idx = 7
    with pytest.raises(DraftError, match=r"layers \[1\] of LlamaForCausalLM attend outside"), AttentionRows(model) as capture:
        capture.run(TOKENS, lambda *_: None, input_ids=prompt(), use_cache=False)


def test_keys_that_are_no_longer_there_are_an_error() -> None:
    model = small_model("llama")
    with pytest.raises(DraftError, match="keeps 23 of 24 keys"), AttentionRows(model) as capture:
        capture.run(TOKENS + 1, lambda *_: None, input_ids=prompt())


@pytest.mark.parametrize("field", ["rows", "prefill_tokens"])
def test_looking_ahead_by_nothing_is_no_setting(field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field}=0"):
        LookAhead(**{field: 0})
