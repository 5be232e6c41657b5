"""What stored rows cost: dollars of a run at a model's price, and what a policy's runs cost beside the uncompressed ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from benchmarks.loops.replay import START
from specprefill_agents.accounting.pricing import Price, PriceTable

Row: TypeAlias = Mapping[str, Any]
"""One run under one policy, as it is stored."""

DEAREST = 0.02
"""How much dearer than uncompressed a single conversation may be."""


def price_of(model: str) -> Price:
    """The off-peak price. Raises ValueError for a model without one, or whose prefix cache works by another rule."""
    prices = PriceTable()
    price = prices.price(model, START)
    if price is None or prices.caching(model) != "deepseek":
        known = ", ".join(name for name in prices.models if prices.caching(name) == "deepseek")
        raise ValueError(f"no price under DeepSeek's caching rule is known for model {model!r}; there are: {known}")
    return price


@dataclass(frozen=True, slots=True)
class Bill:
    """How a row is billed: at `price`, in an account that has served the agent before or not, with its closing request or not."""

    price: Price
    is_known: bool = False
    with_closing: bool = True

    def steps(self, row: Row) -> list[float]:
        """Dollars of each request."""
        hits = row["known_hit"] if self.is_known else row["hit"]
        inputs = [hit + miss for hit, miss in zip(row["hit"], row["miss"], strict=True)]
        each = [self.price.cost_usd(hit, all_ - hit, out) for hit, all_, out in zip(hits, inputs, row["output"], strict=True)]
        return each if self.with_closing or not row["closing"] else each[:-1]

    def usd(self, row: Row) -> float:
        """Dollars of a run."""
        return sum(self.steps(row))


@dataclass(frozen=True, slots=True)
class Comparison:
    """A policy's runs beside the same runs uncompressed: dollars, and (share dearer, run) of the dearer ones, dearest first."""

    usd: float
    plain_usd: float
    dearer: tuple[tuple[float, Row], ...]
    count: int

    @property
    def change(self) -> float:
        """Dollars more than uncompressed as a share; negative when cheaper."""
        return self.usd / self.plain_usd - 1 if self.plain_usd else 0.0

    @property
    def worst(self) -> float:
        """The share by which the dearest run is dearer; 0 when none is."""
        return self.dearer[0][0] if self.dearer else 0.0


def compare(rows: Sequence[Row], plain: Iterable[Row], bill: Bill) -> Comparison:
    """`rows` of one policy against the `plain` rows of the same runs."""
    base = {(row["set"], row["id"]): bill.usd(row) for row in plain}
    pairs = [(bill.usd(row), base[row["set"], row["id"]], row) for row in rows]
    # Sums of floats may differ in the last place where nothing else does.
    dearer = [(ours / before - 1, row) for ours, before, row in pairs if ours > before * (1 + 1e-9)]
    ordered = sorted(dearer, key=lambda pair: pair[0], reverse=True)
    return Comparison(sum(ours for ours, _, _ in pairs), sum(before for _, before, _ in pairs), tuple(ordered), len(pairs))
