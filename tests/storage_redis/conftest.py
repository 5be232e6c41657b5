"""A real server for all tests of a worker, emptied for each; and one of its own for a test that does it harm."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from benchmarks.store_faults.server import LocalServer
from specprefill_agents.storage.redis_server import RedisServer
from tests.storage_redis.shared_stores import Clock, Log


@pytest.fixture(scope="session")
def running() -> Iterator[LocalServer]:
    """The server of all tests that do it no harm."""
    with tempfile.TemporaryDirectory(prefix="sp-") as folder, LocalServer(Path(folder)) as server:
        yield server


@pytest.fixture
def raw(running: LocalServer) -> Iterator[Redis]:
    """What anyone who can reach the server can do; empty at first."""
    with running.client() as client:
        client.flushall()
        yield client


@pytest.fixture
def own() -> Iterator[LocalServer]:
    """A server of the test's own, running; it keeps what it holds over a restart."""
    with tempfile.TemporaryDirectory(prefix="sp-") as folder, LocalServer(Path(folder), appendonly="yes", appendfsync="always") as server:
        yield server


@pytest.fixture
def log() -> Log:
    """What the stores of a test record."""
    return Log()


@pytest.fixture
def clock() -> Clock:
    """The clock by which pauses pass."""
    return Clock()


@pytest.fixture
def connect(log: Log, clock: Clock) -> Iterator[Callable[..., RedisServer]]:
    """Makes connections to a URL, each as another process would; closes them at the end."""
    made: list[RedisServer] = []

    def make(url: str, **settings: object) -> RedisServer:
        made.append(RedisServer(url, audit=log, clock=clock, **{"timeout_s": 10, "connect_timeout_s": 10, **settings}))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for server in made:
        server.close()
