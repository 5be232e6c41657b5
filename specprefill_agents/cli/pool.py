"""Compressors for a stream of requests: one loaded draft, one set of stored keys, whatever share each request keeps."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from specprefill_agents.accounting.tokens import counter_for
from specprefill_agents.compressor import Compressor
from specprefill_agents.config import CompressionConfig
from specprefill_agents.observe.audit import SilentAudit
from specprefill_agents.scoring.base import scorer_fingerprint
from specprefill_agents.scoring.draft_choice import resolve_draft
from specprefill_agents.scoring.registry import make_scorer
from specprefill_agents.storage.score_cache import default_cache
from specprefill_agents.types import KeepRatio

MAX_COMPRESSORS = 32
"""How many keep ratios are held ready; a stream that varies it without end must not pile up workers."""


class CompressorPool:
    """Compressors that differ in their keep ratio alone: one scorer with its loaded draft and keys, one token counter.

    The draft is loaded here, so that a missing one is an error at once and not a fallback on every request.
    """

    def __init__(self, config: CompressionConfig, draft: str) -> None:
        self._config = config
        self._draft = resolve_draft(draft)
        self._counter = counter_for(config.target_tokenizer)
        self._scorer = make_scorer(config, self._draft, "auto", default_cache())
        scorer_fingerprint(self._scorer)
        self._made: OrderedDict[KeepRatio, Compressor] = OrderedDict()

    def at(self, keep_ratio: KeepRatio | None) -> Compressor:
        """The compressor for a keep ratio, the configured one when None. Raises `ConfigError` for one out of range."""
        config = self._config if keep_ratio is None else replace(self._config, keep_ratio=keep_ratio)
        made = self._made.pop(config.keep_ratio, None)
        if made is None:
            made = Compressor(self._draft, config, scorer=self._scorer, counter=self._counter, audit=SilentAudit())
        self._made[config.keep_ratio] = made
        while len(self._made) > MAX_COMPRESSORS:
            self._made.popitem(last=False)
        return made
