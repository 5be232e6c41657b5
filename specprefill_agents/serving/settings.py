"""ServiceSettings: what a scoring service holds, and its limits; where it may listen."""

from __future__ import annotations

from dataclasses import dataclass, field

from specprefill_agents.config import CompressionConfig
from specprefill_agents.draft.registry import DEFAULT_DRAFT
from specprefill_agents.errors import ConfigError
from specprefill_agents.observe.loopback import is_loopback

SHORTEST_TOKEN = 16
"""Characters of a bearer token; a shorter one can be guessed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Settings of a service. Immutable; a wrong value raises `ConfigError` naming field, value and range.

    | field | unit, range | meaning |
    |---|---|---|
    | `config` | | of its compressors, where a request says nothing else; names the scorer |
    | `draft`, `device` | names | the draft that scores, and where it runs |
    | `token` | >= 16 characters, or None | what clients must send as `Authorization: Bearer`; None: nothing |
    | `threads` | >= 1 | requests worked on at a time; the draft itself reads one text at a time |
    | `max_waiting` | requests, >= 0 | what waits beyond those; the next is refused with 503 |
    | `max_body_bytes` | bytes, >= 1 | longest request body |
    | `max_contexts` | count, >= 1 | contexts or segments of one request |
    | `max_chars` | characters, >= 1 | contexts of one request to score, together |
    | `time_limit_s` | seconds, > 0 | waiting and work of one request; then 503 |
    | `body_limit_s` | seconds, > 0 | how long a body may take to arrive; then 408 |
    """

    config: CompressionConfig = field(default_factory=CompressionConfig)
    draft: str = DEFAULT_DRAFT
    device: str = "auto"
    token: str | None = field(default=None, repr=False)
    threads: int = 2
    max_waiting: int = 64
    max_body_bytes: int = 16 * 2**20
    max_contexts: int = 256
    max_chars: int = 2_000_000
    time_limit_s: float = 120.0
    body_limit_s: float = 30.0

    def __post_init__(self) -> None:
        for name, least in (("threads", 1), ("max_waiting", 0), ("max_body_bytes", 1), ("max_contexts", 1), ("max_chars", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(name, value, f"an integer >= {least}")
        for name in ("time_limit_s", "body_limit_s"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < float("inf"):
                raise ConfigError(name, value, "seconds > 0")
        if self.token is not None and (len(self.token) < SHORTEST_TOKEN or not self.token.isascii() or not self.token.isprintable()):
            raise ConfigError("token", "…", f"at least {SHORTEST_TOKEN} printable ASCII characters")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. `drain_s`: how long requests may take to end after SIGTERM; `max_connections`: beyond, 503."""

    host: str = "127.0.0.1"
    port: int = 8765
    drain_s: int = 30
    max_connections: int = 1024


def check_host(host: str, token: str | None) -> None:
    """Raise `ConfigError` for an address that others can reach while everybody would be served."""
    if token is None and not is_loopback(host):
        raise ConfigError("host", host, "a loopback address such as 127.0.0.1, or any with a token (--token-file)")
