"""ScoreCache: what scorers compute, kept on disk for all of a user's processes. A cache never makes a call fail.

Rows are found by HMAC-SHA256 of what was computed, from which texts, by which draft and settings and for whom, under a
secret of the directory's own; they verify or they are a miss (`storage.rows`). Nothing is ever unpickled
(`storage.disk`).
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import diskcache

from specprefill_agents.errors import ConfigError
from specprefill_agents.storage.directory import cache_directory, check_private
from specprefill_agents.storage.disk import UnsafeRowError, open_private
from specprefill_agents.storage.forking import watch_forks
from specprefill_agents.storage.memory import KeyCache, MemoryKeyCache
from specprefill_agents.storage.rows import DamagedRowError, RowKind, row_key

if TYPE_CHECKING:
    from specprefill_agents.storage.redis_rows import RedisRows
    from specprefill_agents.storage.redis_server import RedisServer

__all__ = ["CacheStats", "KeyCache", "MemoryKeyCache", "RowStore", "Scope", "ScoreCache", "content_name", "default_cache", "value_key"]

V = TypeVar("V")

logger = logging.getLogger("specprefill_agents.storage")

DEFAULT_SIZE_LIMIT = 2**30
SMALLEST_SIZE_LIMIT = 2**20
"""In bytes on disk."""
LARGEST_SHARE = 8
"""A row larger than the limit divided by this is not stored: it would push out too much else."""
PAUSE_CALLS = 64
"""How many calls leave the disk alone after it could not be opened or was locked for too long."""
MAX_AGE_S = 7 * 24 * 3600.0
"""How long what has a time to live is kept after it was last stored or read, in seconds."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a value depends on besides its texts: `revision` of the draft's weights, `fingerprint` of the scorer."""

    revision: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Counts of one `ScoreCache` object. `damaged` and failed look-ups are among the `misses`.

    `damaged`: rows that were there and did not verify. `errors`: look-ups and stores that failed (disk full, locked,
    not writable).
    """

    hits: int = 0
    misses: int = 0
    damaged: int = 0
    stores: int = 0
    errors: int = 0


class RowStore(Protocol):
    """Keeps values of every `RowKind` for one tenant, and never makes a call fail."""

    @property
    def tenant(self) -> str:
        """Whose values these are; those of another tenant are misses."""
        ...

    def get(self, kind: RowKind[V], scope: Scope, name: str) -> V | None:
        """The value stored under `name`, or None; its arrays are the caller's own."""
        ...

    def put(self, kind: RowKind[V], scope: Scope, name: str, value: V) -> None:
        """Store `value` under `name`, if that can be done."""
        ...


def content_name(*texts: str) -> str:
    """Name of what is computed from `texts`, in their order: 64 hex digits."""
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()


def value_key(secret: bytes, kind: RowKind[Any], scope: Scope, name: str, tenant: str) -> bytes:
    """The key of the row that holds a value, in a directory with this `secret`."""
    return row_key(secret, kind.name, name, scope.revision, scope.fingerprint, tenant)


def default_cache() -> ScoreCache | None:
    """The cache in the user's own directory; None, with a log line, where that directory is not safe to use."""
    try:
        return ScoreCache(cache_directory())
    except ConfigError as error:
        logger.warning("scores are kept in memory only: %s", error)
        return None


class ScoreCache:
    """Values of every `RowKind` in `directory`, at most `size_limit` bytes, the least recently used dropped first.

    `tenant` separates users of one directory: rows of one are misses for another. `timeout_s` is how long one call
    waits for other processes. May be shared by threads, processes and forked children. The directory is opened on
    first use; whatever fails then or later is counted in `stats` and logged once, never raised. Raises `ConfigError`
    at construction for a setting out of range, or a directory that other users own or can write to.
    """

    _CONTENT, _EMPTIED_BY = "score cache", "specprefill cache clear"
    """What a log line calls this cache, and the command that makes a damaged one anew."""

    def __init__(self, directory: str | Path, *, tenant: str = "", size_limit: int = DEFAULT_SIZE_LIMIT, timeout_s: float = 1.0) -> None:
        if not isinstance(size_limit, int) or size_limit < SMALLEST_SIZE_LIMIT:
            raise ConfigError("size_limit", size_limit, f"an integer >= {SMALLEST_SIZE_LIMIT} (bytes)")
        if not timeout_s >= 0:
            raise ConfigError("timeout_s", timeout_s, "seconds >= 0")
        self.directory = Path(directory).expanduser()
        self.tenant = tenant
        self.size_limit = size_limit
        check_private(self.directory)
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._opened: tuple[diskcache.Cache, bytes] | None = None
        self._inherited: list[object] = []
        self._calls_to_pause = 0
        self._has_warned = False
        self._counts: Counter[str] = Counter()
        watch_forks(self)

    @staticmethod
    def on_redis(server: RedisServer | str, *, secret: bytes, tenant: str = "", max_age_s: float = MAX_AGE_S) -> RedisRows:
        """The same on a Redis or Valkey server (or its URL), for all machines that share it: see `RedisRows`."""
        from specprefill_agents.storage.redis_rows import RedisRows

        return RedisRows(server, secret=secret, tenant=tenant, max_age_s=max_age_s)

    def get(self, kind: RowKind[V], scope: Scope, name: str) -> V | None:
        """The value stored under `name`, or None; its arrays are the caller's own."""
        value = None
        try:
            opened = self._open()
            if opened is not None:
                cache, secret = opened
                key = self._key(secret, kind, scope, name)
                row = cache.get(key)
                value = None if row is None else kind.load(row, key, secret)
        except (DamagedRowError, UnsafeRowError):
            self._count("damaged")
        except Exception as error:
            self._failed("read", error)
        self._count("misses" if value is None else "hits")
        return value

    def put(self, kind: RowKind[V], scope: Scope, name: str, value: V) -> None:
        """Store `value` under `name`, dropping other rows as the limit asks."""
        try:
            opened = self._open()
            if opened is None:
                return
            cache, secret = opened
            key = self._key(secret, kind, scope, name)
            row = kind.dump(value, key, secret)
            if len(row) * LARGEST_SHARE > self.size_limit:
                raise ValueError(f"{kind.name} of {len(row)} bytes are too large for a limit of {self.size_limit}")
            cache.set(key, row, tag=kind.name)
            self._count("stores")
            if cache.volume() > self.size_limit:
                cache.cull()
        except Exception as error:
            self._failed("written", error)

    @property
    def stats(self) -> CacheStats:
        """What this object has seen since it was made."""
        with self._lock:
            return CacheStats(**self._counts)

    def close(self) -> None:
        """Close this thread's connection; the next call opens it again."""
        with self._lock:
            opened = self._opened
        if opened is not None:
            opened[0].close()

    def __enter__(self) -> ScoreCache:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def after_fork(self) -> None:
        """Open anew in the child: a connection must neither be used nor closed there."""
        self._inherited.append(self._opened)
        self._opened = None
        self._lock = threading.Lock()

    def _key(self, secret: bytes, kind: RowKind[Any], scope: Scope, name: str) -> bytes:
        return value_key(secret, kind, scope, name, self.tenant)

    def _open(self) -> tuple[diskcache.Cache, bytes] | None:
        """The open cache and its secret; None while the disk is left alone."""
        with self._lock:
            if self._calls_to_pause:
                self._calls_to_pause -= 1
                return None
            if self._opened is None:
                self._opened = open_private(self.directory, self.size_limit, self._timeout_s)
            return self._opened

    def _count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1

    def _failed(self, what: str, error: Exception) -> None:
        self._count("errors")
        with self._lock:
            opened, level = self._opened, logging.DEBUG if self._has_warned else logging.WARNING
            self._has_warned = True
            if opened is None or isinstance(error, diskcache.Timeout):
                self._calls_to_pause = PAUSE_CALLS
        logger.log(level, "%s in %s not %s: %s", self._CONTENT, self.directory, what, self._reason(error))
        if opened is not None:
            # What a failed commit left open would block every later call of this thread.
            with suppress(Exception):
                opened[0].close()

    def _reason(self, error: Exception) -> str:
        if isinstance(error, diskcache.Timeout):
            return "locked by another process, or not writable"
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            return f"damaged ({error}); make it anew with: {self._EMPTIED_BY}"
        return f"{type(error).__name__}: {error}"
