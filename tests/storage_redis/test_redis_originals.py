"""Originals on a server: a text comes back byte for byte, on any machine, to whom it belongs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from redis import Redis

from benchmarks.store_faults.server import LocalServer
from specprefill_agents import ConfigError, Originals
from specprefill_agents.storage.redis_rows import DELIVERIES, RedisShelf
from specprefill_agents.storage.redis_server import RedisServer
from specprefill_agents.storage.shelves import DiskShelf
from tests.storage_redis.shared_stores import SECRET, Clock, Log
from tests.strategies import TEXTS

Connect = Callable[..., RedisServer]
Opened = Callable[..., Originals]


@pytest.fixture
def opened(raw: Redis, running: LocalServer, connect: Connect) -> Opened:
    """Opens the originals on the server, each time as another machine would."""

    def make(**settings: object) -> Originals:
        return Originals.on_redis(connect(running.url), **{"secret": SECRET, **settings})  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="module")
def kept(running: LocalServer) -> Iterator[Originals]:
    """For examples that need not start empty."""
    with Originals.on_redis(RedisServer(running.url, timeout_s=10), secret=SECRET) as originals:
        yield originals


def shelf_of(originals: Originals) -> RedisShelf:
    (shelf,) = originals.shelves
    assert isinstance(shelf, RedisShelf)
    return shelf


@given(text=TEXTS)
def test_any_text_comes_back_byte_for_byte(kept: Originals, text: str) -> None:
    name = kept.put(text)
    assert kept.get(name) == text
    assert kept.id_of(text) == kept.put(text) == name
    assert shelf_of(kept).rows.server.stats.failed == 0


def test_an_id_is_the_same_as_on_disk_and_in_memory_with_that_secret(opened: Opened, tmp_path: Path) -> None:
    with Originals.on_disk(tmp_path / "originals", tenant="us", secret=SECRET, timeout_s=10) as disk:
        stores = [disk, opened(tenant="us"), Originals.in_memory(tenant="us", secret=SECRET)]
        assert len({store.put("a text") for store in stores}) == 1
        assert [store.get(store.id_of("a text")) for store in stores] == ["a text"] * 3


def test_another_machine_reads_the_text_and_starts_its_time_anew(opened: Opened, raw: Redis) -> None:
    name = opened(max_age_s=1000).put("a text")
    (key,) = raw.keys()
    assert 990 < raw.ttl(key) <= 1000
    raw.expire(key, 5)
    assert opened(max_age_s=1000).get(name) == "a text"
    assert 990 < raw.ttl(key) <= 1000


def test_no_id_of_another_tenant_or_secret_leads_anywhere(opened: Opened, raw: Redis) -> None:
    us, them, strangers = opened(tenant="us"), opened(tenant="them"), opened(tenant="us", secret=SECRET[::-1])
    name = us.put("a text")
    ours = set(raw.keys())
    assert [other.get(name) for other in (them, strangers)] == [None, None]
    assert name not in {them.put("a text"), strangers.put("a text")}
    assert [other.get(name) for other in (them, strangers)] == [None, None], "even of a text that all have"
    (key,) = ours
    for other in set(raw.keys()) - ours:
        raw.set(other, raw.get(key))
    fresh = opened(tenant="them"), opened(tenant="us", secret=SECRET[::-1])
    assert [other.get(other.id_of("a text")) for other in fresh] == [None, None], "nor does our row under their keys"
    assert us.get(name) == "a text"


def test_a_damaged_text_is_unknown_until_who_has_it_stores_it_anew(opened: Opened, raw: Redis) -> None:
    originals = opened()
    name = originals.put("a text")
    (key,) = raw.keys()
    raw.append(key, b"more")
    assert opened().get(name) is None
    assert originals.get(name) == "a text"
    assert opened().get(name) == "a text"


def test_without_a_server_a_text_is_kept_here_and_taken_there_later(
    opened: Opened, own: LocalServer, connect: Connect, clock: Clock
) -> None:
    originals, elsewhere = (Originals.on_redis(connect(own.url), secret=SECRET) for _ in range(2))
    before = originals.put("before")
    own.kill()
    names = [originals.put(f"text {number}") for number in range(DELIVERIES + 3)]
    assert [originals.get(name) for name in names] == [f"text {number}" for number in range(DELIVERIES + 3)]
    assert [store.get(before) for store in (originals, elsewhere)] == ["before", None]
    own.start()
    clock.now += 100
    assert [originals.get(before) for _ in range(3)] == ["before"] * 3
    assert [elsewhere.get(name) for name in names] == [f"text {number}" for number in range(DELIVERIES + 3)]


def test_what_was_read_once_can_be_read_without_the_server(own: LocalServer, connect: Connect) -> None:
    first, second = (Originals.on_redis(connect(own.url), secret=SECRET) for _ in range(2))
    name = first.put("a text")
    assert second.put("a text") == name
    own.kill()
    assert second.get(name) == "a text"


def test_a_text_that_the_server_may_not_have_is_kept_here_and_nothing_waits(raw: Redis, running: LocalServer, connect: Connect) -> None:
    originals = Originals.on_redis(connect(running.url, max_value_bytes=200), secret=SECRET)
    long = "".join(map(chr, range(0x4E00, 0x4F00)))
    name = originals.put(long)
    assert originals.get(name) == long
    assert (raw.keys(), list(shelf_of(originals)._owed)) == ([], [])


def test_what_waits_can_wait_on_disk(own: LocalServer, connect: Connect, tmp_path: Path, log: Log) -> None:
    own.kill()

    def opened() -> Originals:
        return Originals.on_redis(connect(own.url), secret=SECRET, local=DiskShelf(tmp_path / "local", timeout_s=10))

    first, second = opened(), opened()
    assert second.get(first.put("a text")) == "a text"
    assert len(log.of("store")) == 2, "one record for each connection"
    for originals in (first, second):
        originals.close()


def test_what_a_server_forgot_it_is_told_by_who_still_has_it(opened: Opened, raw: Redis) -> None:
    first, second = opened(), opened()
    name = first.put("a text")
    raw.flushall()
    assert second.get(name) is None
    assert first.get(name) == "a text"
    assert second.get(name) == "a text"


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 16 bytes"):
        Originals.on_redis("redis://127.0.0.1:1", secret=b"short")
