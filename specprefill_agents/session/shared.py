"""Conversations that several processes step, one after the other or at once: what one of them froze is frozen for all.

A step takes over what others decided meanwhile, decides, and offers its decisions to the store, which takes them only if
nobody came first. Who comes second drops what it has not sent yet and steps again over the decisions of the first. Without
a store to ask, a step is a local one; what it decided is offered with the next that finds the store.

Two processes that both stepped a conversation while neither had a store may have sent different bytes. The first to be back
is then right, and an audit record says on how much the other gives in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from specprefill_agents.compressor import Compressor
from specprefill_agents.errors import ConfigError
from specprefill_agents.session.conversation import VERSION, Session, Turn
from specprefill_agents.session.merging import contradictions, merged
from specprefill_agents.session.recompacting import CacheState, Recompacted
from specprefill_agents.storage.redis_rows import Found, RedisRows
from specprefill_agents.storage.redis_server import RedisServer
from specprefill_agents.storage.rows import DECISIONS
from specprefill_agents.storage.score_cache import MAX_AGE_S, Scope
from specprefill_agents.types import CompressionResult, Segment

T = TypeVar("T")

MOST_TRIES = 64
"""Of one step. Whenever one is in vain, another process has got ahead."""


class SessionStore:
    """Sessions by conversation, on `server` (a `RedisServer`, or a URL), each for `max_age_s` seconds after its last step.

    `secret` and `tenant` are as for `Originals.on_redis`, which should hold the originals. A conversation under other settings
    is another one. May be shared by threads, processes and forked children. Raises `ConfigError` at construction for a setting
    out of range, ImportError without the extra `redis`.
    """

    def __init__(
        self, server: RedisServer | str, compressor: Compressor, *, secret: bytes, tenant: str = "", max_age_s: float = MAX_AGE_S
    ) -> None:
        self.compressor = compressor
        self.rows = RedisRows(server, secret=secret, tenant=tenant, max_age_s=max_age_s)
        self._scope = Scope(f"session {VERSION}", compressor.fingerprint)

    def session(self, conversation_id: str, *, model_id: str | None = None) -> SharedSession:
        """The conversation as this process steps it; `model_id` names its target in records."""
        return SharedSession(self, conversation_id, model_id)

    def load(self, conversation_id: str, known: bytes = b"") -> Found[Mapping[str, Any]] | None:
        """What was saved, as `Session.to_dict` said it, and the head that `save` asks for; None when the store cannot say.

        What is no session of this compressor is as good as nothing, with an audit record; what begins with `known` is not
        examined again.
        """
        found = self.rows.find(DECISIONS, self._scope, conversation_id)
        if found is None or found.value is None or found.head == known:
            return found
        try:
            Session.from_dict(found.value, self.compressor)
        except Exception as error:
            cause = str(error) if isinstance(error, ConfigError) else type(error).__name__
            self.compressor.audit.record(
                "session", {"conversation": conversation_id, "fallback_reason": f"what was saved is unusable: {cause}"}
            )
            return Found(None, found.head)
        return found

    def save(self, conversation_id: str, data: Mapping[str, Any], head: bytes) -> bytes | None:
        """Replace what begins with `head` (b"": nothing). The new head; b"" when something else was there, None as in `load`."""
        done = self.rows.swap(DECISIONS, self._scope, conversation_id, data, head)
        return None if done is None else done.head

    def close(self) -> None:
        """Close the server's connections; the next call opens them again."""
        self.rows.close()


class SharedSession:
    """One conversation of a `SessionStore`; steps as a `Session` does. Steps of one object run one after the other.

    `model_id` is what audit records call the target; it may change from step to step.
    """

    def __init__(self, store: SessionStore, conversation_id: str, model_id: str | None = None) -> None:
        self.conversation_id = conversation_id
        self.model_id = model_id
        self._store = store
        self._session = store.compressor.session(conversation_id)
        self._sent = self._session.to_dict()
        self._head = b""
        self._is_saved = False
        self._lock = threading.Lock()

    @property
    def generation(self) -> int:
        """How often history was rewritten, as of the last step of this process."""
        return self._session.generation

    def step(self, segments: Sequence[Segment], query: str) -> CompressionResult:
        """As `Session.step`."""
        return self.steps([Turn(tuple(segments), query)])[0]

    def steps(self, turns: Sequence[Turn]) -> list[CompressionResult]:
        """As `Session.steps`."""
        return self._through(lambda session: session.steps(turns))

    def recompact(self, segments: Sequence[Segment], query: str, state: CacheState, *, force: bool = False) -> Recompacted | None:
        """As `Session.recompact`; every other process goes on with what comes of it."""
        return self._through(lambda session: session.recompact(segments, query, state, force=force))

    def to_dict(self) -> dict[str, Any]:
        """As `Session.to_dict`, after the last step of this process."""
        with self._lock:
            return self._session.to_dict()

    def _through(self, act: Callable[[Session], T]) -> T:
        """What `act` makes of the session in a try that nobody else's came before."""
        with self._lock:
            self._take_over()
            for _ in range(MOST_TRIES):
                self._session.model_id = self.model_id
                self._session.withhold_records()
                try:
                    made = act(self._session)
                    is_first = self._offer()
                except BaseException:
                    self._session.release_records()
                    raise
                if is_first:
                    break
                self._session = Session.from_dict(self._sent, self._store.compressor)
                self._take_over()
            else:
                self._record(f"not saved in {MOST_TRIES} tries")
                made = act(self._session)
                self._sent, self._is_saved = self._session.to_dict(), False
            self._session.release_records()
            return made

    def _take_over(self) -> None:
        """Go on with what the store has, if that is news."""
        found = self._store.load(self.conversation_id, self._head)
        if found is None:
            return
        if found.value is None:
            self._head, self._is_saved = found.head, False
            return
        if found.head == self._head:
            return
        self._head = found.head
        lost = contradictions(found.value, self._sent) if found.value["generation"] == self._sent["generation"] else 0
        if lost:
            self._record(f"{lost} decisions made without the store give way to those of another process")
        both = merged(found.value, self._sent)
        if both != self._sent:
            self._session = Session.from_dict(both, self._store.compressor)
            self._sent = both
        self._is_saved = both == found.value

    def _offer(self) -> bool:
        """Save what is decided now; False when another process saved something first."""
        data = self._session.to_dict()
        if self._is_saved and data == self._sent:
            return True
        head = self._store.save(self.conversation_id, data, self._head)
        if head == b"":
            return False
        self._head, self._is_saved = head or self._head, head is not None
        self._sent = data
        return True

    def _record(self, reason: str) -> None:
        self._store.compressor.audit.record("session", {"conversation": self.conversation_id, "fallback_reason": reason})
