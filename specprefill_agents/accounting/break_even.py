"""Whether a change of what is sent pays for itself at a price, by the formulas of prefix-cache economics. Pure.

With rho the price of a fresh token over that of a cached one, R the tokens removed, S the tokens from the edit to the end
of the request after it, and n the requests that still follow, the present one included: text that was never sent saves
R * (fresh + (n - 1) * hit); text that was sent saves R * n * hit and costs S * (fresh - hit), so it pays only when
R * n / S > rho - 1.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

from specprefill_agents.accounting.pricing import Price
from specprefill_agents.errors import ConfigError


class Change(Protocol):
    """A change of what is sent, with what it saves and costs on the input side in USD."""

    def saved_usd(self, price: Price) -> float:
        """What the tokens removed would have cost."""
        ...

    def rebilled_usd(self, price: Price) -> float:
        """What tokens cost that leave the cache by it."""
        ...


@dataclass(frozen=True, slots=True)
class AtEntry:
    """Text shortened by `removed_tokens` before it is sent for the first of `requests` times."""

    removed_tokens: float
    requests: float

    def __post_init__(self) -> None:
        _check(self, at_least_one=("requests",))

    def saved_usd(self, price: Price) -> float:
        """Once fresh, then from the cache."""
        return self.removed_tokens * (price.fresh + (self.requests - 1) * price.input_hit) / 1e6

    def rebilled_usd(self, price: Price) -> float:
        """Nothing: it was never in the cache."""
        return 0.0


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Text that was sent, now `removed_tokens` shorter, with `tail_tokens` from there to the end of the request after it.

    `requests` follow, the present one included. When `is_cold` the cache has forgotten all of it anyway.
    """

    removed_tokens: float
    tail_tokens: float
    requests: float
    is_cold: bool = False

    def __post_init__(self) -> None:
        _check(self, at_least_one=("requests",))

    def saved_usd(self, price: Price) -> float:
        """From the cache each time; when that is cold, fresh the first time."""
        first = price.fresh if self.is_cold else price.input_hit
        return self.removed_tokens * (first + (self.requests - 1) * price.input_hit) / 1e6

    def rebilled_usd(self, price: Price) -> float:
        """Everything behind the edit, fresh instead of cached."""
        return 0.0 if self.is_cold else self.tail_tokens * (price.fresh - price.input_hit) / 1e6


@dataclass(frozen=True, slots=True)
class ExtraTurns:
    """Further agent turns that a change is expected to cause: how many, and what one of them reads and writes."""

    count: float
    output_tokens: float
    cached_tokens: float = 0.0
    fresh_tokens: float = 0.0

    def __post_init__(self) -> None:
        _check(self)

    def usd(self, price: Price) -> float:
        """What they cost."""
        turn = self.cached_tokens * price.input_hit + self.fresh_tokens * price.fresh + self.output_tokens * price.output
        return self.count * turn / 1e6


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a change pays: what it saves and what it costs, in USD."""

    saved_usd: float
    cost_usd: float

    @property
    def pays(self) -> bool:
        """Whether it saves more than it costs; level is no."""
        return self.saved_usd > self.cost_usd

    def __str__(self) -> str:
        return f"{'pays' if self.pays else 'does not pay'}: saves ${self.saved_usd:.6f}, costs ${self.cost_usd:.6f}"


def pays(change: Change, price: Price | None, scorer_usd: float = 0.0, extra: ExtraTurns | None = None) -> Verdict | None:
    """The balance of a change with the scorer's dollars and the turns it may cause; None without a price."""
    if price is None:
        return None
    further = extra.usd(price) if extra else 0.0
    return Verdict(change.saved_usd(price), change.rebilled_usd(price) + scorer_usd + further)


def rho(price: Price) -> float:
    """The price of a fresh token over that of a cached one; infinite when cached ones are free."""
    return price.fresh / price.input_hit if price.input_hit else float("inf")


def requests_to_pay_off(removed_tokens: float, tail_tokens: float, price: Price) -> float:
    """After how many requests, the present one included, a rewrite of sent text is level; infinite when nothing is removed."""
    if not tail_tokens:
        return 0.0
    return (rho(price) - 1) * tail_tokens / removed_tokens if removed_tokens else float("inf")


def _check(value: AtEntry | Rewrite | ExtraTurns, at_least_one: tuple[str, ...] = ()) -> None:
    for name in (field.name for field in fields(value)):
        given, least = getattr(value, name), 1 if name in at_least_one else 0
        if not isinstance(given, bool) and not least <= given < float("inf"):
            raise ConfigError(name, given, f"a number >= {least}")
