"""Dated prices of hosted models, as data. Pure: the time is passed in, and an unknown price is None, never 0.

Source: api-docs.deepseek.com, prices in force since 2026-08-16. Peak hours do not apply on Chinese public holidays; a
tariff without `holidays` therefore over-estimates on those days. Prices of your own models come from a file
(`price_file.load_prices`) or from `price_by_factors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timezone
from typing import Literal

from specprefill_agents.accounting.amounts import Tokens
from specprefill_agents.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Price:
    """What tokens cost in USD per 1M: input read from the provider's prefix cache, other input, output.

    `input_write` and `input_write_1h` are of input that is written to the cache for minutes or for an hour, where that
    has a price of its own; None: as other input.
    """

    input_hit: float
    input_miss: float
    output: float
    window: Literal["off-peak", "peak"] = "off-peak"
    input_write: float | None = None
    input_write_1h: float | None = None

    @property
    def fresh(self) -> float:
        """What a token costs that is sent for the first time and cached."""
        return self.input_miss if self.input_write is None else self.input_write

    def cost_usd(self, hit_tokens: int, miss_tokens: int, output_tokens: int) -> float:
        """Cost in USD of a request, or of many."""
        return (hit_tokens * self.input_hit + miss_tokens * self.input_miss + output_tokens * self.output) / 1e6

    def usd_of(self, tokens: Tokens) -> float | None:
        """Cost in USD of `tokens`; None where it depends on what is not known of them."""
        if tokens.unsplit_tokens and not self.is_flat:
            return None
        long = self.fresh if self.input_write_1h is None else self.input_write_1h
        written = (tokens.write_tokens * self.fresh + tokens.long_write_tokens * long) / 1e6
        return written + self.cost_usd(tokens.hit_tokens, tokens.miss_tokens + tokens.unsplit_tokens, tokens.output_tokens)

    @property
    def is_flat(self) -> bool:
        """Whether all input costs the same, whatever a cache does."""
        return {self.input_hit, self.input_write, self.input_write_1h} <= {self.input_miss, None}


@dataclass(frozen=True, slots=True)
class Tariff:
    """The prices of one model from the day `since` (UTC) on, under the rule `caching` of `caching.RULES`.

    `peak` applies on Mondays to Fridays within `peak_hours` (UTC, each from its start up to its end, past midnight when
    that is no later), except on `holidays`; a model without `peak` costs the same at all hours.
    """

    model: str
    since: date
    off_peak: Price
    peak: Price | None = None
    peak_hours: tuple[tuple[time, time], ...] = ()
    holidays: frozenset[date] = frozenset()
    caching: str = "none"
    source: str = ""

    def price_at(self, now: datetime) -> Price:
        """The price at `now`, in UTC."""
        is_workday = now.weekday() < 5 and now.date() not in self.holidays
        if self.peak and is_workday and any(_within(now.time(), *hours) for hours in self.peak_hours):
            return self.peak
        return self.off_peak


def _within(moment: time, start: time, end: time) -> bool:
    return start <= moment < end if start < end else moment >= start or moment < end


_SINCE = date(2026, 8, 16)
_PEAK_HOURS = ((time(1), time(4)), (time(6), time(10)))
_SOURCE = "api-docs.deepseek.com, pricing page"


def _deepseek(model: str, off_peak: Price, peak: Price) -> Tariff:
    return Tariff(model, _SINCE, off_peak, peak, _PEAK_HOURS, caching="deepseek", source=_SOURCE)


TARIFFS: tuple[Tariff, ...] = (
    _deepseek("deepseek-flash", Price(0.003, 0.15, 0.60), Price(0.006, 0.30, 1.20, "peak")),
    _deepseek("deepseek-v4-pro", Price(0.022, 0.66, 1.98), Price(0.044, 1.32, 3.96, "peak")),
)

ALIASES = {"deepseek-v4-flash": "deepseek-flash"}
"""Names that a provider still serves with another model."""


@dataclass(frozen=True, slots=True)
class CacheFactors:
    """What cached input costs relative to other input, as a provider documented it on the day `as_of`."""

    hit: float
    write: float | None
    write_1h: float | None
    as_of: date
    source: str


CACHE_FACTORS: Mapping[str, CacheFactors] = {
    "openai": CacheFactors(0.1, None, None, date(2026, 11, 22), "OpenAI, prompt caching guide (about 0.1x)"),
    "anthropic": CacheFactors(0.1, 1.25, 2.0, date(2026, 11, 22), "Anthropic, prompt caching guide"),
    "anthropic-1h": CacheFactors(0.1, 1.25, 2.0, date(2026, 11, 22), "Anthropic, prompt caching guide"),
}
"""By caching rule. What these providers charge for a model changes too often to ship: bring the two list prices."""


def price_by_factors(caching: str, input_miss: float, output: float) -> Price:
    """The price of a model from its two list prices, USD per 1M tokens, by `CACHE_FACTORS`. Raises `ConfigError` for other rules."""
    if caching not in CACHE_FACTORS:
        raise ConfigError("caching", caching, f"one of {', '.join(CACHE_FACTORS)}")
    factors = CACHE_FACTORS[caching]
    write, write_1h = (None if factor is None else factor * input_miss for factor in (factors.write, factors.write_1h))
    return Price(factors.hit * input_miss, input_miss, output, input_write=write, input_write_1h=write_1h)


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Tariffs and other names of their models; the shipped ones unless told otherwise."""

    tariffs: tuple[Tariff, ...] = TARIFFS
    aliases: Mapping[str, str] = field(default_factory=lambda: ALIASES)

    def price(self, model: str, now: datetime) -> Price | None:
        """The price of `model` at `now`, see `price_for`."""
        return price_for(model, now, self.tariffs, self.aliases)

    def caching(self, model: str) -> str | None:
        """The name of the caching rule that the newest tariff of `model` states; None for an unknown model."""
        known = _tariffs_of(model, self.tariffs, self.aliases)
        return max(known, key=lambda tariff: tariff.since).caching if known else None

    @property
    def models(self) -> tuple[str, ...]:
        """Every name with a price."""
        return tuple(dict.fromkeys([*(tariff.model for tariff in self.tariffs), *self.aliases]))


def price_for(model: str, now: datetime, tariffs: Sequence[Tariff] = TARIFFS, aliases: Mapping[str, str] = ALIASES) -> Price | None:
    """The price of `model` at `now`: that of its newest tariff in force, None where there is none.

    Own prices go in front: `price_for(model, now, [mine, *TARIFFS])`; of two tariffs of one day the first holds.
    Raises `ConfigError` for a `now` without a time zone.
    """
    moment = in_utc(now)
    in_force = [tariff for tariff in _tariffs_of(model, tariffs, aliases) if tariff.since <= moment.date()]
    return max(in_force, key=lambda tariff: tariff.since).price_at(moment) if in_force else None


def _tariffs_of(model: str, tariffs: Sequence[Tariff], aliases: Mapping[str, str]) -> list[Tariff]:
    """A tariff under the model's own name goes before one under another name for it."""
    own = [tariff for tariff in tariffs if tariff.model == model]
    return own or [tariff for tariff in tariffs if tariff.model == aliases.get(model)]


def in_utc(now: datetime) -> datetime:
    """`now` in UTC. Raises `ConfigError` where it has no time zone."""
    if now.tzinfo is None:
        raise ConfigError("now", now, "a datetime with a time zone")
    return now.astimezone(timezone.utc)
