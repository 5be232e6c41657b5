"""Guardrails: what whoever runs an agent may decide about its compression, under a name and a version, checked at construction.

Nothing here reads a file or a clock; `settings_file.load_guardrails` reads the TOML form. Every error is a `ConfigError` that
names the field as the file spells it, such as `drift.overlap_floor`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from specprefill_agents.config import CompressionConfig
from specprefill_agents.errors import ConfigError
from specprefill_agents.guardrails.checks import check, check_count, check_share, check_switch, check_text, is_number
from specprefill_agents.scoring.breaker import check_breaker
from specprefill_agents.types import KeepRatio

SCORERS = ("fused", "key_index", "bm25", "random", "head_tail", "speculative")
"""The names that `scoring.registry` knows; here again, so that a file is checked without importing what reads with a draft."""

_DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSettings:
    """`[tools.NAME]`: what holds for the results of one tool.

    `keep_ratio` in (0, 1] or `auto`, None: as for all. `exclude`: they pass unchanged; that wins over any ratio elsewhere.
    """

    name: str
    keep_ratio: KeepRatio | None = None
    exclude: bool = False

    def __post_init__(self) -> None:
        check("tools", self.name, isinstance(self.name, str) and self.name != "", "names of tools")
        check_switch(f"tools.{self.name}.exclude", self.exclude)
        if self.keep_ratio is None:
            return
        where = f"tools.{self.name}.keep_ratio"
        check(where, self.keep_ratio, not self.exclude, "nothing beside exclude = true")
        try:
            checked = CompressionConfig(keep_ratio=self.keep_ratio)
        except ConfigError as error:
            raise ConfigError(where, error.value, error.allowed) from error
        object.__setattr__(self, "keep_ratio", checked.keep_ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLimits:
    """`[limits]`: what one step may take. None: no limit of this file's.

    `max_step_ms`: milliseconds of scoring, from 1 to a day; after that the originals are forwarded. `max_step_tokens`: target
    tokens of a step's candidates, >= 1; when they have more together, all pass whole.
    """

    max_step_ms: float | None = None
    max_step_tokens: int | None = None

    def __post_init__(self) -> None:
        if (limit := self.max_step_ms) is not None:
            # From 1 on, since a number below it is a number of seconds by mistake.
            check("limits.max_step_ms", limit, is_number(limit) and 1 <= limit <= 1000 * _DAY_S, "milliseconds from 1 to 86,400,000")
        if self.max_step_tokens is not None:
            check_count("limits.max_step_tokens", self.max_step_tokens, "target tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """`[breaker]`: after so many `failures` in a row, >= 1, nothing is scored for `cooldown_s` seconds, in (0, a day]."""

    failures: int = 5
    cooldown_s: float = 60.0

    def __post_init__(self) -> None:
        check_breaker(self.failures, self.cooldown_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSettings:
    """`[drift]`: on a `share` of steps, in [0, 1], what is kept is compared with what `scorer` would keep.

    A mean over the last `window` samples, from `min_samples` on, that is below its floor, in [0, 1], is an alert: the overlap
    of what is kept (`overlap_floor`), the share of next actions that are the same with and without compression
    (`action_floor`), or, of every answer of a local target, the share of guessed tokens that it accepts
    (`acceptance_floor`). None: it is measured, and nothing else. `scorer` is one of `SCORERS`; `speculative` is the published
    algorithm.
    """

    share: float = 0.0
    scorer: str = "bm25"
    overlap_floor: float | None = None
    action_floor: float | None = None
    acceptance_floor: float | None = None
    window: int = 50
    min_samples: int = 20

    def __post_init__(self) -> None:
        check_share("drift.share", self.share)
        check_scorer("drift.scorer", self.scorer)
        for name in ("overlap_floor", "action_floor"):
            if (floor := getattr(self, name)) is not None:
                check_share(f"drift.{name}", floor)
                check(f"drift.{name}", floor, self.share > 0, "a floor only beside drift.share > 0: without samples nothing is measured")
        if self.acceptance_floor is not None:
            check_share("drift.acceptance_floor", self.acceptance_floor)
        check_count("drift.window", self.window, "samples", most=10_000)
        check_count("drift.min_samples", self.min_samples, "samples; no more than drift.window", most=self.window)


@dataclass(frozen=True, slots=True, kw_only=True)
class AbSettings:
    """`[ab]`: a `control_share` of conversations, in [0, 1], runs uncompressed; another `salt` chooses other ones."""

    control_share: float = 0.0
    salt: str = ""

    def __post_init__(self) -> None:
        check_share("ab.control_share", self.control_share)
        check("ab.salt", self.salt, isinstance(self.salt, str), "a text")


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEvenSettings:
    """`[break_even]`: what compressing is weighed against. Nothing is given: nothing is weighed.

    | field | unit, range | meaning |
    |---|---|---|
    | `model` | name in the price table, or None | of the target; without a price, money says nothing |
    | `expected_requests` | requests, >= 1 | how many a new text is expected to be part of; 1 counts no later saving |
    | `machine_usd_per_hour` | USD, >= 0 | what the draft's machine costs while it scores |
    | `target_prefill_tokens_per_s` | target tokens per second, > 0, or None | how fast a local target reads, as measured |
    """

    model: str | None = None
    expected_requests: float = 1.0
    machine_usd_per_hour: float = 0.0
    target_prefill_tokens_per_s: float | None = None

    def __post_init__(self) -> None:
        if self.model is not None:
            check_text("break_even.model", self.model)
        requests, usd, speed = self.expected_requests, self.machine_usd_per_hour, self.target_prefill_tokens_per_s
        check("break_even.expected_requests", requests, is_number(requests) and requests >= 1, "a number of requests >= 1")
        check("break_even.machine_usd_per_hour", usd, is_number(usd) and 0 <= usd <= 10_000, "USD per hour from 0 to 10,000")
        if speed is not None:
            holds = is_number(speed) and speed > 0
            check("break_even.target_prefill_tokens_per_s", speed, holds, "target tokens per second > 0")


SECTIONS: Mapping[str, type] = {
    "limits": StepLimits,
    "breaker": BreakerSettings,
    "drift": DriftSettings,
    "ab": AbSettings,
    "break_even": BreakEvenSettings,
}
"""The tables of which there is one each, by the name that field and file give them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrails:
    """All of it, under an `id` (text) and a `version` (integer >= 1 or text) that go with every decision made under it.

    `enabled` false forwards every original. `compression` are settings of `CompressionConfig`, given as a mapping or as pairs,
    and held as pairs sorted by name.
    """

    id: str
    version: int | str
    enabled: bool = True
    compression: Mapping[str, Any] | tuple[tuple[str, Any], ...] = ()
    tools: tuple[ToolSettings, ...] = ()
    limits: StepLimits = field(default_factory=StepLimits)
    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    drift: DriftSettings = field(default_factory=DriftSettings)
    ab: AbSettings = field(default_factory=AbSettings)
    break_even: BreakEvenSettings = field(default_factory=BreakEvenSettings)

    def __post_init__(self) -> None:
        check_text("id", self.id)
        version = self.version
        is_version = version >= 1 if isinstance(version, int) and not isinstance(version, bool) else isinstance(version, str)
        check("version", version, is_version and str(version).strip() != "", "an integer >= 1, or a text that is not empty")
        check_switch("enabled", self.enabled)
        for name, kind in SECTIONS.items():
            section = getattr(self, name)
            check(name, section, isinstance(section, kind), "a table of its settings")
        object.__setattr__(self, "compression", _checked_compression(self.compression))
        are_tools = isinstance(self.tools, tuple) and all(isinstance(tool, ToolSettings) for tool in self.tools)
        check("tools", self.tools, are_tools, "a table for each tool")
        object.__setattr__(self, "tools", tuple(sorted(self.tools, key=lambda tool: tool.name)))
        for one, other in zip(self.tools, self.tools[1:], strict=False):
            check(f"tools.{one.name}", one.name, one.name != other.name, "each tool once")
        self.compression_config()

    def compression_config(self, base: CompressionConfig | None = None) -> CompressionConfig:
        """`base` (the defaults unless given) as these guardrails change it.

        What is more specific wins: a table `[tools.NAME]` and `limits.max_step_ms` over `[compression]`, that over `base`. What
        is switched off, excluded or must be kept in any of them is so in the result. Raises `ConfigError` where drift would be
        measured with the scorer that is measured.
        """
        start = base or CompressionConfig()
        config = replace(start, **dict(self.compression))
        config = replace(
            config,
            enabled=self.enabled and config.enabled and start.enabled,
            exclude_tools=tuple(dict.fromkeys([*start.exclude_tools, *config.exclude_tools, *self._excluded])),
            force_keep=tuple(dict.fromkeys([*start.force_keep, *config.force_keep])),
            tool_keep_ratio={**dict(start.tool_keep_ratio), **dict(config.tool_keep_ratio), **self._keep_ratios},
        )
        if self.limits.max_step_ms is not None:
            config = replace(config, timeout_s=self.limits.max_step_ms / 1000)
        is_other = self.drift.share == 0 or self.drift.scorer != config.scorer
        check("drift.scorer", self.drift.scorer, is_other, "another scorer than the one that is measured")
        return config

    def audit_fields(self) -> dict[str, Any]:
        """What every record of a decision holds of them; plain JSON types."""
        return {"guardrails_id": self.id, "guardrails_version": self.version}

    @property
    def _excluded(self) -> list[str]:
        return [tool.name for tool in self.tools if tool.exclude]

    @property
    def _keep_ratios(self) -> dict[str, KeepRatio]:
        return {tool.name: tool.keep_ratio for tool in self.tools if tool.keep_ratio is not None}


def check_scorer(field: str, value: object) -> None:
    """One of `SCORERS`."""
    check(field, value, value in SCORERS, f"one of {', '.join(SCORERS)}")


def _checked_compression(given: object) -> tuple[tuple[str, Any], ...]:
    """The settings in the form in which a config holds them, sorted by name."""
    check("compression", given, isinstance(given, (Mapping, tuple)), "a table of settings")
    values = dict(cast(Mapping[str, Any], given))
    try:
        config = CompressionConfig.from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"compression.{error.field}", error.value, error.allowed) from error
    if "scorer" in values:
        check_scorer("compression.scorer", config.scorer)
    return tuple((name, getattr(config, name)) for name in sorted(values))
