"""Dated prices of hosted models, as data. Pure: the time is passed in, and an unknown price is None, never 0.

Source: api-docs.deepseek.com, prices in force since 2026-08-16. Peak hours do not apply on Chinese public holidays; a
tariff without `holidays` therefore over-estimates on those days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timezone
from typing import Literal

from specprefill_agents.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Price:
    """What tokens cost in USD per 1M: input read from the provider's prefix cache, other input, output."""

    input_hit: float
    input_miss: float
    output: float
    window: Literal["off-peak", "peak"] = "off-peak"

    def cost_usd(self, hit_tokens: int, miss_tokens: int, output_tokens: int) -> float:
        """Cost in USD of a request, or of many."""
        return (hit_tokens * self.input_hit + miss_tokens * self.input_miss + output_tokens * self.output) / 1e6


@dataclass(frozen=True, slots=True)
class Tariff:
    """The prices of one model from the day `since` (UTC) on.

    `peak` applies on Mondays to Fridays within `peak_hours` (UTC, each from its start up to its end), except on
    `holidays`; a model without `peak` costs the same at all hours.
    """

    model: str
    since: date
    off_peak: Price
    peak: Price | None = None
    peak_hours: tuple[tuple[time, time], ...] = ()
    holidays: frozenset[date] = frozenset()

    def price_at(self, now: datetime) -> Price:
        """The price at `now`, in UTC."""
        is_workday = now.weekday() < 5 and now.date() not in self.holidays
        if self.peak and is_workday and any(start <= now.time() < end for start, end in self.peak_hours):
            return self.peak
        return self.off_peak


_SINCE = date(2026, 8, 16)
_PEAK_HOURS = ((time(1), time(4)), (time(6), time(10)))

TARIFFS: tuple[Tariff, ...] = (
    Tariff("deepseek-flash", _SINCE, Price(0.003, 0.15, 0.60), Price(0.006, 0.30, 1.20, "peak"), _PEAK_HOURS),
    Tariff("deepseek-v4-pro", _SINCE, Price(0.022, 0.66, 1.98), Price(0.044, 1.32, 3.96, "peak"), _PEAK_HOURS),
)

ALIASES = {"deepseek-v4-flash": "deepseek-flash"}
"""Names that a provider still serves with another model."""


def price_for(model: str, now: datetime, tariffs: Sequence[Tariff] = TARIFFS) -> Price | None:
    """The price of `model` at `now`: that of its newest tariff in force, None where there is none.

    Own prices go in front: `price_for(model, now, [mine, *TARIFFS])`; of two tariffs of one day the first holds.
    Raises `ConfigError` for a `now` without a time zone.
    """
    if now.tzinfo is None:
        raise ConfigError("now", now, "a datetime with a time zone")
    moment = now.astimezone(timezone.utc)
    in_force = [t for t in tariffs if t.model == ALIASES.get(model, model) and t.since <= moment.date()]
    return max(in_force, key=lambda tariff: tariff.since).price_at(moment) if in_force else None
