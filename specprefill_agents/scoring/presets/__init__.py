"""Shipped head presets: which attention heads of a draft find what a question asks for, as JSON data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Protocol

from specprefill_agents.errors import DraftError


class Architecture(Protocol):
    """What identifies a draft's shape: the fields of a transformers configuration that presets are matched on."""

    model_type: str
    hidden_size: int
    num_attention_heads: int
    vocab_size: int


@dataclass(frozen=True, slots=True)
class HeadPreset:
    """Retrieval heads `(layer, query head)` of one draft, and the text that soaks up the attention sink.

    `prefix` may hold special tokens; it is tokenized with them, in front of every window, and dropped.
    """

    name: str
    heads: tuple[tuple[int, int], ...]
    prefix: str
    match: tuple[tuple[str, Any], ...]

    @property
    def layers(self) -> int:
        """How many blocks of the draft are needed."""
        return 1 + max(layer for layer, _ in self.heads)

    def prefix_ids(self, tokenizer: Any) -> Sequence[int]:
        """Token ids of the prefix."""
        ids: Sequence[int] = tokenizer(self.prefix, add_special_tokens=False)["input_ids"]
        return ids

    def fits(self, config: Architecture) -> bool:
        """Whether a model of this configuration is the one the heads were chosen on."""
        return all(getattr(config, field, None) == value for field, value in self.match)


def load_presets() -> list[HeadPreset]:
    """Every shipped preset, by name."""
    folder = resources.files(__name__)
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name)
    return [_parse(json.loads(file.read_text(encoding="utf-8"))) for file in files]


def _parse(raw: dict[str, Any]) -> HeadPreset:
    heads = tuple((int(layer), int(head)) for layer, head in raw["heads"])
    return HeadPreset(raw["name"], heads, raw["prefix"], tuple(sorted(raw["match"].items())))


def preset_for(config: Architecture) -> HeadPreset:
    """The preset whose architecture matches. Raises `DraftError` when there is none."""
    presets = load_presets()
    for preset in presets:
        if preset.fits(config):
            return preset
    known = ", ".join(preset.name for preset in presets)
    raise DraftError(f"no head preset for a {config.model_type} draft of width {config.hidden_size}; there are presets for: {known}")
