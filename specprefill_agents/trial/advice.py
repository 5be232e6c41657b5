"""A setting for each tool, by what was lost of its results in a trial. Pure.

A tool gets a setting of its own only where its own values say so: the ratio that keeps least and loses no more than `risk` of
them. Few values say little. Below the default the upper confidence bound must be near `risk` too, counted by model calls that
used values, since those of one call may share their fate; above it, where it is better to be careful, the lower bound by values must
be beyond `risk`. Everything else stays at the default, and the words say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from specprefill_agents.config import CompressionConfig
from specprefill_agents.errors import ConfigError
from specprefill_agents.trial.bounds import CONFIDENCE, lower_bound, upper_bound
from specprefill_agents.trial.findings import Effect, Findings, ToolRow
from specprefill_agents.types import KeepRatio

RISK = 0.02
"""Share of the values used that may be lost, unless told otherwise."""
UNSURE = 5.0
"""Below the default the upper bound on the share lost may be so many times `risk`: at 2 %, 29 model calls of which none lost any."""

Action: TypeAlias = Literal["default", "ratio", "exclude"]


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do with the results of one tool. `keep` is the ratio that then holds for them, 1 where they are excluded.

    `values` were used of them, of which `lost` could not be read under it; with the confidence of `bounds` the share of model
    calls that lose any is below `bound`.
    """

    tool: str
    action: Action
    keep: KeepRatio
    values: int
    lost: int
    bound: float
    why: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The `default` keep ratio for every tool, and what differs from it."""

    default: KeepRatio
    risk: float
    tools: tuple[Advice, ...]

    @property
    def ratios(self) -> dict[str, KeepRatio]:
        """Keep ratios of tools that have one of their own."""
        return {one.tool: one.keep for one in self.tools if one.action == "ratio"}

    @property
    def excluded(self) -> tuple[str, ...]:
        """Tools whose results pass unchanged."""
        return tuple(one.tool for one in self.tools if one.action == "exclude")


def recommend(findings: Findings, risk: float = RISK) -> Recommendation:
    """The settings that lose no more than `risk` of the values used. Raises `ConfigError` as `check_risk` does."""
    check_risk(risk)
    keeps = [row.effect.keep for row in findings.ratios]
    default = _nearest(CompressionConfig().keep_ratio, keeps)
    return Recommendation(default, risk, tuple(_for_tool(row, default, risk) for row in findings.tools))


def check_risk(risk: float) -> None:
    """Raise `ConfigError` unless `risk` is a share in [0, 1)."""
    if isinstance(risk, bool) or not 0 <= risk < 1:
        raise ConfigError("risk", risk, "a share in [0, 1), such as 0.02 for 2 %")


def _nearest(wanted: KeepRatio, keeps: Sequence[KeepRatio]) -> KeepRatio:
    """The measured ratio that is nearest to the one wanted, of equals the larger."""
    numbers = [keep for keep in keeps if keep != "auto"]
    return min(numbers, key=lambda keep: (abs(float(keep) - float(wanted)), -float(keep)), default="auto")


def _for_tool(row: ToolRow, default: KeepRatio, risk: float) -> Advice:
    usual = next(effect for effect in row.effects if effect.keep == default)
    cutting = sorted((one for one in row.effects if one.is_cut), key=lambda one: one.kept_tokens)
    if not row.tool:
        return _default(row, usual, "results without the name of a tool cannot have a setting of their own")
    if not cutting:
        return _default(row, usual, "nothing of it was cut: its results are too short, or nothing in them stands out")
    if not usual.values:
        return _default(row, usual, "none of its values was used later, so nothing speaks for another setting")
    paying = [effect for effect in cutting if effect.pays]
    if not paying:
        return _excluded(row, usual, f"{_counted(usual)} at the default; fetching what is lost costs more than all ratios tried save")
    fitting = [effect for effect in paying if effect.lost_share <= risk]
    if fitting and fitting[0].kept_tokens < usual.kept_tokens:
        return _sparing(row, fitting, usual, risk)
    return _careful(row, fitting, usual, risk)


def _sparing(row: ToolRow, fitting: Sequence[Effect], usual: Effect, risk: float) -> Advice:
    """The least of the `fitting` ratios below the default that is known well enough, else the default."""
    for effect in fitting:
        if effect.kept_tokens < usual.kept_tokens and _bound(effect) <= UNSURE * risk:
            why = f"{_counted(effect)}; with {CONFIDENCE:.0%} confidence fewer than {_percent(_bound(effect))} of the calls lose any"
            return _advice(row, "ratio", effect, why)
    if usual.lost_share > risk:
        return _careful(row, [effect for effect in fitting if effect.kept_tokens >= usual.kept_tokens], usual, risk)
    least = fitting[0]
    why = f"{_counted(least)} at {least.keep} too, but too few model calls ({least.calls}) used them to go lower"
    return _default(row, usual, why)


def _careful(row: ToolRow, fitting: Sequence[Effect], usual: Effect, risk: float) -> Advice:
    """The default where it holds or nothing speaks clearly against it; else what keeps more, or all."""
    if usual.lost_share <= risk:
        return _default(row, usual, _counted(usual))
    least = lower_bound(usual.lost, usual.values)
    if least <= risk:
        return _default(row, usual, f"{_counted(usual)}, which may be as little as {_percent(least)}: too few values to tell")
    if fitting:
        return _advice(row, "ratio", fitting[0], f"{_counted(usual)} at the default, {_counted(fitting[0])} here")
    left = usual.saved_usd - usual.fetch_usd
    still = f"; with all of it fetched by expand the default would still save ${left:.4g}" if usual.pays else ""
    return _excluded(row, usual, f"{_counted(usual)} at the default, and more than {_percent(risk)} at every ratio that pays{still}")


def _default(row: ToolRow, usual: Effect, why: str) -> Advice:
    return _advice(row, "default", usual, why)


def _excluded(row: ToolRow, usual: Effect, why: str) -> Advice:
    return Advice(row.tool, "exclude", 1.0, usual.values, 0, 0.0, why)


def _advice(row: ToolRow, action: Action, effect: Effect, why: str) -> Advice:
    return Advice(row.tool, action, effect.keep, effect.values, effect.lost, _bound(effect), why)


def _bound(effect: Effect) -> float:
    return upper_bound(effect.lost_calls, effect.calls)


def _counted(effect: Effect) -> str:
    return f"{effect.lost or 'none'} of {effect.values} value{'s' if effect.values != 1 else ''} lost"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
