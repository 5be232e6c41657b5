"""Targets and drafts by name: real ones, and `random:SHAPE`, random weights in the shape of a known model.

How long a pass takes does not depend on what the weights say, so a shape shows the speed of a model that is not on this
machine. What such a model answers means nothing, and neither does what a draft of that kind keeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from specprefill_agents import CompressionConfig, Scorer
from specprefill_agents.draft.loading import Draft, choose_device, choose_dtype, load_config, set_threads
from specprefill_agents.draft.registry import DEFAULT_DRAFT, locate
from specprefill_agents.prompt.units import DEFAULT_LIMITS
from specprefill_agents.scoring.fusion import IDENTIFIER_WEIGHT, LEXICAL_WEIGHT, FusionScorer, Member
from specprefill_agents.scoring.identifiers import IdentifierScorer
from specprefill_agents.scoring.key_index import KeyIndexScorer
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.scoring.presets import HeadPreset, preset_for
from specprefill_agents.scoring.registry import make_scorer
from specprefill_agents.storage.score_cache import ScoreCache
from specprefill_agents.targets.kept_readings import KeptReadings
from specprefill_agents.targets.loading import TargetSettings, load_target
from specprefill_agents.targets.local import LocalTarget

import torch  # isort: skip (after loading, whose ImportError says what to install)
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer  # isort: skip

RANDOM = "random:"
WINDOW = 131_072
"""Tokens that random weights read unless another window is asked for."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides how long a pass over a model takes."""

    model_type: str
    hidden: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    vocabulary: int

    def config(self, layers: int | None = None, window: int = WINDOW) -> Any:
        """A transformers configuration of this shape, of only the first `layers` blocks where given."""
        return AutoConfig.for_model(
            self.model_type,
            hidden_size=self.hidden,
            intermediate_size=self.inner,
            num_hidden_layers=layers or self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.key_heads,
            vocab_size=self.vocabulary,
            max_position_embeddings=window,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=None,
        )


SHAPES = {
    "mini": Shape("llama", 256, 768, 4, 4, 2, 49_152),
    "135M": Shape("llama", 576, 1_536, 30, 9, 3, 49_152),
    "360M": Shape("llama", 960, 2_560, 32, 15, 5, 49_152),
    "0.5B": Shape("qwen2", 896, 4_864, 24, 14, 2, 151_936),
    "1B": Shape("llama", 2_048, 8_192, 16, 32, 8, 128_256),
    "1.5B": Shape("qwen2", 1_536, 8_960, 28, 12, 2, 151_936),
    "7B": Shape("qwen2", 3_584, 18_944, 28, 28, 4, 152_064),
    "8B": Shape("llama", 4_096, 14_336, 32, 32, 8, 128_256),
}
"""SmolLM2 135M and 360M, Qwen2.5 0.5B, 1.5B and 7B, Llama 3.2 1B, Llama 3.1 8B; `mini` is none."""


def shape_of(name: str) -> Shape | None:
    """The shape that `random:SHAPE` names; None for the name of a real model. Raises ValueError for an unknown shape."""
    if not name.startswith(RANDOM):
        return None
    shape = name.removeprefix(RANDOM)
    if shape not in SHAPES:
        raise ValueError(f"{name}: known shapes are {', '.join(SHAPES)}")
    return SHAPES[shape]


def target_by(name: str, settings: TargetSettings, window: int = WINDOW) -> LocalTarget:
    """A target; random weights read the embedded draft's tokens. Raises as `load_target`, and ValueError for an unknown shape."""
    shape = shape_of(name)
    if shape is None:
        return load_target(name, settings)
    set_threads(settings.threads)
    model = _random(AutoModelForCausalLM, shape.config(window=window), settings.device, settings.dtype)
    readings = KeptReadings(settings.cache_bytes)
    return LocalTarget(name, model, _tokenizer(), settings.prefill_tokens, readings, copies=settings.copies, positions=settings.positions)


def scorer_by(scorer: str, draft: str, device: str, keys: ScoreCache | None = None) -> Scorer:
    """A scorer that keeps what it reads in memory, and a real draft's also in `keys`. A random draft's heads stand in its middle."""
    shape = shape_of(draft)
    if shape is None:
        return make_scorer(CompressionConfig(scorer=scorer), draft, device, keys)
    if scorer not in ("fused", "key_index"):
        raise ValueError(f"{scorer} with {draft}: a random draft serves fused and key_index")
    prefix = preset_for(load_config(DEFAULT_DRAFT)).prefix
    preset = HeadPreset("random", ((shape.layers // 2 - 1, 0), (shape.layers // 2 - 1, 1)), prefix, ())
    model = _random(AutoModel, shape.config(preset.layers), device, "auto")
    where = choose_device(device)
    index = KeyIndexScorer(Draft(draft, "random", model, _tokenizer(), where, choose_dtype(where)), preset)
    if scorer == "key_index":
        return index
    lexical, identifiers = LexicalScorer(DEFAULT_LIMITS), IdentifierScorer(DEFAULT_LIMITS)
    return FusionScorer([Member(index), Member(lexical, LEXICAL_WEIGHT), Member(identifiers, IDENTIFIER_WEIGHT)], DEFAULT_LIMITS)


def _random(auto_class: Any, config: Any, device: str, dtype: str) -> Any:
    where = choose_device(device)
    torch.manual_seed(0)
    with where:
        model = auto_class.from_config(config, dtype=choose_dtype(where, dtype))
    return model.eval().requires_grad_(False)


def _tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(locate(DEFAULT_DRAFT).path, use_fast=True)
