"""The rules of providers' prefix caches: what of a request was in the cache, and what the request leaves there. Pure.

A rule holds no state: what an account has in its cache is a `CacheEntries`, and whoever follows a conversation is a
`PrefixTracker`. Rules speak of tokens as counted here; providers add a few of their own to each message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from specprefill_agents.accounting.amounts import Tokens
from specprefill_agents.accounting.cache_entries import CacheEntries
from specprefill_agents.accounting.wire import Measurer, Request, chained, piece_digests
from specprefill_agents.errors import ConfigError


@dataclass(frozen=True, slots=True)
class CacheUse:
    """How one request meets one provider's cache: its input `tokens`, and how many were missed only since their time was up."""

    rule: str
    tokens: Tokens
    lapsed_tokens: int = 0


class CacheRule(Protocol):
    """One provider's rule. `lifetime_s` is how long an unused entry lives, None where that is not documented."""

    @property
    def name(self) -> str:
        """As it is called in prices and reports."""
        ...

    @property
    def lifetime_s(self) -> float | None:
        """Seconds."""
        ...

    def use(self, request: Request, entries: CacheEntries, measurer: Measurer) -> CacheUse:
        """What of `request` is read from the cache, what is written to it at a price, and what is neither."""
        ...

    def store(self, request: Request, entries: CacheEntries) -> None:
        """Keep what the request leaves in the cache, and refresh what it used."""
        ...

    def store_answer(self, link: str, entries: CacheEntries) -> None:
        """Keep what the request and its answer, a prefix named `link`, leave in the cache together."""
        ...


@dataclass(frozen=True, slots=True)
class NoCache:
    """No cache: all input is fresh."""

    name: str = "none"
    lifetime_s: float | None = None

    def use(self, request: Request, entries: CacheEntries, measurer: Measurer) -> CacheUse:
        """All misses."""
        return CacheUse(self.name, Tokens(miss_tokens=request.tokens))

    def store(self, request: Request, entries: CacheEntries) -> None:
        """Nothing."""

    def store_answer(self, link: str, entries: CacheEntries) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class DeepSeekCache:
    """A stored prefix is a unit, and a request hits it only when it begins with the whole of it.

    Units are stored where a request's input ends, where its answer ends, and where two requests were seen to share a
    beginning (api-docs.deepseek.com, KV cache). The provider also stores units at undocumented intervals of long input;
    those are left out, so this is a lower bound. It says nothing of how long they live.
    """

    name: str = "deepseek"
    lifetime_s: float | None = None

    def use(self, request: Request, entries: CacheEntries, measurer: Measurer) -> CacheUse:
        """Hits up to the end of the longest unit."""
        return _read(self.name, request, entries, lambda is_there: request.ends[_longest(request, "unit:", is_there)])

    def store(self, request: Request, entries: CacheEntries) -> None:
        """A unit at the request's end, and one where it leaves an earlier request."""
        used, shared = (_longest(request, kind, entries.holds) for kind in ("unit:", "seen:"))
        entries.put(f"seen:{mark.link}" for mark in request.marks)
        entries.put(f"unit:{request.link(size)}" for size in sorted({used, shared, len(request.marks)} - {0}))

    def store_answer(self, link: str, entries: CacheEntries) -> None:
        """A unit at the answer's end."""
        entries.put([f"unit:{link}"])


_PIECE_CHARS = 256


@dataclass(frozen=True, slots=True)
class OpenAICache:
    """Automatic, exact prefix, from `minimum_tokens` on in steps of `step_tokens` (OpenAI, prompt caching guide).

    Inside the first part that differs, texts are compared in pieces of 256 characters, so this is a lower bound.
    """

    name: str = "openai"
    lifetime_s: float | None = None
    minimum_tokens: int = 1024
    step_tokens: int = 128

    def use(self, request: Request, entries: CacheEntries, measurer: Measurer) -> CacheUse:
        """Hits up to the last step within the longest prefix that was sent before."""
        return _read(self.name, request, entries, lambda is_there: self._hit(request, is_there, measurer))

    def _hit(self, request: Request, is_there: Callable[[str], bool], measurer: Measurer) -> int:
        parts = _longest(request, "prefix:", is_there)
        tokens = request.ends[parts]
        if parts < len(request.texts):
            text = request.texts[parts]
            names = _pieces(request.link(parts), text)
            known = next((count for count, name in enumerate(names) if not is_there(name)), len(text) // _PIECE_CHARS)
            if known:  # less one token: the last one may reach beyond the piece
                tokens += min(max(0, measurer.count(text[: known * _PIECE_CHARS]) - 1), request.marks[parts].tokens)
        steps = tokens // self.step_tokens * self.step_tokens
        return steps if steps >= self.minimum_tokens else 0

    def store(self, request: Request, entries: CacheEntries) -> None:
        """Every beginning of the request."""
        known = _longest(request, "prefix:", entries.holds)
        for size in range(known, len(request.texts)):
            entries.put(_pieces(request.link(size), request.texts[size]))
        entries.put(f"prefix:{mark.link}" for mark in request.marks)

    def store_answer(self, link: str, entries: CacheEntries) -> None:
        """Nothing: prompts are cached, answers only once they are sent back."""


@dataclass(frozen=True, slots=True)
class AnthropicCache:
    """Explicit breakpoints, at the end of the tools, of the system prompt and of the last message, as is usual.

    An entry is written at every breakpoint of at least `minimum_tokens` (512 to 4,096 by model) at a price of its own, for
    five minutes, or for an hour when `is_long`, and every use gives it that time again. It is found up to `look_back_parts`
    before a breakpoint of a later request (Anthropic, prompt caching guide).
    """

    name: str = "anthropic"
    lifetime_s: float | None = 300.0
    minimum_tokens: int = 1024
    look_back_parts: int = 20
    is_long: bool = False

    def use(self, request: Request, entries: CacheEntries, measurer: Measurer) -> CacheUse:
        """Hits up to the longest entry; what follows up to the last breakpoint is written."""
        found = _read(self.name, request, entries, lambda is_there: request.ends[self._found(request, is_there)])
        hit = found.tokens.hit_tokens
        written = request.ends[max(self._breakpoints(request), default=0)] - hit
        fresh = request.tokens - hit - written
        if self.is_long:
            return CacheUse(self.name, Tokens(hit, fresh, long_write_tokens=written), found.lapsed_tokens)
        return CacheUse(self.name, Tokens(hit, fresh, write_tokens=written), found.lapsed_tokens)

    def store(self, request: Request, entries: CacheEntries) -> None:
        """An entry at each breakpoint, and the used one once more."""
        used = self._found(request, entries.holds)
        entries.put(f"entry:{request.link(size)}" for size in sorted({used, *self._breakpoints(request)} - {0}))

    def _found(self, request: Request, is_there: Callable[[str], bool]) -> int:
        """How many parts the longest entry has that a breakpoint finds."""
        sizes = {size - back for size in self._breakpoints(request) for back in range(min(size, self.look_back_parts))}
        return max((size for size in sizes if is_there(f"entry:{request.link(size)}")), default=0)

    def _breakpoints(self, request: Request) -> list[int]:
        """Sizes of the prefixes that end at a breakpoint and are long enough to be stored."""
        ends = {len(request.marks)}
        for section in ("tools", "system"):
            ends.add(max((size for size, mark in enumerate(request.marks, 1) if mark.section == section), default=0))
        return [size for size in sorted(ends) if request.ends[size] >= max(1, self.minimum_tokens)]

    def store_answer(self, link: str, entries: CacheEntries) -> None:
        """Nothing: an answer has no breakpoint before it is sent back."""


NONE = NoCache()
DEEPSEEK = DeepSeekCache()
OPENAI = OpenAICache()
ANTHROPIC = AnthropicCache()
ANTHROPIC_1H = AnthropicCache("anthropic-1h", 3600.0, is_long=True)

RULES: Mapping[str, CacheRule] = {rule.name: rule for rule in (DEEPSEEK, OPENAI, ANTHROPIC, ANTHROPIC_1H, NONE)}
"""By name. Lifetimes are those that providers document; another one is `dataclasses.replace(OPENAI, lifetime_s=600)`."""


def rule_named(name: str) -> CacheRule:
    """The rule of that name; raises `ConfigError` listing the known ones."""
    if name not in RULES:
        raise ConfigError("caching", name, f"one of {', '.join(RULES)}")
    return RULES[name]


def _read(name: str, request: Request, entries: CacheEntries, hit: Callable[[Callable[[str], bool]], int]) -> CacheUse:
    """A use whose hit tokens `hit` finds, given what tells whether an entry is there."""
    alive = hit(entries.holds)
    lapsed = max(0, hit(entries.held) - alive)
    return CacheUse(name, Tokens(hit_tokens=alive, miss_tokens=request.tokens - alive), lapsed)


def _longest(request: Request, kind: str, is_there: Callable[[str], bool]) -> int:
    """How many parts the longest beginning has that is there."""
    return next((size for size in range(len(request.marks), 0, -1) if is_there(f"{kind}{request.link(size)}")), 0)


def _pieces(before: str, text: str) -> list[str]:
    return [f"piece:{chained(before, digest)}" for digest in piece_digests(text, _PIECE_CHARS)]
