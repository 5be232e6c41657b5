"""What a provider's automatic prefix cache would hit: a model of DeepSeek's published rule, message by message. Pure.

A stored prefix is a unit, and a request hits it only when it begins with the whole of it. Units are stored where a
request's input ends, where its answer ends, and where two requests were seen to share a beginning
(api-docs.deepseek.com, KV cache). The provider also stores units at undocumented intervals of long input; those are
left out, so this is a lower bound.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from specprefill_agents.accounting.tokens import TokenCounter


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
        self._counter = counter
        self._counts: dict[str, int] = {}
        self._units: set[str] = set()
        self._seen: set[str] = set()
        self._previous: list[str] = []
        self._previous_tokens = 0

    def request(self, parts: Sequence[str]) -> PrefixUse:
        """Account for one request, and store what it leaves in the cache."""
        chain = _chain(parts)
        counts = [self._count(part) for part in parts]
        hit = _longest(chain, self._units)
        shared = _longest(chain, self._seen)
        common = next((i for i, (new, old) in enumerate(zip(chain, self._previous, strict=False)) if new != old), None)
        if common is None:
            common = min(len(chain), len(self._previous))
        use = PrefixUse(sum(counts[:hit]), sum(counts[hit:]), sum(counts[:common]), self._previous_tokens)
        self._units.update(chain[-1:], chain[shared - 1 : shared] if shared else [])
        self._seen.update(chain)
        self._previous, self._previous_tokens = chain, sum(counts)
        return use

    def answer(self, part: str) -> int:
        """Store the answer to the request before, and return its tokens."""
        before = self._previous[-1] if self._previous else ""
        self._units.add(_link(before, part))
        return self._count(part)

    def _count(self, part: str) -> int:
        key = _link("", part)
        if key not in self._counts:
            self._counts[key] = self._counter.count(part)
        return self._counts[key]


def wire_text(role: str, content: str, tool_calls: Sequence[Mapping[str, Any]] = (), tool_call_id: str = "") -> str:
    """One text that is equal for two messages exactly when a provider would see equal messages.

    `tool_calls` have `id`, `name` and `args` of plain JSON types. The content is unescaped, so that its tokens count
    about as the provider counts them.
    """
    calls = [f"{call.get('id') or ''} {call['name']} {json.dumps(call['args'], ensure_ascii=False)}" for call in tool_calls]
    return "\x1e".join([role, tool_call_id, content, *calls])


def _chain(parts: Sequence[str]) -> list[str]:
    """One name per prefix of `parts`: the first text, the first two, and so on."""
    chain: list[str] = []
    for part in parts:
        chain.append(_link(chain[-1] if chain else "", part))
    return chain


def _link(before: str, part: str) -> str:
    return hashlib.sha256(f"{before}\0{part}".encode("utf-8", "surrogatepass")).hexdigest()


def _longest(chain: Sequence[str], known: set[str]) -> int:
    """How many parts the longest known prefix has."""
    return next((size for size in range(len(chain), 0, -1) if chain[size - 1] in known), 0)
