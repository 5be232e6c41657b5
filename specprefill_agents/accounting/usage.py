"""Reads what a provider reported of a call, in any of the shapes in which it comes. Pure; never raises, never guesses.

| shape | known by | its input count | read from the cache |
|---|---|---|---|
| LangChain `usage_metadata` | none of what follows | all input | `input_token_details.cache_read` |
| Anthropic | `cache_read_input_tokens` | neither read nor written | `cache_read_input_tokens` |
| OpenAI, Responses API | `input_tokens_details` | all input | `cached_tokens` of these |
| OpenAI, DeepSeek | `prompt_tokens` | all input | `prompt_cache_hit_tokens`, else `prompt_tokens_details.cached_tokens` |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from specprefill_agents.accounting.amounts import Tokens

NO_USAGE = "no usage was reported"
NO_CACHE_FIGURES = "the usage does not say what was read from the cache"
CONTRADICTION = "the cache figures contradict the input count"
_TIERS = ("priority", "flex", "batch")
_LIST_PRICE_TIERS = (None, "", "auto", "default", "standard")


@dataclass(frozen=True, slots=True)
class UsageReading:
    """What a usage says: its `tokens` (None when unreadable), what is wrong or missing, and whether list prices apply to it."""

    tokens: Tokens | None
    flags: tuple[str, ...] = ()
    at_list_price: bool = True


class _Unreadable(Exception):
    """A count that is none."""


def read_usage(usage: object) -> UsageReading:
    """The tokens of one call from its usage: a mapping, or an object with `model_dump`; None where there was none."""
    if usage is None:
        return UsageReading(None, (NO_USAGE,))
    fields = _fields(usage)
    if fields is None:
        return UsageReading(None, (f"the usage is a {type(usage).__name__}, not a table",))
    if not fields:
        return UsageReading(None, (NO_USAGE,))
    reader = _Reader(fields)
    try:
        tokens = reader.tokens()
    except _Unreadable as error:
        return UsageReading(None, (*reader.flags, str(error)), not reader.special)
    return UsageReading(tokens, tuple(reader.flags), not reader.special)


def _fields(usage: object) -> Mapping[str, Any] | None:
    if isinstance(usage, Mapping):
        return usage
    dump = getattr(usage, "model_dump", None)
    try:
        dumped = dump() if callable(dump) else None
    except Exception:  # of a provider's own type: the reading says of which, and that it is no table
        return None
    return dumped if isinstance(dumped, Mapping) else None


class _Reader:
    """One usage being read; collects what is odd about it."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields
        self.flags: list[str] = []
        self.special = False

    def tokens(self) -> Tokens:
        fields = self._fields
        self._note_tier(fields.get("service_tier"))
        if "prompt_tokens" in fields:
            return self._openai("prompt_tokens", "prompt_tokens_details", "completion_tokens")
        if "input_tokens_details" in fields:
            return self._openai("input_tokens", "input_tokens_details", "output_tokens")
        is_native = "cache_read_input_tokens" in fields or "cache_creation_input_tokens" in fields
        if is_native and "input_token_details" not in fields:
            return self._anthropic()
        return self._langchain()

    def _openai(self, input_name: str, details_name: str, output_name: str) -> Tokens:
        total, output = self._needed(input_name), self._needed(output_name)
        details = self._table(details_name)
        cached = self._count("cached_tokens", details)
        written = self._count("cache_write_tokens", details) or 0
        hit, miss = self._count("prompt_cache_hit_tokens"), self._count("prompt_cache_miss_tokens")
        if hit is None and miss is not None:
            hit = total - miss
        elif hit is not None and miss is not None and hit + miss != total:
            self.flags.append(CONTRADICTION)
            return Tokens(unsplit_tokens=total, output_tokens=output)
        if hit is not None and cached is not None and hit != cached:
            self.flags.append("prompt_cache_hit_tokens and cached_tokens differ; the first is used")
        self._note_audio(details)
        self._note_total(total + output)
        return self._split(total, cached if hit is None else hit, written, 0, output)

    def _anthropic(self) -> Tokens:
        rest, output = self._needed("input_tokens"), self._needed("output_tokens")
        read, written = self._count("cache_read_input_tokens"), self._count("cache_creation_input_tokens")
        if read is None and written is None:
            self.flags.append(NO_CACHE_FIGURES)
            return Tokens(unsplit_tokens=rest, output_tokens=output)
        short, long = self._writes(self._table("cache_creation"), written or 0)
        return Tokens(read or 0, rest, short, long, output_tokens=output)

    def _langchain(self) -> Tokens:
        total, output = self._needed("input_tokens"), self._needed("output_tokens")
        details = self._table("input_token_details")
        for tier in _TIERS:
            if any(str(key) == tier or str(key).startswith(f"{tier}_") for key in details):
                self._note_tier(tier)
                details = {**details, **{str(key).removeprefix(f"{tier}_"): value for key, value in details.items()}}
        short, long = self._writes(details, self._count("cache_creation", details) or 0)
        self._note_audio(details)
        self._note_total(total + output)
        return self._split(total, self._count("cache_read", details), short, long, output)

    def _writes(self, details: Mapping[str, Any], total: int) -> tuple[int, int]:
        """Tokens written for minutes and for an hour. LangChain gives a total of 0 beside the two counts."""
        short, long = (self._count(f"ephemeral_{time}_input_tokens", details) or 0 for time in ("5m", "1h"))
        if not short + long:
            return total, 0
        if total not in (0, short + long):
            self.flags.append("the counts of written tokens differ from their total; the counts are used")
        return short, long

    def _split(self, total: int, hit: int | None, short: int, long: int, output: int) -> Tokens:
        if hit is None:
            self.flags.append(NO_CACHE_FIGURES)
            return Tokens(unsplit_tokens=total, output_tokens=output)
        if hit < 0 or hit + short + long > total:
            self.flags.append(CONTRADICTION)
            return Tokens(unsplit_tokens=total, output_tokens=output)
        return Tokens(hit, total - hit - short - long, short, long, output_tokens=output)

    def _needed(self, name: str) -> int:
        value = self._count(name)
        if value is None:
            raise _Unreadable(f"the usage has no {name}")
        return value

    def _count(self, name: str, fields: Mapping[str, Any] | None = None) -> int | None:
        value = (self._fields if fields is None else fields).get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e15 or value != int(value):
            raise _Unreadable(f"{name} is no count of tokens")
        return int(value)

    def _table(self, name: str) -> Mapping[str, Any]:
        value = self._fields.get(name)
        return value if isinstance(value, Mapping) else {}

    def _note_tier(self, tier: object) -> None:
        if tier not in _LIST_PRICE_TIERS:
            self.special = True
            self.flags.append(f"service tier {tier}: not at list price")

    def _note_audio(self, details: Mapping[str, Any]) -> None:
        if self._count("audio", details) or self._count("audio_tokens", details):
            self.special = True
            self.flags.append("audio tokens: not at list price")

    def _note_total(self, expected: int) -> None:
        total = self._count("total_tokens")
        if total is not None and total != expected:
            self.flags.append("total_tokens is not input and output")
