"""A whole trial: a log, the keep ratios to try, a scorer and a price -> what was found and what to set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from specprefill_agents.compressor import Compressor
from specprefill_agents.config import CompressionConfig
from specprefill_agents.draft.registry import DEFAULT_DRAFT
from specprefill_agents.errors import ConfigError
from specprefill_agents.observe.audit import SilentAudit
from specprefill_agents.scoring.base import Scorer
from specprefill_agents.scoring.draft_choice import resolve_draft
from specprefill_agents.scoring.registry import LazyScorer, make_scorer
from specprefill_agents.storage.originals import Originals
from specprefill_agents.trial.advice import Recommendation
from specprefill_agents.trial.findings import Findings, Tally
from specprefill_agents.trial.log_file import Log, Recorded
from specprefill_agents.trial.replay import Pricing, Replayer
from specprefill_agents.trial.shared_scorer import SharedScorer
from specprefill_agents.types import KeepRatio

KEEPS: tuple[KeepRatio, ...] = (0.1, 0.2, 0.3, 0.5, "auto")
MODEL = "deepseek-flash"

Watch = Callable[[Sequence[Recorded]], Iterable[Recorded]]
"""Hands conversations on one by one, such as with a progress bar."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What to try: `keeps` each once, by the scorer and draft of these names, priced as `model`'s tokens."""

    keeps: tuple[KeepRatio, ...] = KEEPS
    scorer: str = "fused"
    draft: str = DEFAULT_DRAFT
    model: str = MODEL
    tokenizer: str = "auto"
    tool_keep_ratio: Mapping[str, KeepRatio] = field(default_factory=dict)
    exclude_tools: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.keeps or len(set(self.keeps)) != len(self.keeps):
            raise ConfigError("keep", self.keeps, "keep ratios, each once")

    def config(self, keep: KeepRatio) -> CompressionConfig:
        """A compressor's settings. A part that fails raises: a text forwarded whole would look like a safe one."""
        return CompressionConfig(
            keep_ratio=keep,
            scorer=self.scorer,
            target_tokenizer=self.tokenizer,
            tool_keep_ratio=self.tool_keep_ratio,
            exclude_tools=self.exclude_tools,
            timeout_s=None,
            on_error="raise",
        )

    def under(self, advice: Recommendation) -> Settings:
        """The same with what `advice` recommends, and nothing else, to try."""
        return replace(self, keeps=(advice.default,), tool_keep_ratio=advice.ratios, exclude_tools=advice.excluded)

    def make_scorer(self) -> Scorer:
        """The scorer, with its model loaded, so that loading is no part of the time that scoring takes; it keeps scores in memory alone."""
        made = make_scorer(self.config(self.keeps[0]), self.draft, "auto", None)
        if isinstance(made, LazyScorer):
            made.load()
        return made


def run_trial(log: Log, settings: Settings, pricing: Pricing, scorer: Scorer, watch: Watch = iter) -> Findings:
    """Replay every conversation of `log` under every keep ratio of `settings`, by their scorer, such as `settings.make_scorer()`.

    Scores and originals stay in this process's memory. Raises `ConfigError` for a wrong setting, and what a failing scorer raises.
    """
    shared, originals, draft = SharedScorer(scorer), Originals.in_memory(), resolve_draft(settings.draft)
    compressors = [
        Compressor(draft, settings.config(keep), scorer=shared, audit=SilentAudit(), cache="memory", originals=originals)
        for keep in settings.keeps
    ]
    replayer = Replayer(compressors, shared, compressors[0].counter, pricing)
    tally = Tally(settings.keeps, pricing)
    for recorded in watch(log.conversations):
        tally.add(replayer.replay(recorded))
    return tally.findings(log.name, _about(log, settings, compressors[0], pricing, shared), log.bad)


def _about(log: Log, settings: Settings, compressor: Compressor, pricing: Pricing, shared: SharedScorer) -> dict[str, Any]:
    """How the findings were made, in plain JSON types."""
    reads_draft = settings.scorer in ("fused", "key_index", "speculative")
    return {
        "scorer": settings.scorer,
        "draft": compressor.draft if reads_draft else None,
        "tokenizer": compressor.counter.name,
        "priced_as": pricing.model,
        "caching": pricing.rule.name,
        "usd_per_1m": {"input_hit": pricing.price.input_hit, "input_miss": pricing.price.input_miss, "output": pricing.price.output},
        "recorded_models": sorted({one.model for one in log.conversations if one.model}),
        "without_tools": sum(not one.tools for one in log.conversations),
        "continued_lines": log.continued,
        "scorer_s": round(shared.spent_s, 3),
    }
