"""One Redis or Valkey server, asked in a way that never makes a call fail: bytes in, bytes out, nothing when it cannot answer.

Knows no kind of value and trusts none: what is read is bounded before it is transferred, and whoever asked checks it. A
server that cannot be reached, is loading, full, read-only, part of a cluster or refuses the password costs one wait,
one record, and then nothing until its pause is over.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar
from urllib.parse import urlsplit

from specprefill_agents.errors import ConfigError, missing_extra
from specprefill_agents.observe.audit import AuditLog, SafeAudit, SilentAudit
from specprefill_agents.storage.forking import watch_forks
from specprefill_agents.storage.pausing import Pause

if TYPE_CHECKING:
    from redis import Redis

T = TypeVar("T")
Way: TypeAlias = Literal["read", "write"]

logger = logging.getLogger("specprefill_agents.storage")

TIMEOUT_S = 0.5
PAUSE_S = 5.0
MAX_VALUE_BYTES = 2**24
FOREVER_S = 1e10
"""A longer time to live than this is beyond what a server can count."""
OTHER_TYPE = b"\0"
"""Stands for a value that is no string; no value of ours begins so."""

_SWAP = """
local is_text = redis.call('TYPE', KEYS[1]).ok == 'string' or redis.call('EXISTS', KEYS[1]) == 0
if is_text and redis.call('GETRANGE', KEYS[1], 0, tonumber(ARGV[2])) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', tonumber(ARGV[4]))
return 1
"""


@dataclass(frozen=True, slots=True)
class ServerStats:
    """Counts of one `RedisServer` object: requests sent, those of them that failed, and those not sent during a pause."""

    asked: int = 0
    failed: int = 0
    skipped: int = 0


class RedisServer:
    """The server at `url`: `redis://`, `rediss://` (TLS) or `unix://`, as redis-py reads them.

    `timeout_s` and `connect_timeout_s` are how long one wait may take, `pause_s` how long nothing is asked after a failure; a
    server that only refuses to write is still read. `max_value_bytes` is the longest value that is read or written. `audit`
    gets one record when the server stops to answer, and one when it does again; the log says so in any case. May be shared by
    threads and forked children. Raises `ConfigError` at construction for a setting out of range, ImportError without the extra
    `redis`; connects on first use.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = TIMEOUT_S,
        connect_timeout_s: float = TIMEOUT_S,
        pause_s: float = PAUSE_S,
        max_value_bytes: int = MAX_VALUE_BYTES,
        audit: AuditLog | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for field, value in (("timeout_s", timeout_s), ("connect_timeout_s", connect_timeout_s), ("pause_s", pause_s)):
            if not value > 0:
                raise ConfigError(field, value, "seconds > 0")
        if max_value_bytes < 1:
            raise ConfigError("max_value_bytes", max_value_bytes, "an integer >= 1")
        self.name = _shown(url)
        self.max_value_bytes = max_value_bytes
        self._url = url
        self._timeouts = {"socket_timeout": timeout_s, "socket_connect_timeout": connect_timeout_s}
        self._audit = SafeAudit(audit or SilentAudit())
        self._pauses: dict[Way, Pause] = {"read": Pause(pause_s, clock), "write": Pause(pause_s, clock)}
        self._counts: Counter[str] = Counter()
        self._inherited: list[object] = []
        self._lock = threading.Lock()
        self._client = self._connected()
        watch_forks(self)

    def read(self, key: str, ttl_s: float) -> bytes | None:
        """What is under `key`, whose time starts anew; b"" when nothing is, None when the server cannot say.

        Of a value beyond the limit one byte more than that, of one that is no string `OTHER_TYPE`.
        """

        def ask(client: Redis) -> bytes:
            with client.pipeline(transaction=False) as pipeline:
                pipeline.getrange(key, 0, self.max_value_bytes)
                pipeline.pexpire(key, _ms(ttl_s))
                found, refreshed = pipeline.execute(raise_on_error=False)
            if isinstance(found, Exception):
                if str(found).startswith("WRONGTYPE"):
                    return OTHER_TYPE
                raise found
            if isinstance(refreshed, Exception):
                self._failed("write", refreshed)
            if not isinstance(found, bytes):
                raise TypeError(f"the server answered with {type(found).__name__}")
            return found

        return self._ask("read", ask)

    def write(self, key: str, value: bytes, ttl_s: float) -> bool:
        """Put `value` under `key` for so long; False when the server did not confirm that."""
        return bool(self._ask("write", lambda client: client.set(key, value, px=_ms(ttl_s))))

    def swap(self, key: str, head: bytes, length: int, value: bytes, ttl_s: float) -> bool | None:
        """Put `value` under `key` if what is there begins with `head`, its first `length` bytes (b"" where nothing is).

        Whatever is no string is replaced. False when something else was there, None when the server cannot say.
        """
        done = self._ask("write", lambda client: client.eval(_SWAP, 1, key, head, length - 1, value, _ms(ttl_s)))
        return None if done is None else done == 1

    def describe(self) -> str:
        """In a few words whether it answers, and what it is; else why not. Asks even during a pause."""
        try:
            found: dict[str, Any] = {**self._client.info("server"), **self._client.info("memory")}
        except Exception as error:
            return f"does not answer: {_reason(error)}"
        kind = "valkey" if "valkey_version" in found else "redis"
        limit = int(found.get("maxmemory", 0))
        held = f"{found.get('used_memory', 0) / 1e6:.0f} MB of " + (f"{limit / 1e6:.0f} MB" if limit else "unlimited memory")
        version = found.get("valkey_version") or found.get("redis_version")
        return f"answers: {kind} {version}, {held}, {found.get('maxmemory_policy', 'unknown policy')}"

    @property
    def stats(self) -> ServerStats:
        """What this object has asked since it was made."""
        with self._lock:
            return ServerStats(**self._counts)

    def close(self) -> None:
        """Close all connections; the next call opens them again."""
        self._client.connection_pool.disconnect()

    def after_fork(self) -> None:
        """Connect anew in the child: a connection must neither be used nor closed there."""
        self._inherited.append(self._client)
        self._lock = threading.Lock()
        for pause in self._pauses.values():
            pause.after_fork()
        self._client = self._connected()

    def _connected(self) -> Redis:
        try:
            from redis import Redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ModuleNotFoundError as error:
            raise missing_extra("A store on a Redis server", "redis") from error
        try:
            return Redis.from_url(self._url, **self._timeouts, retry=Retry(NoBackoff(), 0))
        except ValueError as error:
            raise ConfigError("url", self.name, "redis://host:port/db, rediss://host:port/db or unix:///path") from error

    def _ask(self, way: Way, ask: Callable[[Redis], T]) -> T | None:
        """The answer, or None."""
        if not self._pauses[way].allows():
            self._count("skipped")
            return None
        self._count("asked")
        try:
            answer = ask(self._client)
        except Exception as error:
            self._failed(way, error)
            return None
        if self._pauses[way].end():
            logger.info("the store %s can be %s again", self.name, _DONE[way])
            self._audit.record("store", {"store": self.name, "note": f"can be {_DONE[way]} again"})
        return answer

    def _failed(self, way: Way, error: Exception) -> None:
        from redis import ConnectionError as NoConnection
        from redis import TimeoutError as TooLate

        self._count("failed")
        ways: tuple[Way, ...] = ("read", "write") if isinstance(error, (NoConnection, TooLate, OSError)) else (way,)
        begun = [one for one in ways if self._pauses[one].begin()]
        if begun:
            reason = f"cannot be {' and '.join(_DONE[one] for one in begun)}: {_reason(error)}"
            logger.warning("the store %s %s", self.name, reason)
            self._audit.record("store", {"store": self.name, "fallback_reason": reason})
        else:
            logger.debug("the store %s still cannot be %s", self.name, _DONE[way], exc_info=error)

    def _count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1


_DONE: dict[Way, str] = {"read": "read", "write": "written to"}


def server_of(server: RedisServer | str) -> RedisServer:
    """`server` itself, or the one at that URL with the usual settings."""
    return RedisServer(server) if isinstance(server, str) else server


def _ms(seconds: float) -> int:
    return max(1, round(1000 * min(seconds, FOREVER_S)))


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _shown(url: str) -> str:
    """`url` without user, password and options. Raises `ConfigError` for what is no URL."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise ConfigError("url", "(not shown)", "redis://host:port/db, rediss://host:port/db or unix:///path") from error
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
