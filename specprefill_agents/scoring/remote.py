"""RemoteScorer: a scorer that is held by a service (`specprefill serve`), for agents that share one draft.

A service that answers gives the bytes that the same scorer gives in this process. One that does not is a failing part: the
compressor forwards originals, with an audit record.
"""

from __future__ import annotations

import copy
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from specprefill_agents.errors import ConfigError, ScoringError, missing_extra
from specprefill_agents.scoring.breaker import CircuitBreaker, check_breaker
from specprefill_agents.scoring.score_format import unpacked
from specprefill_agents.storage.forking import watch_forks
from specprefill_agents.types import TokenScores

if TYPE_CHECKING:
    import httpx

VARIABLE = "SPECPREFILL_SERVICE_TOKEN"
"""Environment variable that holds the bearer token, for services and for their clients."""

TRY_AGAIN = (429, 503)
"""Statuses of a service that may answer the same request later. Scoring twice does no harm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for a service, in seconds, and how often to try.

    `timeout_s` for one try, `connect_s` for a connection. Up to `tries`, for connections that fail and a service that is busy;
    before the n-th a pause of a random length up to `pause_s * 2**(n - 2)`, at most `longest_pause_s`. After `failures` calls in
    a row that failed nothing is sent for `cooldown_s`. Raises `ConfigError` for a value out of range.
    """

    timeout_s: float = 60.0
    connect_s: float = 2.0
    tries: int = 4
    pause_s: float = 0.1
    longest_pause_s: float = 2.0
    failures: int = 5
    cooldown_s: float = 10.0

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise ConfigError("tries", self.tries, "an integer >= 1")
        for name in ("timeout_s", "connect_s", "pause_s", "longest_pause_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(name, getattr(self, name), "seconds > 0")
        check_breaker(self.failures, self.cooldown_s)


@dataclass(frozen=True, slots=True)
class _Identity:
    """Which scorer a service is."""

    fingerprint: str
    takes_titles: bool


class RemoteScorer:
    """Scores by the service at `url`, such as `http://127.0.0.1:8765`. May be shared by threads.

    Asks the service at construction which scorer it is, so that decisions carry the same identity as with an embedded one; an
    answer of another scorer is an error from then on. With `asks_at_once` False it asks with the first call, so that an agent
    may start before its service. `token` is sent as bearer token; None: the environment's `SPECPREFILL_SERVICE_TOKEN`, if any.
    Raises `ConfigError` for no http(s) address, ImportError without httpx, and `ScoringError` when the service is asked and does
    not answer.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        patience: Patience | None = None,
        sleep: Callable[[float], None] = time.sleep,
        asks_at_once: bool = True,
    ) -> None:
        if not is_address(url):
            raise ConfigError("url", url, "an address that begins with http:// or https://")
        if "@" in urlsplit(url).netloc:  # the address stands in records
            raise ConfigError("url", "…", "an address without user and password; give the token")
        self._url = url.rstrip("/")
        self._token = token or os.environ.get(VARIABLE)
        self._patience = patience or Patience()
        self._breaker = CircuitBreaker(self._patience.failures, self._patience.cooldown_s)
        self._sleep = sleep
        self._tenant = ""
        self._identity: _Identity | None = None
        self.after_fork()
        watch_forks(self)
        if asks_at_once:
            self._identified()

    def for_tenant(self, tenant: str) -> RemoteScorer:
        """One over the same connections whose texts the service keeps for this tenant alone."""
        other = copy.copy(self)
        other._tenant = tenant
        watch_forks(other)
        return other

    @property
    def fingerprint(self) -> str:
        """The service's scorer. Raises `ScoringError` when it was not asked yet and does not answer."""
        return self._identified().fingerprint

    @property
    def is_loaded(self) -> bool:
        """Whether the service has said which scorer it is."""
        return self._identity is not None

    @property
    def takes_titles(self) -> bool:
        """Whether the service's scorer does; True as long as nobody knows, and what it does not take is left out then."""
        return self._identity is None or self._identity.takes_titles

    def after_fork(self) -> None:
        """Connections of the parent are not the child's."""
        self._client = _client(self._patience, self._token)

    def score(self, contexts: Sequence[str], query: str, titles: Sequence[str | None] = ()) -> list[TokenScores]:
        """As the service's scorer, bit for bit. Raises `ScoringError` when it cannot be had."""
        if not self._breaker.allows():
            raise ScoringError(f"the scoring service failed {self._patience.failures} times in a row, and is left alone for a while")
        try:
            known = self._identified()
            request: dict[str, Any] = {"contexts": list(contexts), "query": query}
            if titles and known.takes_titles:
                request["titles"] = list(titles)
            if self._tenant:
                request["tenant"] = self._tenant
            answer = self._asked("POST", "/v1/score", json.dumps(request).encode("ascii"))  # as escapes, lone surrogates survive
            if answer.get("scorer") != known.fingerprint:
                raise ScoringError("the scoring service has come to be another scorer; make a new RemoteScorer")
            scores = unpacked(answer.get("scores"))
        except ScoringError:
            self._breaker.failed()
            raise
        self._breaker.succeeded()
        return scores

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._client.close()

    def _identified(self) -> _Identity:
        if self._identity is None:
            told = self._asked("GET", "/v1/scorer")
            self._identity = _Identity(str(told.get("scorer")), told.get("takes_titles") is True)
        return self._identity

    def _asked(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        """The JSON object that the service answers, tried again while that may help."""
        import httpx

        for number in range(1, self._patience.tries + 1):
            wait_s = 0.0
            try:
                response = self._client.request(method, self._url + path, content=body)
            except httpx.TimeoutException as error:
                failure = f"did not answer in time ({type(error).__name__})"
                if not isinstance(error, (httpx.ConnectTimeout, httpx.PoolTimeout)):
                    break  # the time is spent
            except httpx.RequestError as error:
                failure = f"cannot be reached ({type(error).__name__})"
            else:
                if response.status_code == 200:
                    return _object(response)
                failure = f"answered {response.status_code}"
                if response.status_code not in TRY_AGAIN:
                    break
                wait_s = _seconds(response.headers.get("retry-after", ""))
            if number < self._patience.tries:
                self._sleep(self._pause(number, wait_s))
        raise ScoringError(f"the scoring service {failure}")

    def _pause(self, failed: int, asked_s: float) -> float:
        """Seconds before the next try: full jitter, so that the agents of a service that comes back do not all come at once.

        What the service asks for lengthens the range it is drawn from.
        """
        longest = min(self._patience.longest_pause_s, max(asked_s, self._patience.pause_s * 2 ** (failed - 1)))
        return random.uniform(0, longest)  # noqa: S311 - no secret


def is_address(name: str) -> bool:
    """Whether a scorer's name is the address of a service."""
    return name.startswith(("http://", "https://"))


def _client(patience: Patience, token: str | None) -> httpx.Client:
    try:
        import httpx
    except ModuleNotFoundError as error:
        raise missing_extra("A scorer behind a service", "serve") from error
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    # trust_env: a proxy of the environment must not see what agents read.
    return httpx.Client(headers=headers, timeout=httpx.Timeout(patience.timeout_s, connect=patience.connect_s), trust_env=False)


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        value = response.json()
    except (ValueError, RecursionError) as error:
        raise ScoringError("the scoring service answered something else than JSON") from error
    if not isinstance(value, dict):
        raise ScoringError("the scoring service answered something else than an object")
    return value


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isdecimal() else 0.0
