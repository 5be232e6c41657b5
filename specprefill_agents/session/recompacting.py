"""Recompaction: when rewriting what was sent may pay. Pure arithmetic; `Session.recompact` goes by it.

Rewriting moves the prefix, so everything behind the first changed byte is paid for as fresh input once more. That is free
when the provider has forgotten the prefix anyway, and pays only over very many requests when it has not (see
`accounting.break_even`).
"""

from __future__ import annotations

from dataclasses import dataclass

from specprefill_agents.accounting.break_even import Rewrite, pays
from specprefill_agents.accounting.pricing import Price
from specprefill_agents.errors import ConfigError
from specprefill_agents.types import CompressionResult


@dataclass(frozen=True, slots=True)
class CacheState:
    """What is known of the provider's cache of a conversation. What is not known (None) speaks for leaving it alone.

    `idle_s` seconds have passed since the last request, and an unused entry lives for `lifetime_s`; `requests` follow at
    least, the present one included, at `price`. `other_tokens` are those of all that is sent beside the segments.
    """

    idle_s: float | None = None
    lifetime_s: float | None = None
    price: Price | None = None
    requests: int | None = None
    other_tokens: int = 0

    def __post_init__(self) -> None:
        for name in ("idle_s", "lifetime_s"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ConfigError(name, value, "seconds >= 0, or None")
        if self.requests is not None and self.requests < 1:
            raise ConfigError("requests", self.requests, "an integer >= 1, or None")
        if self.other_tokens < 0:
            raise ConfigError("other_tokens", self.other_tokens, "tokens >= 0")

    @property
    def is_cold(self) -> bool:
        """Whether the provider has certainly forgotten the prefix."""
        return self.idle_s is not None and self.lifetime_s is not None and self.idle_s > self.lifetime_s


@dataclass(frozen=True, slots=True)
class Recompacted:
    """What is sent from now on, and why history was rewritten."""

    result: CompressionResult
    reason: str


def why_rewrite(sent: CompressionResult, afresh: CompressionResult, state: CacheState) -> str:
    """Why to send `afresh` from now on in place of what was `sent` of the same segments; "" where it does not pay."""
    pairs = list(zip(sent.segments, afresh.segments, strict=True))
    first = next((index for index, (old, new) in enumerate(pairs) if old.text != new.text), None)
    if first is None:
        return ""
    removed = sum(old.kept_tokens - new.kept_tokens for old, new in pairs)
    if state.is_cold:
        return f"the cache is cold: idle for {state.idle_s:.0f} s, entries live for {state.lifetime_s:.0f} s" if removed > 0 else ""
    if removed <= 0 or state.requests is None:
        return ""
    tail = sum(new.kept_tokens for _, new in pairs[first:]) + state.other_tokens
    verdict = pays(Rewrite(removed, tail, state.requests), state.price)
    return f"{verdict} over {state.requests} requests" if verdict and verdict.pays else ""
