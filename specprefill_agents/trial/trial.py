"""A whole trial: a log, the keep ratios to try, a scorer and a price -> what was found and what to set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from specprefill_agents.accounting.pricing import PriceTable
from specprefill_agents.compressor import Compressor
from specprefill_agents.config import CompressionConfig
from specprefill_agents.errors import ConfigError
from specprefill_agents.observe.audit import SilentAudit
from specprefill_agents.scoring.base import Scorer
from specprefill_agents.scoring.draft_choice import resolve_draft
from specprefill_agents.scoring.registry import LazyScorer, make_scorer
from specprefill_agents.storage.originals import Originals
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
    draft: str = "smollm2-135m"
    model: str = MODEL
    tokenizer: str = "auto"

    def __post_init__(self) -> None:
        if not self.keeps or len(set(self.keeps)) != len(self.keeps):
            raise ConfigError("keep", self.keeps, "keep ratios, each once")

    def config(self, keep: KeepRatio) -> CompressionConfig:
        """A compressor's settings. A part that fails raises: a text forwarded whole would look like a safe one."""
        return CompressionConfig(keep_ratio=keep, scorer=self.scorer, target_tokenizer=self.tokenizer, timeout_s=None, on_error="raise")


def run_trial(
    log: Log, settings: Settings, prices: PriceTable, now: datetime, scorer: Scorer | None = None, watch: Watch = iter
) -> Findings:
    """Replay every conversation of `log` under every keep ratio; `scorer` stands for the one that `settings` name.

    Scores and originals are kept in this process's memory, and no longer. Raises `ConfigError` for a wrong setting, and what a
    failing scorer raises.
    """
    pricing = Pricing.of(prices, settings.model, now)
    configs = [settings.config(keep) for keep in settings.keeps]
    inner = scorer or make_scorer(configs[0], settings.draft, "auto", None)
    if isinstance(inner, LazyScorer):
        inner.load()  # so that it is no part of the time that scoring takes
    shared = SharedScorer(inner)
    originals = Originals.in_memory()
    compressors = [Compressor(resolve_draft(settings.draft), one, scorer=shared, audit=SilentAudit(), cache="memory", originals=originals) for one in configs]
    replayer = Replayer(compressors, shared, compressors[0].counter, pricing)
    tally = Tally(settings.keeps, pricing)
    for recorded in watch(log.conversations):
        tally.add(replayer.replay(recorded))
    return tally.findings(log.name, _about(log, settings, compressors[0], pricing, shared), log.bad)


def _about(log: Log, settings: Settings, compressor: Compressor, pricing: Pricing, shared: SharedScorer) -> dict[str, object]:
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
