"""Scores on a server: a value comes back bit for bit to whom it belongs, or it is a miss; nothing ever raises."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from benchmarks.store_faults.server import LocalServer
from specprefill_agents import ConfigError
from specprefill_agents.draft.loading import load_draft
from specprefill_agents.scoring.key_index import KeyIndexScorer
from specprefill_agents.scoring.presets import HeadPreset
from specprefill_agents.storage import rows as format_of_rows
from specprefill_agents.storage.layered import LayeredKeyCache, ScorerCaches
from specprefill_agents.storage.redis_rows import RedisRows
from specprefill_agents.storage.redis_server import MAX_VALUE_BYTES, RedisServer
from specprefill_agents.storage.rows import CONTEXT_KEYS, KINDS, ORIGINAL, QUERY_VECTORS, SCORES, RowKind
from specprefill_agents.storage.score_cache import Scope, ScoreCache
from tests.cached_values import SCOPE, context_keys, same, token_scores
from tests.storage_redis.shared_stores import SECRET
from tests.test_disk import Trap

VECTORS = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
VALUES: list[tuple[RowKind[Any], Any]] = [
    (CONTEXT_KEYS, context_keys(1, tokens=20_000)),
    (CONTEXT_KEYS, context_keys(2, tokens=0)),
    (QUERY_VECTORS, VECTORS),
    (SCORES, token_scores(1, 3, 0, 40)),
    (SCORES, ()),
]
Connect = Callable[..., RedisServer]


@pytest.fixture
def rows(raw: Redis, running: LocalServer, connect: Connect) -> RedisRows:
    return RedisRows(connect(running.url), secret=SECRET)


@pytest.fixture(scope="module")
def kept(running: LocalServer) -> RedisRows:
    """For examples that need not start empty."""
    return RedisRows(RedisServer(running.url, timeout_s=10, max_value_bytes=2**16), secret=SECRET)


def row_of(raw: Redis) -> tuple[bytes, bytes]:
    """The only key, and what is under it."""
    (key,) = raw.keys()
    return key, raw.get(key)


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_a_value_comes_back_in_the_same_bytes_as_from_the_disk(rows: RedisRows, tmp_path: Path, kind: RowKind[Any], value: Any) -> None:
    with ScoreCache(tmp_path / "cache", timeout_s=10) as disk:
        for store in (rows, disk):
            store.put(kind, SCOPE, "x", value)
        found = [store.get(kind, SCOPE, "x") for store in (rows, disk)]
    assert same(found[0], value)
    assert same(found[0], found[1])
    key, secret = b"k" * 32, b"s" * 32
    assert kind.dump(found[0], key, secret) == kind.dump(found[1], key, secret)
    assert (rows.stats.hits, rows.stats.stores, rows.stats.misses, rows.stats.errors) == (1, 1, 0, 0)


def test_what_lies_on_the_server_is_a_row_as_on_disk_and_names_nothing(rows: RedisRows, raw: Redis) -> None:
    rows.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
    key, row = row_of(raw)
    kind, digest = key.decode().removeprefix("specprefill:").split(":")
    assert (kind, len(digest), row[:4]) == ("context-keys", 64, b"SPFR")
    assert same(CONTEXT_KEYS.load(row, bytes.fromhex(digest), rows._secret), context_keys(1))


def test_a_value_lives_as_long_as_it_is_asked_for(raw: Redis, running: LocalServer, connect: Connect) -> None:
    rows = RedisRows(connect(running.url), secret=SECRET, max_age_s=1000)
    rows.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
    key, _ = row_of(raw)
    assert 990 < raw.ttl(key) <= 1000
    raw.expire(key, 5)
    assert rows.get(CONTEXT_KEYS, SCOPE, "x") is not None
    assert 990 < raw.ttl(key) <= 1000


def test_what_is_kept_for_ever_has_a_time_that_a_server_can_count(raw: Redis, running: LocalServer, connect: Connect) -> None:
    rows = RedisRows(connect(running.url), secret=SECRET, max_age_s=float("inf"))
    rows.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
    assert same(rows.get(CONTEXT_KEYS, SCOPE, "x"), context_keys(1))


def test_tenants_and_secrets_share_no_key_and_no_hit(raw: Redis, running: LocalServer, connect: Connect) -> None:
    owners = [
        RedisRows(connect(running.url), secret=secret, tenant=tenant)
        for tenant, secret in (("us", SECRET), ("them", SECRET), ("us", SECRET[::-1]), ("", SECRET))
    ]
    keys: list[set[bytes]] = []
    for owner in owners:
        before = set(raw.keys())
        assert owner.get(CONTEXT_KEYS, SCOPE, "x") is None
        owner.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
        keys.append(set(raw.keys()) - before)
    assert [len(own) for own in keys] == [1, 1, 1, 1]
    assert [owner.stats.hits for owner in owners] == [0, 0, 0, 0]
    (ours,), (theirs,) = keys[0], keys[1]
    raw.set(theirs, raw.get(ours))
    assert owners[1].get(CONTEXT_KEYS, SCOPE, "x") is None, "a row put under the key of another tenant"
    assert owners[1].stats.damaged == 1


def test_scopes_and_names_keep_values_apart(rows: RedisRows) -> None:
    rows.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
    assert rows.get(CONTEXT_KEYS, Scope("revision-b", SCOPE.fingerprint), "x") is None
    assert rows.get(CONTEXT_KEYS, Scope(SCOPE.revision, "other"), "x") is None
    assert rows.get(CONTEXT_KEYS, SCOPE, "y") is None
    assert rows.get(QUERY_VECTORS, SCOPE, "x") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row[:-1],
        lambda row: row[:20],
        lambda row: row + b"\0",
        lambda row: row[:-1] + b"\xff",
        bytes.lower,
        lambda row: b"\x80\x04.",
    ],
)
def test_a_tampered_cut_or_foreign_row_is_a_miss_until_it_is_stored_anew(rows: RedisRows, raw: Redis, change: Callable) -> None:
    rows.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
    key, row = row_of(raw)
    raw.set(key, change(row))
    assert rows.get(CONTEXT_KEYS, SCOPE, "x") is None
    assert rows.stats.damaged == 1
    rows.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
    assert same(rows.get(CONTEXT_KEYS, SCOPE, "x"), context_keys(1))
    assert rows.server.stats.failed == 0


def test_a_planted_pickle_is_a_miss_and_never_runs(rows: RedisRows, raw: Redis, tmp_path: Path) -> None:
    rows.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
    raw.set(row_of(raw)[0], pickle.dumps(Trap(tmp_path / "trapped")))
    assert rows.get(CONTEXT_KEYS, SCOPE, "x") is None
    assert not (tmp_path / "trapped").exists()


def test_a_value_that_is_no_string_is_a_miss_and_replaced(rows: RedisRows, raw: Redis) -> None:
    rows.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
    key, _ = row_of(raw)
    raw.delete(key)
    raw.rpush(key, "a", "list")
    assert rows.get(CONTEXT_KEYS, SCOPE, "x") is None
    assert (rows.stats.damaged, rows.server.stats.failed) == (1, 0)
    rows.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
    assert same(rows.get(CONTEXT_KEYS, SCOPE, "x"), context_keys(1))


def test_of_a_huge_value_no_more_than_the_limit_is_transferred(rows: RedisRows, raw: Redis) -> None:
    rows.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
    key, _ = row_of(raw)
    raw.setrange(key, 3 * MAX_VALUE_BYTES, b"end")
    raw.config_resetstat()
    assert rows.get(CONTEXT_KEYS, SCOPE, "x") is None
    assert rows.stats.damaged == 1
    sent = raw.info("stats")["total_net_output_bytes"]
    assert MAX_VALUE_BYTES < sent < MAX_VALUE_BYTES + 10_000


def test_a_value_beyond_the_limit_is_not_sent(raw: Redis, running: LocalServer, connect: Connect) -> None:
    rows = RedisRows(connect(running.url, max_value_bytes=1000), secret=SECRET)
    rows.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1, tokens=3000))
    rows.put(QUERY_VECTORS, SCOPE, "x", np.full((1, 1, 1), np.nan, np.float32))
    assert (raw.keys(), rows.stats.errors, rows.server.stats.asked) == ([], 2, 0)


@given(row=st.binary(max_size=200) | st.builds(lambda head, rest: b"SPFR" + head + rest, st.binary(max_size=28), st.binary(max_size=100)))
def test_no_bytes_on_the_server_raise_or_become_a_value(kept: RedisRows, row: bytes) -> None:
    with Redis.from_url(kept.server._url) as raw:
        for kind in KINDS.values():
            kept.put(QUERY_VECTORS, SCOPE, "any bytes", VECTORS)
            key = f"specprefill:{kind.name.replace(' ', '-')}:{kept._key(kind, SCOPE, 'any bytes').hex()}"
            raw.set(key, row)
            assert kept.get(kind, SCOPE, "any bytes") is None
    assert kept.server.stats.failed == 0


def signed(body: bytes, kind: RowKind[Any], key: bytes = b"k" * 32, secret: bytes = b"s" * 32) -> bytes:
    """A row of any body, as only who has the secret can make one."""
    return format_of_rows._header(kind.code, body, key, secret) + body


PARTS = st.builds(
    lambda code, shape, is_packed, raw, length: (
        struct.pack("<BBBxI", code, len(shape), is_packed, len(raw) if length is None else length)
        + struct.pack(f"<{len(shape)}I", *shape)
        + raw
    ),
    st.integers(0, 255),
    st.lists(st.integers(0, 3) | st.integers(0, 2**32 - 1), max_size=70),
    st.booleans(),
    st.binary(max_size=30) | st.binary(max_size=200).map(zlib.compress),
    st.none() | st.integers(0, 300),
)


@given(body=st.lists(PARTS, max_size=4).map(b"".join) | st.binary(max_size=100), kind=st.sampled_from(list(KINDS.values())))
def test_a_signed_row_of_any_body_is_a_value_or_damaged(body: bytes, kind: RowKind[Any]) -> None:
    try:
        value = kind.load(signed(body, kind), b"k" * 32, b"s" * 32)
    except format_of_rows.DamagedRowError:
        return
    assert value is not None


@pytest.mark.parametrize("shape", [(0,), (2**31,), (2**32 - 1,) * 40])
def test_a_signed_row_that_unpacks_to_far_more_than_it_says_is_damaged(shape: tuple[int, ...]) -> None:
    bomb = zlib.compress(bytes(2**24), 9)
    body = struct.pack("<BBBxI", 0, len(shape), True, len(bomb)) + struct.pack(f"<{len(shape)}I", *shape) + bomb
    with pytest.raises(format_of_rows.DamagedRowError):
        ORIGINAL.load(signed(body, ORIGINAL), b"k" * 32, b"s" * 32)


def test_a_text_that_would_unpack_to_too_much_is_not_stored(rows: RedisRows, raw: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format_of_rows, "MAX_DECODED_BYTES", 1000)
    rows.put(ORIGINAL, SCOPE, "x", "a" * 1001)
    assert (raw.keys(), rows.stats.errors) == ([], 1)


def test_several_processes_share_values_and_the_bytes_of_a_conversation(raw: Redis, running: LocalServer, repository: Path) -> None:
    command = [sys.executable, "-m", "tests.storage_redis.shared_stores", running.url]
    started = [subprocess.Popen([*command, query], stdout=subprocess.PIPE, text=True, cwd=repository) for query in ("host 1", "job 900")]
    said = [json.loads(process.communicate(timeout=120)[0]) for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert said[0]["sent"] == said[1]["sent"]
    last = subprocess.run([*command, "worker"], stdout=subprocess.PIPE, text=True, cwd=repository, check=True)
    assert json.loads(last.stdout) == {"sent": said[0]["sent"], "hits": 12}


def test_a_forked_child_has_connections_of_its_own(rows: RedisRows) -> None:
    rows.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
    context = multiprocessing.get_context("fork")
    heard, told = context.Pipe(duplex=False)
    child = context.Process(target=lambda: told.send([same(rows.get(CONTEXT_KEYS, SCOPE, "x"), context_keys(1)) for _ in range(3)]))
    child.start()
    assert heard.poll(60)
    assert heard.recv() == [True, True, True]
    child.join()
    assert same(rows.get(CONTEXT_KEYS, SCOPE, "x"), context_keys(1))
    assert rows.server.stats.failed == 0


def test_memory_stands_in_front_of_the_server(rows: RedisRows) -> None:
    LayeredKeyCache(rows, SCOPE).put("x", context_keys(1))
    later = ScorerCaches.of(rows, SCOPE.revision, SCOPE.fingerprint).keys
    assert [same(later.get("x"), context_keys(1)) for _ in range(4)] == [True] * 4
    assert rows.stats.hits == 1


def test_a_second_machine_reads_nothing_that_the_first_has_read(
    raw: Redis, running: LocalServer, connect: Connect, tiny_draft: str
) -> None:
    draft = load_draft(tiny_draft, device="cpu", dtype="float32")
    preset = HeadPreset("tiny", heads=((0, 1), (1, 3)), prefix="<|im_start|>", match=())
    made = []
    for question in ("some length?", "some length?", "another length?"):
        rows = ScoreCache.on_redis(connect(running.url), secret=SECRET)
        scorer = KeyIndexScorer(draft, preset, ScorerCaches.of(rows, "r", "f"))
        made.append((scorer.score(["a first text of some length", "another one"], question), rows.stats.hits))
    (first, _), (again, one), (other, two) = made
    assert [score.scores.tolist() for score in again] == [score.scores.tolist() for score in first]
    assert [score.cached for score in (*first, *again, *other)] == [False] * 2 + [True] * 4
    assert (one, two) == (1, 2), "one call is one row, and a new question finds the keys of both texts"


@pytest.mark.parametrize("url", ["http://127.0.0.1", "nothing", "redis://:password@127.0.0.1:port/0"])
def test_a_url_of_another_kind_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match="redis://host:port/db") as raised:
        RedisServer(url)
    assert "password" not in str(raised.value)


@pytest.mark.parametrize("settings", [{"timeout_s": 0}, {"connect_timeout_s": -1}, {"pause_s": 0}, {"max_value_bytes": 0}])
def test_a_setting_out_of_range_is_named(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        RedisServer("redis://127.0.0.1:1", **settings)


def test_a_short_secret_and_no_time_to_live_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 16 bytes"):
        ScoreCache.on_redis("redis://127.0.0.1:1", secret=b"short")
    with pytest.raises(ConfigError, match="max_age_s"):
        ScoreCache.on_redis("redis://127.0.0.1:1", secret=SECRET, max_age_s=0)


def test_without_the_client_the_error_is_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ImportError, match=r"pip install 'specprefill-agents\[redis\]'"):
        RedisServer("redis://127.0.0.1:1")
