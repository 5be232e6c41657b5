"""Head presets: which attention heads of a draft find what a question asks for, as JSON data.

Shipped presets lie beside this module; a user's own (`specprefill calibrate`) in `presets/` below the library's
directory, and come first. A file's object has

    name, heads [[layer, query head], ...], prefix, match {configuration field: value},
    weights [...] (optional, one per head, 1 when absent), measured {...} (optional: what calibration measured).

Other keys are ignored, so that files of a later version can be read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

from specprefill_agents.draft.registry import home
from specprefill_agents.errors import DraftError

MATCHED = ("model_type", "hidden_size", "num_attention_heads", "vocab_size")
"""Configuration fields that tell one draft from another."""


class Architecture(Protocol):
    """What identifies a draft's shape: the fields of a transformers configuration that presets are matched on."""

    model_type: str
    hidden_size: int
    num_attention_heads: int
    vocab_size: int


@dataclass(frozen=True, slots=True)
class HeadPreset:
    """Retrieval heads `(layer, query head)` of one draft, and the text that soaks up the attention sink.

    `prefix` may hold special tokens; it is tokenized with them, in front of every window, and dropped. `weights` are
    what each head's attention mass counts for; empty means 1 each. `measured` is what calibration measured, by name.
    """

    name: str
    heads: tuple[tuple[int, int], ...]
    prefix: str
    match: tuple[tuple[str, Any], ...]
    weights: tuple[float, ...] = ()
    measured: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def layers(self) -> int:
        """How many blocks of the draft are needed."""
        return 1 + max(layer for layer, _ in self.heads)

    @property
    def head_weights(self) -> tuple[float, ...]:
        """One weight per head."""
        return self.weights or (1.0,) * len(self.heads)

    def prefix_ids(self, tokenizer: Any) -> Sequence[int]:
        """Token ids of the prefix."""
        ids: Sequence[int] = tokenizer(self.prefix, add_special_tokens=False)["input_ids"]
        return ids

    def fits(self, config: Architecture) -> bool:
        """Whether a model of this configuration is the one the heads were chosen on."""
        return all(getattr(config, name, None) == value for name, value in self.match)

    def to_json(self) -> str:
        """The text of a preset file; `parse_preset` reads it back."""
        weights = {"weights": list(self.weights)} if self.weights else {}
        values = {"name": self.name, "heads": [list(head) for head in self.heads], **weights, "prefix": self.prefix}
        rows = _json_rows({**values, "layers": self.layers, "match": dict(self.match)}, indent=2)
        if self.measured:
            measured = ",\n".join(_json_rows(self.measured, indent=4))
            rows.append(f'  "measured": {{\n{measured}\n  }}')
        return "{\n" + ",\n".join(rows) + "\n}\n"


def _json_rows(values: Mapping[str, Any], indent: int) -> list[str]:
    """One line for each key."""
    return [f"{' ' * indent}{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def parse_preset(text: str, source: str) -> HeadPreset:
    """The preset that a file's text describes. Raises `DraftError` naming `source` when it is none."""
    try:
        raw = json.loads(text)
        heads = tuple((int(layer), int(head)) for layer, head in raw["heads"])
        weights = tuple(float(weight) for weight in raw.get("weights", ()))
        match = tuple(sorted(raw["match"].items()))
        preset = HeadPreset(str(raw["name"]), heads, str(raw["prefix"]), match, weights, dict(raw.get("measured", {})))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DraftError(f"{source} is not a head preset: {type(error).__name__}: {error}") from error
    if not heads or any(number < 0 for pair in heads for number in pair):
        raise DraftError(f"{source} is not a head preset: heads must be [[layer, query head], ...], from 0")
    if weights and (len(weights) != len(heads) or not all(math.isfinite(weight) and weight > 0 for weight in weights)):
        raise DraftError(f"{source} is not a head preset: weights must be one positive number per head")
    if not match:
        raise DraftError(f"{source} is not a head preset: match must name the draft by at least one configuration field")
    return preset


def load_preset(path: Path) -> HeadPreset:
    """The preset in a file. Raises OSError when it cannot be read, `DraftError` when it is no preset."""
    return parse_preset(path.read_text(encoding="utf-8"), str(path))


def user_directory() -> Path:
    """Where a user's own presets are looked for."""
    return home() / "presets"


def load_presets() -> list[HeadPreset]:
    """Every preset, the user's own before the shipped ones, each by file name. Raises as `load_preset`."""
    return [load_preset(path) for path in sorted(user_directory().glob("*.json"))] + list(shipped_presets())


def shipped_presets() -> Iterator[HeadPreset]:
    """The presets that come with the library, by file name; each has the name of its known draft."""
    files = sorted((file for file in resources.files(__name__).iterdir() if file.name.endswith(".json")), key=lambda file: file.name)
    return (parse_preset(file.read_text(encoding="utf-8"), file.name) for file in files)


def match_fields(config: Architecture) -> tuple[tuple[str, Any], ...]:
    """The `match` of a preset for a draft of this configuration."""
    return tuple(sorted((name, getattr(config, name)) for name in MATCHED))


def preset_for(config: Architecture) -> HeadPreset:
    """The first preset whose architecture matches. Raises `DraftError` when there is none."""
    presets = load_presets()
    for preset in presets:
        if preset.fits(config):
            return preset
    known = ", ".join(preset.name for preset in presets)
    raise DraftError(
        f"no head preset for a {config.model_type} draft of width {config.hidden_size}; there are presets for: {known}. "
        f"Choose heads for it with: specprefill calibrate --draft NAME"
    )
