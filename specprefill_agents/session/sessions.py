"""The conversations that a compressor remembers where no state of an agent does: bounded, the ones used last.

A conversation that nobody named is known by its turns: a call that begins with all turns of an earlier one goes on with
that one's decisions. They are those that its messages alone would lead to, so this saves work, and changes no byte.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from specprefill_agents.compressor import Compressor
from specprefill_agents.errors import ConfigError
from specprefill_agents.session.conversation import Session, Turn
from specprefill_agents.types import CompressionResult

if TYPE_CHECKING:
    from specprefill_agents.session.shared import SessionStore

MAX_SESSIONS = 256

Key = TypeVar("Key")
Held = TypeVar("Held")


class Steps(Protocol):
    """A session, or what stands for one."""

    def steps(self, turns: Sequence[Turn]) -> list[CompressionResult]:
        """As `Session.steps`."""
        ...


class Sessions:
    """The sessions of the conversations used last, `limit` of those with a name and as many of the others.

    With a `store`, conversations with a name are those that other processes step as well. Raises `ConfigError` for a store of
    another compressor.
    """

    def __init__(self, compressor: Compressor, limit: int, model_id: str | None, store: SessionStore | None = None) -> None:
        if store is not None and store.compressor is not compressor:
            raise ConfigError("sessions", "a store of another compressor", "one that was made with the compressor given here")
        self._store = store
        self._compressor = compressor
        self._limit = limit
        self._model_id = model_id
        self._named: OrderedDict[str, Steps] = OrderedDict()
        self._others: OrderedDict[int, Session] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str | None, opening: str, compressor: Compressor | None = None) -> Steps:
        """What steps through the conversation `name`; where it has none, through the one that begins with `opening` and goes on so.

        A new one is compressed by `compressor`, where given: that of its tenant, which `name` and `opening` must tell too.
        """
        if name is None:
            return _Unnamed(self, name_of(opening), compressor)
        with self._lock:
            session = self._named.pop(name, None) or self._begun(name, compressor)
            _hold(self._named, name, session, self._limit)
            return session

    def _begun(self, name: str, compressor: Compressor | None) -> Steps:
        return self.new(name, compressor) if self._store is None else self._store.session(name, model_id=self._model_id)

    def new(self, name: str, compressor: Compressor | None = None) -> Session:
        """A session that has decided nothing."""
        session = (compressor or self._compressor).session(name)
        session.model_id = self._model_id
        return session

    def take(self, beginnings: Sequence[int]) -> Session | None:
        """The session that left the longest of these beginnings; nobody else gets it until it is kept again."""
        with self._lock:
            found = next((beginning for beginning in reversed(beginnings) if beginning in self._others), None)
            return None if found is None else self._others.pop(found)

    def keep(self, beginning: int, session: Session) -> None:
        """Hold a session that has come so far."""
        with self._lock:
            _hold(self._others, beginning, session, self._limit)


class _Unnamed:
    """A conversation that nobody named."""

    def __init__(self, sessions: Sessions, name: str, compressor: Compressor | None) -> None:
        self._sessions = sessions
        self._name = name
        self._compressor = compressor

    def steps(self, turns: Sequence[Turn]) -> list[CompressionResult]:
        """As `Session.steps`."""
        beginnings = list(_beginnings(self._name, turns))
        session = self._sessions.take(beginnings) or self._sessions.new(self._name, self._compressor)
        results = session.steps(turns)
        if beginnings:
            self._sessions.keep(beginnings[-1], session)
        return results


def name_of(opening: str) -> str:
    """What a conversation is called that nobody named: a digest of the text that it begins with, the same in every process."""
    return hashlib.sha256(opening.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _beginnings(name: str, turns: Sequence[Turn]) -> Iterator[int]:
    """What stands in this process for the first turn, for the first two, and so on, of a conversation that begins with `name`."""
    so_far = hash(name)
    for turn in turns:
        so_far = hash((so_far, turn))
        yield so_far


def _hold(held: OrderedDict[Key, Held], key: Key, session: Held, limit: int) -> None:
    held[key] = session
    held.move_to_end(key)
    while len(held) > limit:
        held.popitem(last=False)
