"""Which known draft is best here: what the shipped presets measured, and what `draft="auto"` stands for.

Looks at directories and preset files only; loads no model library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from specprefill_agents.draft.registry import DEFAULT_DRAFT, KNOWN_DRAFTS, KnownDraft, is_pulled
from specprefill_agents.scoring.presets import HeadPreset, shipped_presets

AUTO = "auto"
"""The draft name that stands for the best known draft on this machine."""

KEEP = "0.2"
"""The keep ratio at which drafts are compared."""


@dataclass(frozen=True, slots=True)
class RatedDraft:
    """A known draft with the preset of its name, None where none is shipped yet. What was not measured is None."""

    draft: KnownDraft
    preset: HeadPreset | None

    @property
    def recall(self) -> float | None:
        """Needle recall at keep_ratio 0.2 on the held-out half of calibration."""
        by_keep = self._measured("recall")
        return _number(by_keep.get(KEEP)) if isinstance(by_keep, dict) else None

    @property
    def tokens_per_s(self) -> float | None:
        """Context tokens the truncated draft read in a second, on `machine`."""
        return _number(self._measured("tokens_per_s"))

    @property
    def machine(self) -> str | None:
        """The machine kind on which `tokens_per_s` was measured."""
        machine = self._measured("machine")
        return str(machine) if machine else None

    @property
    def layers(self) -> int | None:
        """How many of the draft's layers are run."""
        return self.preset.layers if self.preset else None

    def _measured(self, name: str) -> Any:
        return self.preset.measured.get(name) if self.preset else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def rated_drafts() -> list[RatedDraft]:
    """Every known draft, in the registry's order."""
    presets = {preset.name: preset for preset in shipped_presets()}
    return [RatedDraft(draft, presets.get(name)) for name, draft in KNOWN_DRAFTS.items()]


def resolve_draft(name: str) -> str:
    """`name` itself, or for `auto` the pulled known draft of the highest measured recall; the default draft where there is none.

    A draft without a measured preset is no candidate; of equals, the first in the registry is taken.
    """
    if name != AUTO:
        return name
    recalls = {rated.draft.name: rated.recall for rated in rated_drafts() if is_pulled(rated.draft.name)}
    measured = {draft: recall for draft, recall in recalls.items() if recall is not None}
    return max(measured, key=measured.__getitem__, default=DEFAULT_DRAFT)
