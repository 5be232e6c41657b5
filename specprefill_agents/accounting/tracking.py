"""Follows the requests of one conversation against providers' prefix caches, and says of each where its prefix moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast

from specprefill_agents.accounting.cache_entries import CacheEntries
from specprefill_agents.accounting.caching import CacheRule, CacheUse
from specprefill_agents.accounting.changes import Moved, first_change, shared_prefix
from specprefill_agents.accounting.wire import Mark, Measurer, Part, Request
from specprefill_agents.errors import ConfigError

VERSION = 1
"""Of the serialized form."""


@dataclass(frozen=True, slots=True)
class PrefixReport:
    """One request beside the one before it. Bytes and tokens are of the whole requests, tools and system included.

    `common_bytes` is the longest common prefix; `common_tokens` are of its whole parts. `moved` is None when nothing that
    was sent has changed. `uses` has one entry per caching rule.
    """

    bytes: int
    tokens: int
    previous_bytes: int
    previous_tokens: int
    common_bytes: int
    common_tokens: int
    moved: Moved | None
    uses: tuple[CacheUse, ...]

    @property
    def extends_previous(self) -> bool:
        """Whether the request begins with the whole request before."""
        return self.moved is None

    def use(self, rule: str) -> CacheUse:
        """What the cache under the rule of that name made of it."""
        return next(use for use in self.uses if use.rule == rule)


class PrefixTracker:
    """One conversation's requests under one or several rules, each with the entries of an account.

    `entries` by rule name are shared with other conversations of the same account; without them the conversation has
    an account of its own. Keeps the texts of the last request, and no other. One thread at a time.
    """

    def __init__(self, measurer: Measurer, rules: Sequence[CacheRule], entries: Mapping[str, CacheEntries] | None = None) -> None:
        self._measurer = measurer
        self._rules = tuple(rules)
        self._entries = {rule.name: CacheEntries(rule.lifetime_s) for rule in self._rules} | dict(entries or {})
        self._previous = Request()

    def request(self, parts: Sequence[Part], now: datetime) -> PrefixReport:
        """Account for one request made at `now`, and store what it leaves in the caches."""
        current, previous = self._measurer.request(parts), self._previous
        shared = shared_prefix(previous, current)
        uses: list[CacheUse] = []
        for rule in self._rules:
            entries = self._entries[rule.name]
            entries.tick(now)
            uses.append(rule.use(current, entries, self._measurer))
            rule.store(current, entries)
        self._previous = current
        return PrefixReport(
            bytes=current.bytes,
            tokens=current.tokens,
            previous_bytes=previous.bytes,
            previous_tokens=previous.tokens,
            common_bytes=shared.bytes,
            common_tokens=shared.tokens,
            moved=first_change(previous, current),
            uses=tuple(uses),
        )

    def answer(self, part: Part) -> int:
        """Store the answer to the last request, and return its tokens."""
        link = self._measurer.link_after(self._previous, part)
        for rule in self._rules:
            rule.store_answer(link, self._entries[rule.name])
        return self._measurer.count(part.wire)

    @property
    def has_requests(self) -> bool:
        """Whether a request has been seen."""
        return bool(self._previous.marks)

    def idle_s(self, now: datetime) -> float | None:
        """Seconds since the last request, for a rule's `lifetime_s`; None before the first."""
        return min((idle for entries in self._entries.values() if (idle := entries.idle_s(now)) is not None), default=None)

    def to_dict(self) -> dict[str, Any]:
        """The tracker as plain JSON types, without any text: after a restart, causes are known and bytes inside a part are not."""
        return {
            "version": VERSION,
            "counter": self._measurer.name,
            "previous": [asdict(mark) for mark in self._previous.marks],
            "entries": {name: entries.to_dict() for name, entries in self._entries.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], measurer: Measurer, rules: Sequence[CacheRule]) -> PrefixTracker:
        """Continue. Raises `ConfigError` when the data come from another version, another tokenizer or other rules."""
        if data.get("version") != VERSION:
            raise ConfigError("version", data.get("version"), str(VERSION))
        if data.get("counter") != measurer.name:
            raise ConfigError("counter", data.get("counter"), f"{measurer.name} (the tokenizer that this tracker counts with)")
        stored = data.get("entries")
        if not isinstance(stored, Mapping) or set(stored) != {rule.name for rule in rules}:
            found = sorted(stored) if isinstance(stored, Mapping) else stored
            raise ConfigError("entries", found, f"entries under {', '.join(rule.name for rule in rules)}")
        tracker = cls(measurer, rules)
        tracker._entries = {rule.name: CacheEntries.from_dict(stored[rule.name], rule.lifetime_s) for rule in rules}
        try:
            tracker._previous = Request(tuple(Mark(**cast("dict[str, Any]", mark)) for mark in data["previous"]))
        except (KeyError, TypeError) as error:
            raise ConfigError("previous", type(data.get("previous")).__name__, "a list of marks") from error
        return tracker
