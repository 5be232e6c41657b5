"""A server that is gone, slow, full or refuses: one wait, one record, local work with the same bytes, and then the server again.

Waits are counted, never timed: pauses pass by a clock of the test's own.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from benchmarks.store_faults.server import LocalServer
from specprefill_agents import Originals
from specprefill_agents.session.shared import SessionStore
from specprefill_agents.storage.layered import LayeredKeyCache
from specprefill_agents.storage.pausing import Pause
from specprefill_agents.storage.redis_rows import RedisRows
from specprefill_agents.storage.redis_server import PAUSE_S, RedisServer
from specprefill_agents.storage.rows import CONTEXT_KEYS, QUERY_VECTORS
from tests.cached_values import SCOPE, context_keys, same
from tests.storage_redis.shared_stores import SECRET, Clock, Log, compressor, outputs, steps

Connect = Callable[..., RedisServer]
SENT = steps(compressor(Originals.in_memory(secret=SECRET)).session("conversation"), outputs(6), "host")


@contextmanager
def answering(reply: bytes) -> Iterator[str]:
    """A server that says the same to every command, and hangs up after what is no whole line; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    while said := connection.recv(2**16):
                        connection.sendall(reply * (b"\r\n" + said).count(b"\r\n*"))
                        if not reply.endswith(b"\r\n"):
                            break

        threading.Thread(target=serve, daemon=True).start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0?protocol=2"
        listener.shutdown(socket.SHUT_RDWR)


def test_a_server_that_is_lost_costs_one_try_until_its_pause_is_over(own: LocalServer, connect: Connect, log: Log, clock: Clock) -> None:
    rows = RedisRows(connect(own.url), secret=SECRET)
    rows.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
    own.kill()
    for number in range(20):
        assert rows.get(CONTEXT_KEYS, SCOPE, "x") is None
        rows.put(CONTEXT_KEYS, SCOPE, str(number), context_keys(number))
    assert (rows.server.stats.asked, rows.server.stats.failed, rows.server.stats.skipped) == (2, 1, 39)
    clock.now += PAUSE_S
    for number in range(20):
        assert rows.get(CONTEXT_KEYS, SCOPE, "x") is None
        rows.put(CONTEXT_KEYS, SCOPE, str(number), context_keys(number))
    assert (rows.server.stats.asked, rows.server.stats.failed) == (3, 2)
    assert [record.partition(":")[0] for record in log.of("store")] == ["cannot be read and written to"]
    own.start()
    clock.now += PAUSE_S
    assert same(rows.get(CONTEXT_KEYS, SCOPE, "x"), context_keys(1)), "it kept what it had"
    rows.put(CONTEXT_KEYS, SCOPE, "y", context_keys(2))
    assert log.of("store")[1:] == ["can be read again", "can be written to again"]


def test_a_server_that_is_started_again_between_two_steps_is_not_missed(own: LocalServer, connect: Connect, log: Log) -> None:
    rows = RedisRows(connect(own.url), secret=SECRET)
    rows.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
    own.kill()
    own.start()
    assert same(rows.get(CONTEXT_KEYS, SCOPE, "x"), context_keys(1))
    assert log.rows == []


def test_a_server_that_answers_nothing_is_waited_for_once(own: LocalServer, connect: Connect, log: Log, clock: Clock) -> None:
    for number in range(10):
        RedisRows(connect(own.url), secret=SECRET).put(CONTEXT_KEYS, SCOPE, str(number), context_keys(number))
    rows = RedisRows(connect(own.url, timeout_s=0.1, connect_timeout_s=0.1), secret=SECRET)
    own.freeze()
    assert [rows.get(CONTEXT_KEYS, SCOPE, "1") for _ in range(10)] == [None] * 10
    assert (rows.server.stats.asked, rows.server.stats.failed, rows.server.stats.skipped) == (1, 1, 9)
    assert "TimeoutError" in log.of("store")[0]
    own.thaw()
    for number in range(10):
        found = None
        while found is None:
            clock.now += PAUSE_S  # and another try, should a busy machine be late
            found = rows.get(CONTEXT_KEYS, SCOPE, str(number))
        assert same(found, context_keys(number)), "no late answer is taken for another"


def test_a_full_server_is_still_read(own: LocalServer, connect: Connect, log: Log, clock: Clock) -> None:
    rows = RedisRows(connect(own.url), secret=SECRET)
    rows.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
    with own.client() as admin:
        admin.config_set("maxmemory", "1mb")
        for number in range(10):
            rows.put(QUERY_VECTORS, SCOPE, str(number), np.random.default_rng(number).random((64, 64, 64), np.float32))
            assert same(rows.get(CONTEXT_KEYS, SCOPE, "x"), context_keys(1))
        assert [record for record in log.of("store") if "OutOfMemoryError" in record] == log.of("store") != []
        assert rows.server.stats.failed == 1
        admin.config_set("maxmemory", "0")
    clock.now += PAUSE_S
    rows.put(CONTEXT_KEYS, SCOPE, "y", context_keys(2))
    assert same(rows.get(CONTEXT_KEYS, SCOPE, "y"), context_keys(2))
    assert log.of("store")[1:] == ["can be written to again"]


def test_a_read_only_replica_is_read_and_not_written_to(own: LocalServer, connect: Connect, log: Log) -> None:
    rows = RedisRows(connect(own.url), secret=SECRET)
    rows.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
    with own.client() as admin:
        admin.config_set("replica-serve-stale-data", "yes")
        admin.replicaof("127.0.0.1", "1")
        for _ in range(5):
            assert same(rows.get(CONTEXT_KEYS, SCOPE, "x"), context_keys(1))
            rows.put(CONTEXT_KEYS, SCOPE, "y", context_keys(2))
    assert len(log.of("store")) == 1
    assert "ReadOnlyError" in log.of("store")[0]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", "BusyLoadingError"),
        (b"-MOVED 3999 127.0.0.1:6381\r\n", "MovedError"),
        (b"-NOAUTH Authentication required.\r\n", "AuthenticationError"),
        (b"-ERR max number of clients reached\r\n", "Error"),
        (b"-CLUSTERDOWN The cluster is down\r\n", "ClusterDownError"),
        (b"$999999999999\r\nshort", "Error"),
        (b":7\r\n", "Error"),
        (b"*1\r\n*1\r\n+odd\r\n", "Error"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "Error"),
    ],
)
def test_whatever_a_server_says_instead_is_a_miss_with_one_record(connect: Connect, log: Log, reply: bytes, said: str) -> None:
    with answering(reply) as url:
        rows = RedisRows(connect(url), secret=SECRET)
        for _ in range(5):
            assert rows.get(CONTEXT_KEYS, SCOPE, "x") is None
            rows.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
        rows.close()
    assert 1 <= len(log.of("store")) <= 2, "for reading and for writing, unless at once"
    assert all(said in record for record in log.of("store"))
    assert rows.server.stats.failed == len(log.of("store"))


def test_a_wrong_password_is_local_work_and_is_not_shown(own: LocalServer, connect: Connect, log: Log) -> None:
    with own.client() as admin:
        admin.config_set("requirepass", "right")
    rows = RedisRows(connect(own.url.replace("unix://", "unix://user:wrong-one@")), secret=SECRET)
    for _ in range(5):
        assert rows.get(CONTEXT_KEYS, SCOPE, "x") is None
    (record,) = log.of("store")
    assert "AuthenticationError" in record
    assert "wrong-one" not in str(log.rows) + rows.server.name


def test_without_a_server_memory_does_the_work(connect: Connect) -> None:
    cache = LayeredKeyCache(RedisRows(connect("redis://127.0.0.1:1"), secret=SECRET), SCOPE)
    cache.put("x", context_keys(1))
    assert same(cache.get("x"), context_keys(1))
    assert cache.get("y") is None


@pytest.mark.parametrize("moment", range(7))
def test_a_server_lost_in_the_middle_changes_no_byte(own: LocalServer, connect: Connect, clock: Clock, moment: int) -> None:
    """And another process goes on with them, when the server is back and has forgotten nothing."""
    store = SessionStore(server := connect(own.url), compressor(Originals.on_redis(server, secret=SECRET)), secret=SECRET)
    session, segments = store.session("conversation"), outputs(6)
    for number in range(1, 7):
        if number == moment:
            own.kill()
        if number == moment + 2 and moment:
            own.start()
            clock.now += PAUSE_S
        assert [one.text for one in session.step(segments[:number], f"host {number}").segments] == SENT[:number]


def test_a_store_that_is_never_there_changes_no_byte(connect: Connect, log: Log) -> None:
    server = connect("redis://127.0.0.1:1")
    made = compressor(Originals.on_redis(server, secret=SECRET), log)
    assert steps(SessionStore(server, made, secret=SECRET).session("conversation"), outputs(6), "host") == SENT
    assert len(log.of("store")) == 1
    assert server.stats.failed == 1


def test_a_server_says_what_it_is(own: LocalServer, connect: Connect) -> None:
    server = connect(own.url)
    assert server.describe().startswith(("answers: redis ", "answers: valkey "))
    assert server.describe().endswith("unlimited memory, noeviction")
    own.kill()
    assert server.describe().startswith("does not answer: ConnectionError")


def test_of_many_callers_one_tries_when_a_pause_is_over() -> None:
    clock = Clock()
    pause = Pause(5, clock)
    assert pause.allows()
    assert [pause.begin(), pause.begin()] == [True, False]
    clock.now = 5
    assert [pause.allows() for _ in range(3)] == [True, False, False]
    clock.now = 10
    assert [pause.allows(), pause.end(), pause.end(), pause.allows()] == [True, True, False, True]
