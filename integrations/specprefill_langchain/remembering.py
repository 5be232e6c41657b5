"""Conversations of an agent as this process left them, so that a step works out only what is new.

What counts is the agent's state. A session is taken up again only where the state holds exactly what that session wrote
into it; after a retry, a branch or a step back in time it is made from the state anew.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from specprefill_agents.session import Session, Turn
from specprefill_agents.types import CompressionResult, Usage

MAX_REMEMBERED = 256


class Replay:
    """A session, and what came of the turns that it was asked for last: decisions are frozen, so the same comes of them again.

    One thread at a time.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._turns: list[Turn] | None = None
        self._results: list[CompressionResult] = []

    def steps(self, turns: Sequence[Turn]) -> list[CompressionResult]:
        """As `Session.steps`."""
        asked = list(turns)
        if asked == self._turns:
            return self._results
        self._turns = None  # should it raise, nothing is remembered
        results = self.session.steps(asked)
        self._turns, self._results = asked, [_frozen(result) for result in results]
        return results


class Remembered:
    """The conversations used last, `limit` of them, each by its id and by the state that it left. Safe to share between threads."""

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._limit = limit
        self._held: OrderedDict[str, tuple[Replay, Mapping[str, Any]]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str, state: Mapping[str, Any]) -> Replay | None:
        """The conversation `name`, where `state` is what it left; nobody else gets it until it is kept again."""
        with self._lock:
            replay, left = self._held.pop(name, (None, {}))
        return replay if all(state.get(field) == value for field, value in left.items()) else None

    def keep(self, name: str, replay: Replay, left: Mapping[str, Any]) -> None:
        """Hold a conversation until its next step; `left` is what its session is now, as `Session.to_dict` says."""
        with self._lock:
            self._held[name] = replay, left
            self._held.move_to_end(name)
            while len(self._held) > self._limit:
                self._held.popitem(last=False)


def _frozen(result: CompressionResult) -> CompressionResult:
    """The same outcome where nothing had to be scored for it."""
    usage = result.usage
    return replace(result, usage=Usage(original_tokens=usage.original_tokens, kept_tokens=usage.kept_tokens))
