"""What DeepSeek's prefix cache hits over a series of requests, each given as plain texts: a short way to a `PrefixTracker`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from specprefill_agents.accounting.caching import DEEPSEEK
from specprefill_agents.accounting.tokens import TokenCounter
from specprefill_agents.accounting.tracking import PrefixTracker
from specprefill_agents.accounting.wire import Measurer, Part, wire_text

__all__ = ["PrefixCache", "PrefixUse", "wire_text"]

_ANY_TIME = datetime(2026, 1, 1, tzinfo=timezone.utc)
"""Units of this rule have no lifetime."""


@dataclass(frozen=True, slots=True)
class PrefixUse:
    """How one request of a conversation meets the cache, in target tokens.

    `common_tokens` is what it shares with the request before from the start, `previous_tokens` what that one had: they
    are equal when nothing that was sent has changed.
    """

    hit_tokens: int
    miss_tokens: int
    common_tokens: int
    previous_tokens: int

    @property
    def extends_previous(self) -> bool:
        """Whether the request begins with the whole request before."""
        return self.common_tokens == self.previous_tokens


class PrefixCache:
    """The cache of one account over a series of requests, each given as its messages' wire texts (see `wire_text`).

    Tools come first: their description is the first text of every request. A text is counted once, however often it is
    sent.
    """

    def __init__(self, counter: TokenCounter) -> None:
        self._tracker = PrefixTracker(Measurer(counter), [DEEPSEEK])

    def request(self, parts: Sequence[str]) -> PrefixUse:
        """Account for one request, and store what it leaves in the cache."""
        report = self._tracker.request([_raw(part) for part in parts], _ANY_TIME)
        tokens = report.use(DEEPSEEK.name).tokens
        return PrefixUse(tokens.hit_tokens, tokens.miss_tokens, report.common_tokens, report.previous_tokens)

    def answer(self, part: str) -> int:
        """Store the answer to the request before, and return its tokens."""
        return self._tracker.answer(_raw(part))


def _raw(text: str) -> Part:
    """A text that is sent as it is, whatever it stands for."""
    return Part(text, "system")
