"""Small random causal models of many architectures, whose attention is far from flat."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

LAYERS = 3

SMALL_MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 24},
    "gemma3_text": {
        "head_dim": 24,
        "query_pre_attn_scalar": 20,
        "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention", "full_attention"],
    },
    "mistral": {"sliding_window": None},
    "phi3": {},
    "phi": {"partial_rotary_factor": 0.5},
    "smollm3": {"no_rope_layers": [1, 0, 1]},
    "granite": {"attention_multiplier": 0.3},
}
"""Architectures (`model_type`) whose rows are compared with eager attention, and their settings."""

_REFUSED: dict[str, dict[str, Any]] = {
    "gemma2": {"head_dim": 8},
    "gpt_oss": {"head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1},
}


def small_model(kind: str, **more: Any) -> Any:
    """A random model of 3 layers, 4 heads and 2 key heads, vocabulary 64; the implementation of attention is the model's default."""
    settings = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": None,
        **SMALL_MODELS.get(kind, {}),
        **_REFUSED.get(kind, {}),
        **more,
    }
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings)).eval()
    for name, parameter in model.named_parameters():
        if "norm" in name or name.endswith("bias"):
            nn.init.normal_(parameter, mean=0.5, std=0.5)
        elif parameter.dim() == 2:
            nn.init.normal_(parameter, std=0.3)
    return model.requires_grad_(False)
