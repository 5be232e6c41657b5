"""A local target by its name: weights, device, precision, and what makes its answers come sooner."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, fields
from typing import Any, Literal

from specprefill_agents.errors import ConfigError, missing_extra
from specprefill_agents.targets.local import LocalTarget

try:
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    from specprefill_agents.draft.loading import choose_device, choose_dtype, load_pretrained, set_threads
    from specprefill_agents.draft.sharing import share, shared
    from specprefill_agents.targets.assisting import Assistant
    from specprefill_agents.targets.kept_readings import KeptReadings
except ImportError as error:
    raise missing_extra("A local target", "draft") from error

CACHE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSettings:
    """How a target is loaded and used. Raises `ConfigError` at construction for a value outside its range.

    | field | unit, range | meaning |
    |---|---|---|
    | `device` | auto, cpu, cuda, cuda:N, or spread | spread puts the layers on all GPUs that there are |
    | `dtype` | auto, float32, bfloat16, float16 | auto is bfloat16 where the hardware multiplies it |
    | `bits` | 8, 4 or None | weights in so many bits, by bitsandbytes |
    | `threads` | threads, >= 1, or None | of torch in this process |
    | `prefill_tokens` | tokens, >= 1 | longest pass over a prompt |
    | `cache_bytes` | bytes, >= 0 | for what was read of earlier prompts |
    | `assistant` | name of a model, or None | guesses what is said next; with any tokenizer |
    | `copies` | | whether what was read and said before is such a guess too |
    | `positions` | contiguous, original | where the tokens kept of a shortened text stand: in a row, or where they stood |
    """

    device: str = "auto"
    dtype: str = "auto"
    bits: Literal[8, 4] | None = None
    threads: int | None = None
    prefill_tokens: int = 1024
    cache_bytes: int = CACHE_BYTES
    assistant: str | None = None
    copies: bool = True
    positions: Literal["contiguous", "original"] = "contiguous"

    @classmethod
    def of(cls, holder: object) -> TargetSettings:
        """The settings that an object has as attributes; defaults for the others."""
        return cls(**{one.name: getattr(holder, one.name) for one in fields(cls) if hasattr(holder, one.name)})

    def __post_init__(self) -> None:
        if self.bits not in (None, 4, 8):
            raise ConfigError("bits", self.bits, "8, 4 or None")
        if self.positions not in ("contiguous", "original"):
            raise ConfigError("positions", self.positions, "contiguous or original")
        if self.prefill_tokens < 1:
            raise ConfigError("prefill_tokens", self.prefill_tokens, "an integer >= 1")
        if self.cache_bytes < 0:
            raise ConfigError("cache_bytes", self.cache_bytes, "a number of bytes >= 0")


def load_target(name: str, settings: TargetSettings | None = None) -> LocalTarget:
    """Load a target by the names that drafts have (`draft.loading.load_draft`); its weights are loaded once in a process.

    Raises `UnknownDraftError` for a name that leads nowhere, `DraftError` when the weights are absent or unreadable, and
    ImportError with the pip command where a precision needs a package that is missing.
    """
    settings = settings or TargetSettings()
    set_threads(settings.threads)
    model, tokenizer = _loaded(name, settings)
    assistant = Assistant(*_loaded(settings.assistant, settings)) if settings.assistant else None
    return LocalTarget(
        name,
        model,
        tokenizer,
        prefill_tokens=settings.prefill_tokens,
        readings=KeptReadings(settings.cache_bytes),
        assistant=assistant,
        copies=settings.copies,
        positions=settings.positions,
    )


def _loaded(name: str, settings: TargetSettings) -> tuple[Any, Any]:
    spread = settings.device == "spread"
    where = choose_device("auto" if spread else settings.device)
    dtype = choose_dtype(where, settings.dtype)
    placed: dict[str, Any] = {"device_map": "auto"} if spread else {}
    if settings.bits:
        placed = {"device_map": "auto" if spread else str(where), "quantization_config": _quantized(settings.bits)}
    if placed:
        model, tokenizer = load_pretrained(name, AutoModelForCausalLM, dtype, **placed)
        return model, tokenizer
    loaded = shared(name, where, dtype)
    if loaded:
        return loaded
    model, tokenizer = load_pretrained(name, AutoModelForCausalLM, dtype)
    share(name, where, dtype, model.to(where), tokenizer)
    return model, tokenizer


def _quantized(bits: int) -> BitsAndBytesConfig:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ImportError(f"Weights in {bits} bits need bitsandbytes. Install it with: pip install bitsandbytes")
    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16)
