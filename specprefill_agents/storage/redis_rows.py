"""Rows on a server that machines share: the same bytes and the same checks as on disk, under keys that nobody can guess.

A server has no directory that only its owner can read, so the secret is given: the same to every process that shares its
rows. From it and the tenant comes a secret of the tenant's own, which shapes each key and signs each row: to another
tenant all of it is noise that never hits. A row holds texts and scores as they are; use `rediss://` where the way to the
server is not yours alone, and a server whose eviction policy spares rows with a time to live, or enough memory.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar

from specprefill_agents.storage.forking import watch_forks
from specprefill_agents.storage.redis_server import RedisServer, server_of
from specprefill_agents.storage.rows import HEAD_BYTES, ORIGINAL, DamagedRowError, RowKind, check_secret, row_key
from specprefill_agents.storage.score_cache import MAX_AGE_S, CacheStats, Scope, value_key
from specprefill_agents.storage.shelves import TEXT_SCOPE, Shelf, check_age

V = TypeVar("V")

logger = logging.getLogger("specprefill_agents.storage")

PREFIX = "specprefill"
"""Every key is this, the kind, and 64 hex digits."""
MOST_OWED = 10_000
DELIVERIES = 16
"""How many texts wait for a server at most, and how many one call takes there: it should not notice."""


@dataclass(frozen=True, slots=True)
class Found(Generic[V]):
    """What a server has under a name: the value, None where there is none that is sound, and the `head` that it begins with."""

    value: V | None
    head: bytes


class RedisRows:
    """Values of every `RowKind` on `server` (a `RedisServer`, or a URL), each for `max_age_s` seconds after its last use.

    `secret`, at least 16 bytes, is shared by all processes that share the rows; `tenant` separates users of one server. What is
    damaged, too large or by anyone without the secret is a miss. May be shared by threads, processes and forked children.
    Whatever fails is counted in `stats` and recorded by the server, never raised. Raises `ConfigError` at construction for a
    setting out of range, ImportError without the extra `redis`.
    """

    def __init__(self, server: RedisServer | str, *, secret: bytes, tenant: str = "", max_age_s: float = MAX_AGE_S) -> None:
        check_secret(secret)
        check_age(max_age_s)
        self.server = server_of(server)
        self.tenant = tenant
        self._secret = row_key(secret, "secret of a tenant's rows", tenant)
        self._max_age_s = max_age_s
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        watch_forks(self)

    def get(self, kind: RowKind[V], scope: Scope, name: str) -> V | None:
        """The value stored under `name`, or None; its arrays are the caller's own."""
        found = self.find(kind, scope, name)
        value = None if found is None else found.value
        self._count("misses" if value is None else "hits")
        return value

    def find(self, kind: RowKind[V], scope: Scope, name: str) -> Found[V] | None:
        """What is under `name`; None when the server cannot say."""
        key = self._key(kind, scope, name)
        row = self.server.read(_shown(kind, key), self._max_age_s)
        if not row:
            return None if row is None else Found(None, b"")
        try:
            if len(row) > self.server.max_value_bytes:
                raise DamagedRowError("a row beyond the limit")
            return Found(kind.load(row, key, self._secret), row[:HEAD_BYTES])
        except DamagedRowError as error:
            self._count("damaged")
            logger.debug("%s on %s not read: %s", kind.name, self.server.name, error)
            return Found(None, row[:HEAD_BYTES])

    def put(self, kind: RowKind[V], scope: Scope, name: str, value: V) -> None:
        """Store `value` under `name`, if that can be done."""
        self.store(kind, scope, name, value)

    def store(self, kind: RowKind[V], scope: Scope, name: str, value: V) -> bool | None:
        """As `put`; False when the server has not confirmed it, None for a value that it will never take."""
        key = self._key(kind, scope, name)
        row = self._row(kind, key, value)
        done = None if row is None else self.server.write(_shown(kind, key), row, self._max_age_s)
        self._count("stores" if done else "errors")
        return done

    def swap(self, kind: RowKind[V], scope: Scope, name: str, value: V, head: bytes) -> Found[V] | None:
        """Store `value` where what is under `name` still begins with `head`; what is there now, with None as value where it was not.

        None when the server cannot say, or the value cannot be stored.
        """
        key = self._key(kind, scope, name)
        row = self._row(kind, key, value)
        done = None if row is None else self.server.swap(_shown(kind, key), head, HEAD_BYTES, row, self._max_age_s)
        if row is None or done is None:
            self._count("errors")
            return None
        self._count("stores" if done else "misses")
        return Found(value, row[:HEAD_BYTES]) if done else Found(None, b"")

    @property
    def stats(self) -> CacheStats:
        """What this object has seen since it was made."""
        with self._lock:
            return CacheStats(**self._counts)

    def close(self) -> None:
        """Close the server's connections; the next call opens them again."""
        self.server.close()

    def __enter__(self) -> RedisRows:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def after_fork(self) -> None:
        """Start in the child with a lock that nobody holds."""
        self._lock = threading.Lock()

    def _key(self, kind: RowKind[Any], scope: Scope, name: str) -> bytes:
        return value_key(self._secret, kind, scope, name, self.tenant)

    def _row(self, kind: RowKind[V], key: bytes, value: V) -> bytes | None:
        """The row of a value; None, with a log line, for one that is not stored."""
        try:
            row = kind.dump(value, key, self._secret)
            if len(row) > self.server.max_value_bytes:
                raise ValueError(f"{len(row)} bytes, of at most {self.server.max_value_bytes}")
        except Exception as error:
            logger.warning("%s not written to %s: %s", kind.name, self.server.name, error)
            return None
        return row

    def _count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1


class RedisShelf:
    """Texts on a server, and on the shelf `local` too, which stands in where the server cannot be asked or has lost them.

    What the server could not take, or lost, is taken there once it answers again.
    """

    def __init__(self, rows: RedisRows, local: Shelf) -> None:
        self.rows = rows
        self.local = local
        self.after_fork()
        watch_forks(self)

    def after_fork(self) -> None:
        """Owe nothing in the child: what waited is the parent's to deliver."""
        self._owed: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, name: str) -> str | None:
        """The text under `name`, whose time starts anew; None when there is none, or none that is sound."""
        text, here = self.rows.get(ORIGINAL, TEXT_SCOPE, name), self.local.read(name)
        if text is None and here is not None:
            self._owe(name)
        elif text is not None and here is None:
            self.local.write(name, text)
        self._deliver()
        return here if text is None else text

    def write(self, name: str, text: str) -> bool:
        """Hold `text` under `name`; False when neither the server nor the local shelf can."""
        is_here, is_there = self.local.write(name, text), self.rows.store(ORIGINAL, TEXT_SCOPE, name, text)
        if is_here and is_there is False:
            self._owe(name)
        elif is_there:
            self._deliver()
        return is_here or bool(is_there)

    def close(self) -> None:
        """Let go of connections; the next call opens them again."""
        self.rows.close()
        self.local.close()

    def _owe(self, name: str) -> None:
        with self._lock:
            self._owed[name] = None
            while len(self._owed) > MOST_OWED:
                self._owed.popitem(last=False)

    def _deliver(self) -> None:
        """Take some of what waits to the server, until it takes no more."""
        for _ in range(DELIVERIES):
            with self._lock:
                if not self._owed:
                    return
                name, _nothing = self._owed.popitem(last=False)
            text = self.local.read(name)
            if text is not None and self.rows.store(ORIGINAL, TEXT_SCOPE, name, text) is False:
                self._owe(name)
                return


def _shown(kind: RowKind[Any], key: bytes) -> str:
    return f"{PREFIX}:{kind.name.replace(' ', '-')}:{key.hex()}"
