"""Compressors for a stream of requests: one loaded draft, one set of stored keys, whatever share each request keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from specprefill_agents.accounting.tokens import counter_for
from specprefill_agents.compressor import Compressor
from specprefill_agents.config import CompressionConfig
from specprefill_agents.observe.audit import SilentAudit
from specprefill_agents.scoring.base import Scorer, scorer_fingerprint
from specprefill_agents.scoring.draft_choice import resolve_draft
from specprefill_agents.scoring.registry import make_scorer
from specprefill_agents.storage.last_used import LastUsed
from specprefill_agents.storage.score_cache import default_cache
from specprefill_agents.types import KeepRatio

MAX_COMPRESSORS = 32
"""How many configurations are held ready; a stream that varies them without end must not pile up workers."""

NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})


class CompressorPool:
    """Compressors that differ in their configuration alone: one scorer with its loaded draft and keys, one token counter.

    May be shared by threads. The draft is loaded here, so that a missing one is an error at once and not a fallback on every
    request; `loads=False` leaves that to the first call of `load`.
    """

    def __init__(self, config: CompressionConfig, draft: str, *, device: str = "auto", loads: bool = True) -> None:
        self._config = config
        self._draft = resolve_draft(draft)
        self._counter = counter_for(config.target_tokenizer)
        self.scorer: Scorer = make_scorer(config, self._draft, device, default_cache())
        self._made = LastUsed[Compressor](MAX_COMPRESSORS)
        if loads:
            self.load()

    def load(self) -> None:
        """Load the draft now, if it was not yet. Raises what loading raises."""
        scorer_fingerprint(self.scorer)

    def at(self, keep_ratio: KeepRatio | None, settings: Mapping[str, Any] = NO_SETTINGS) -> Compressor:
        """The compressor for a keep ratio and other settings, where not None or absent instead of the configured ones.

        Raises `ConfigError` for one out of range.
        """
        changes = {**settings, **({} if keep_ratio is None else {"keep_ratio": keep_ratio})}
        config = replace(self._config, **changes)
        name = json.dumps(config.to_dict(), sort_keys=True)
        return self._made.get(name, lambda: Compressor(self._draft, config, scorer=self.scorer, counter=self._counter, audit=SilentAudit()))
