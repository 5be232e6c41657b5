"""How a gateway is set up. Nothing of this can be chosen by a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from specprefill_agents.config import CompressionConfig
from specprefill_agents.draft.registry import DEFAULT_DRAFT
from specprefill_agents.errors import ConfigError
from specprefill_agents.observe.loopback import is_loopback
from specprefill_agents.session.sessions import MAX_SESSIONS

_COUNTS = (
    "max_body_bytes",
    "max_messages",
    "max_depth",
    "max_connections",
    "max_answer_bytes",
    "workers",
    "max_waiting",
    "max_sessions",
    "max_tenants",
    "max_expansions",
)
_SECONDS = ("body_timeout_s", "connect_timeout_s", "upstream_timeout_s", "client_timeout_s")
_FILES = ("api_key_env", "token_file", "ledger", "audit", "guardrails")


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Settings of one gateway. Raises `ConfigError` naming the field at construction.

    | field | range | meaning |
    |---|---|---|
    | `upstream` | http(s) URL | the base URL that clients would have, such as `https://api.deepseek.com/v1` |
    | `api_key_env` | name, or None | variable that holds the upstream's API key; None: the client's own `Authorization` is passed on |
    | `token_file` | path, or None | tokens that clients must show, one a line; needed on any address but loopback |
    | `host`, `port` | | where to listen; port 0 takes a free one |
    | `draft`, `compression` | | as of a `Compressor`; `originals` is on where `expand` is, else off, so that no mark names an id |
    | `expand` | True, False | whether models are given the tool `expand`, and the gateway answers its calls |
    | `max_expansions` | >= 1 | turns of one request that only expand; then the answer goes to the client without such calls |
    | `ledger`, `audit`, `guardrails` | path, or None | files: what calls cost (JSONL), what was decided (JSONL), rules (TOML) |
    | `max_body_bytes`, `max_messages`, `max_depth` | >= 1 | of a request; what is beyond is refused |
    | `max_connections` | >= 1 | open at once; further ones are answered 503 |
    | `max_answer_bytes` | >= 1 | of an answer held for the ledger, where longer ones are left out, or for `expand`, where they are 502 |
    | `workers`, `max_waiting` | >= 1 | threads that compress, and requests that wait for one; further ones are answered 503 |
    | `max_sessions`, `max_tenants` | >= 1 | conversations that are remembered, and API keys whose ledgers are followed |
    | `body_timeout_s` | seconds > 0 | a request must have arrived within |
    | `connect_timeout_s`, `upstream_timeout_s` | seconds > 0 | until the upstream takes a connection; how long it may stay silent |
    | `client_timeout_s` | seconds > 0 | how long a client may leave what it is sent unread |
    """

    upstream: str
    api_key_env: str | None = None
    token_file: str | None = None
    host: str = "127.0.0.1"
    port: int = 8787
    draft: str = DEFAULT_DRAFT
    compression: CompressionConfig = field(default_factory=lambda: CompressionConfig(originals=False))
    expand: bool = False
    max_expansions: int = 8
    ledger: str | None = None
    audit: str | None = None
    guardrails: str | None = None
    max_body_bytes: int = 32 * 2**20
    max_messages: int = 10_000
    max_depth: int = 64
    max_connections: int = 256
    max_answer_bytes: int = 16 * 2**20
    workers: int = 4
    max_waiting: int = 64
    max_sessions: int = MAX_SESSIONS
    max_tenants: int = 32
    body_timeout_s: float = 30.0
    connect_timeout_s: float = 10.0
    upstream_timeout_s: float = 600.0
    client_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        self._require("upstream", _is_base_url(self.upstream), "an http or https URL without user, query or fragment")
        for name in _FILES:
            value = getattr(self, name)
            self._require(name, value is None or (isinstance(value, str) and value != ""), "a name, or left out")
        self._require("host", isinstance(self.host, str) and self.host != "", "an address to listen on")
        self._require("port", _is_count(self.port, 0) and self.port < 2**16, "an integer from 0 to 65535")
        self._require("draft", isinstance(self.draft, str) and self.draft != "", "the name of a draft model")
        self._require("compression", isinstance(self.compression, CompressionConfig), "a CompressionConfig")
        self._require("expand", isinstance(self.expand, bool), "True or False")
        if self.compression.originals != self.expand:
            raise ConfigError("compression.originals", self.compression.originals, f"as `expand` is: {self.expand}")
        for name in _COUNTS:
            self._require(name, _is_count(getattr(self, name), 1), "an integer >= 1")
        for name in _SECONDS:
            value = getattr(self, name)
            is_seconds = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e6
            self._require(name, is_seconds, "seconds > 0")
        if self.token_file is None and not is_loopback(self.host):
            raise ConfigError("token_file", None, f"given where others than this machine can connect (host {self.host})")

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            raise ConfigError(name, getattr(self, name), allowed)


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_base_url(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment or "@" in parts.netloc)
