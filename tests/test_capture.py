"""Capture on small random models of each architecture: exact pre-RoPE vectors, early stop, and what is refused."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from specprefill_agents import DraftError
from specprefill_agents.draft.capture import LAYOUTS, HeadCapture

LAYERS, HEADS, TOKENS = 3, 4, 11

SHAPES: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama_wide_heads": {"head_dim": 24},
    "llama_no_groups": {"num_key_value_heads": 4},
    "mistral": {"head_dim": 24},
    "qwen2": {},
    "qwen3": {"head_dim": 24},
    "gemma3_text": {"head_dim": 24, "query_pre_attn_scalar": 20, "layer_types": ["sliding_attention", "full_attention", "full_attention"]},
    "gemma3_text_one_key_head": {"head_dim": 24, "num_key_value_heads": 1, "layer_types": ["full_attention"] * LAYERS},
    "phi": {"partial_rotary_factor": 0.5},
    "phi_layernorm": {"qk_layernorm": True},
    "phi3": {"pad_token_id": 0},
    "smollm3": {"no_rope_layers": [1, 0, 1], "pad_token_id": 0},
    "granite": {"attention_multiplier": 0.3},
    "olmo2": {},
}


def small(shape: str, layers: int = LAYERS, kind: str | None = None, **more: Any) -> Any:
    """A random model whose norms differ from the identity, with eager attention."""
    kind = kind or next(name for name in sorted(LAYOUTS, key=len, reverse=True) if shape.startswith(name))
    settings = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": 2,
        **SHAPES.get(shape, {}),
        **more,
    }
    if "layer_types" in settings:
        settings["layer_types"] = settings["layer_types"][:layers]
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(kind, **settings), attn_implementation="eager").eval()
    for name, parameter in model.named_parameters():
        if "norm" in name or name.endswith("bias"):
            nn.init.normal_(parameter, mean=0.5, std=0.5)
        elif parameter.dim() == 2:
            nn.init.normal_(parameter, std=0.3)
    return model


def ids(batch: int = 2) -> Tensor:
    return torch.randint(0, 64, (batch, TOKENS), generator=torch.Generator().manual_seed(1))


def rotate(model: Any, layer: int, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """(B, H, S, D) vectors, turned by the model's own rotary embedding."""
    attention = model.layers[layer].self_attn
    if not getattr(attention, "use_rope", True):
        return queries, keys
    position_ids = torch.arange(TOKENS)[None]
    kinds = (attention.layer_type,) if model.config.model_type == "gemma3_text" else ()
    cos, sin = model.rotary_emb(queries, position_ids, *kinds)
    apply = sys.modules[type(attention).__module__].apply_rotary_pos_emb
    size = getattr(attention, "rotary_ndims", queries.shape[-1])
    turned_queries, turned_keys = apply(queries[..., :size], keys[..., :size], cos, sin)
    return torch.cat([turned_queries, queries[..., size:]], -1), torch.cat([turned_keys, keys[..., size:]], -1)


@pytest.mark.parametrize("shape", SHAPES)
def test_captured_vectors_turned_by_the_model_s_rotation_give_its_attention(shape: str) -> None:
    model = small(shape)
    heads = [(layer, head) for layer in range(LAYERS) for head in range(HEADS)]
    with torch.no_grad():
        expected = torch.stack(model(input_ids=ids(), output_attentions=True).attentions)
        with HeadCapture(model, heads, "query") as capture:
            queries = capture.run(ids())
            scales = torch.tensor(capture.scales)
        with HeadCapture(model, heads, "key") as capture:
            keys = capture.run(ids())
        future = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)
        for layer in range(LAYERS):
            rows = slice(layer * HEADS, (layer + 1) * HEADS)
            turned = rotate(model, layer, queries[rows].transpose(0, 1), keys[rows].transpose(0, 1))
            logits = turned[0] @ turned[1].transpose(-1, -2) * scales[rows][None, :, None, None]
            attention = logits.masked_fill(future, -torch.inf).softmax(-1)
            assert (attention - expected[layer]).abs().max() < 1e-5
            assert attention.std() > 0.01, "a flat softmax would prove nothing"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("what", ["query", "key"])
def test_a_truncated_model_gives_the_same_vectors(shape: str, what: Any) -> None:
    whole, cut = small(shape), small(shape, layers=2)
    missing = cut.load_state_dict({name: value for name, value in whole.state_dict().items() if ".2." not in name and "s.2" not in name})
    assert not missing.missing_keys
    heads = [(1, 3), (0, 1)]
    with torch.no_grad(), HeadCapture(whole, heads, what) as one, HeadCapture(cut, heads, what) as other:
        assert torch.equal(one.run(ids()), other.run(ids()))


@pytest.mark.parametrize("shape", SHAPES)
def test_stopping_early_changes_nothing_and_runs_no_deeper_layer(shape: str) -> None:
    model = small(shape)
    ran: list[int] = []
    for index, block in enumerate(model.layers):
        block.mlp.register_forward_hook(lambda *_, index=index: ran.append(index))
    with torch.no_grad():
        with HeadCapture(model, [(1, 2)], "key") as capture:
            early = capture.run(ids())
        assert ran == [0]
        with HeadCapture(model, [(1, 2), (2, 0)], "key") as capture:
            assert torch.equal(capture.run(ids())[0], early[0])


def test_heads_come_back_in_the_order_asked_for_and_rows_of_a_batch_apart() -> None:
    model = small("qwen3")
    with torch.no_grad():
        with HeadCapture(model, [(2, 1), (0, 3)], "query") as capture:
            swapped, alone = capture.run(ids()), capture.run(ids()[1:])
        with HeadCapture(model, [(0, 3), (2, 1)], "query") as capture:
            assert torch.equal(capture.run(ids()).flip(0), swapped)
    assert swapped.shape == (2, 2, TOKENS, 24)
    assert torch.allclose(swapped[:, 1:], alone, atol=1e-5)


def test_every_architecture_of_the_table_is_tested() -> None:
    assert {small(shape).config.model_type for shape in SHAPES} == set(LAYOUTS)


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt_oss": ("sinks", {"num_local_experts": 2, "num_experts_per_tok": 1, "head_dim": 8}),
    "gemma2": ("soft-capped", {"head_dim": 8}),
    "gemma3n_text": (
        "share keys",
        {
            "head_dim": 8,
            "num_kv_shared_layers": 1,
            "layer_types": ["full_attention"] * LAYERS,
            "activation_sparsity_pattern": [0.0] * LAYERS,
        },
    ),
    "qwen3_5_text": ("linear_attention", {"head_dim": 8, "layer_types": ["linear_attention", "linear_attention", "full_attention"]}),
    "lfm2": ("conv", {"layer_types": ["conv", "full_attention", "full_attention"]}),
    "hunyuan_v1_dense": ("none of the architectures", {"head_dim": 8}),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_model_whose_attention_is_more_than_its_pre_rope_vectors_is_refused(kind: str) -> None:
    reason, settings = REFUSED[kind]
    model = small(kind, kind=kind, **settings)
    with pytest.raises(DraftError, match=reason):
        HeadCapture(model, [(2, 0)], "key")


@pytest.mark.parametrize("heads", [[(3, 0)], [(0, 4)], [(-1, 0)]])
def test_a_head_that_the_draft_lacks_is_refused(heads: list[tuple[int, int]]) -> None:
    with pytest.raises(DraftError, match=r"layer|heads"):
        HeadCapture(small("llama"), heads, "key")
