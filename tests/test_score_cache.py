"""The score cache: a value comes back bit for bit to whom it belongs, or it is a miss; nothing ever raises."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from specprefill_agents import ConfigError
from specprefill_agents.scoring.context_keys import ContextKeys
from specprefill_agents.storage.layered import LayeredKeyCache
from specprefill_agents.storage.memory import MemoryKeyCache
from specprefill_agents.storage.rows import CONTEXT_KEYS, QUERY_VECTORS, SCORES, RowKind
from specprefill_agents.storage.score_cache import PAUSE_CALLS, Scope, ScoreCache, content_name
from specprefill_agents.types import TokenScores
from tests import cached_values
from tests.cached_values import SCOPE, context_keys, same, token_scores

VECTORS = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
VALUES: list[tuple[RowKind[Any], Any]] = [
    (CONTEXT_KEYS, context_keys(1)),
    (CONTEXT_KEYS, context_keys(2, dtype="float16")),
    (CONTEXT_KEYS, context_keys(3, tokens=0)),
    (CONTEXT_KEYS, context_keys(4, tokens=20_000)),
    (QUERY_VECTORS, VECTORS),
    (QUERY_VECTORS, np.zeros((2, 0, 4), np.float32)),
    (SCORES, token_scores(1, 3, 0, 40)),
    (SCORES, token_scores(2, 5, dtype="float32")),
    (SCORES, ()),
    (SCORES, (TokenScores(np.array([[0, 2**40]]), np.array([1.5])),)),
]
IDS = [f"{kind.name} {index}" for index, (kind, _) in enumerate(VALUES)]
KEY, SECRET = b"k" * 32, b"s" * 32
ROW = CONTEXT_KEYS.dump(context_keys(5), KEY, SECRET)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def opened(directory: Path) -> Iterator[Callable[..., ScoreCache]]:
    """Makes caches of `directory`, each as another process would; closes them at the end."""
    made: list[ScoreCache] = []

    def make(where: Path = directory, **settings: Any) -> ScoreCache:
        made.append(ScoreCache(where, **{"timeout_s": 10, **settings}))
        return made[-1]

    yield make
    for cache in made:
        cache.close()


@pytest.mark.parametrize(("kind", "value"), VALUES, ids=IDS)
def test_what_was_stored_comes_back_bit_for_bit_in_another_process(opened: Callable, kind: RowKind, value: object) -> None:
    writer, reader = opened(), opened()
    assert reader.get(kind, SCOPE, "x") is None
    writer.put(kind, SCOPE, "x", value)
    assert same(reader.get(kind, SCOPE, "x"), value)
    assert (writer.stats.stores, reader.stats.hits, reader.stats.misses) == (1, 1, 1)
    assert writer.stats.errors + reader.stats.errors + reader.stats.damaged == 0


def test_scores_come_back_marked_as_cached(opened: Callable) -> None:
    cache = opened()
    cache.put(SCORES, SCOPE, "x", token_scores(1, 3, 4))
    assert [one.cached for one in cache.get(SCORES, SCOPE, "x")] == [True, True]


@pytest.mark.parametrize(
    ("kind", "scope", "name", "tenant"),
    [
        (QUERY_VECTORS, SCOPE, "x", "us"),
        (CONTEXT_KEYS, replace(SCOPE, revision="revision-b"), "x", "us"),
        (CONTEXT_KEYS, replace(SCOPE, fingerprint="fingerprint-b"), "x", "us"),
        (CONTEXT_KEYS, Scope(SCOPE.revision + "f", SCOPE.fingerprint[1:]), "x", "us"),
        (CONTEXT_KEYS, SCOPE, "y", "us"),
        (CONTEXT_KEYS, SCOPE, "x", "them"),
        (CONTEXT_KEYS, SCOPE, "x", ""),
        (CONTEXT_KEYS, SCOPE, "xus", ""),
    ],
    ids=["kind", "draft revision", "scorer fingerprint", "parts run together", "text", "tenant", "no tenant", "name and tenant"],
)
def test_a_row_of_anything_else_is_a_miss(opened: Callable, kind: RowKind, scope: Scope, name: str, tenant: str) -> None:
    opened(tenant="us").put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
    asking = opened(tenant=tenant)
    assert asking.get(kind, scope, name) is None
    assert (asking.stats.misses, asking.stats.damaged) == (1, 0)


def test_two_drafts_that_share_one_cache_never_see_each_others_rows(opened: Callable) -> None:
    memory = MemoryKeyCache()
    for seed, revision in enumerate(["draft-a", "draft-b"]):
        LayeredKeyCache(opened(), Scope(revision, "same scorer"), memory).put(content_name("text"), context_keys(seed))
    for layer in (memory, MemoryKeyCache()):
        for seed, revision in enumerate(["draft-a", "draft-b", "draft-a"]):
            found = LayeredKeyCache(opened(), Scope(revision, "same scorer"), layer).get(content_name("text"))
            assert same(found, context_keys(seed % 2))
        assert LayeredKeyCache(opened(), Scope("draft-c", "same scorer"), layer).get(content_name("text")) is None
        assert LayeredKeyCache(opened(tenant="them"), Scope("draft-a", "same scorer"), layer).get(content_name("text")) is None


def test_the_name_of_texts_depends_on_each_and_on_their_order() -> None:
    names = [content_name(*texts) for texts in [(), ("",), ("ab",), ("a", "b"), ("b", "a"), ("", "ab"), ("\ud800",), ("a\0", "b")]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("planted", [b"", b"garbage", "text", 7, None, ROW, ROW[:40]])
def test_a_damaged_or_foreign_row_is_a_miss_that_is_counted_and_replaced(opened: Callable, directory: Path, planted: object) -> None:
    cache = opened()
    cache.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
    with closing(sqlite3.connect(directory / "cache.db", isolation_level=None)) as connection:
        connection.execute("UPDATE Cache SET value = ?", (planted,))
    assert cache.get(CONTEXT_KEYS, SCOPE, "x") is None
    assert (cache.stats.hits, cache.stats.misses, cache.stats.damaged, cache.stats.errors) == (0, 1, 1, 0)
    cache.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
    assert same(cache.get(CONTEXT_KEYS, SCOPE, "x"), context_keys(1))


def test_a_row_whose_file_is_gone_is_a_miss(opened: Callable, directory: Path) -> None:
    cache = opened()
    cache.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1, tokens=20_000))
    for path in directory.rglob("*.val"):
        path.unlink()
    assert cache.get(CONTEXT_KEYS, SCOPE, "x") is None
    assert cache.stats.errors == 0


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (SCORES, (TokenScores(np.array([[0, 1]]), np.array([np.nan])),)),
        (QUERY_VECTORS, np.full((1, 1, 1), np.inf, np.float32)),
        (CONTEXT_KEYS, ContextKeys(np.zeros((1, 2), np.int32), np.full((1, 1, 1), np.nan, np.float16), np.ones((1, 1), np.float32))),
        (QUERY_VECTORS, np.zeros((1, 1, 1), np.complex64)),
        (CONTEXT_KEYS, context_keys(1, tokens=20_000)),
        (QUERY_VECTORS, "not an array"),
    ],
    ids=["nan score", "infinite vector", "nan key", "complex", "larger than an eighth of the limit", "wrong type"],
)
def test_a_value_that_must_not_be_stored_is_counted_and_not_stored(opened: Callable, kind: RowKind, value: object) -> None:
    cache = opened(size_limit=2**20)
    cache.put(kind, SCOPE, "x", value)
    assert (cache.stats.stores, cache.stats.errors) == (0, 1)
    assert cache.get(kind, SCOPE, "x") is None


def test_eviction_keeps_the_limit_and_what_was_used_last(opened: Callable, directory: Path) -> None:
    limit = 2**20
    cache = opened(size_limit=limit)
    for seed in range(40):
        cache.put(CONTEXT_KEYS, SCOPE, f"large {seed}", context_keys(seed, tokens=3000, size=16))
        cache.put(QUERY_VECTORS, SCOPE, f"small {seed}", VECTORS)
        held = sum(path.stat().st_size for path in [*directory.rglob("*.val"), directory / "cache.db"])
        assert held <= limit
        assert cache.get(CONTEXT_KEYS, SCOPE, "large 0") is not None, "asked for every time"
    assert cache.get(CONTEXT_KEYS, SCOPE, "large 39") is not None
    assert cache.get(CONTEXT_KEYS, SCOPE, "large 1") is None
    assert cache.stats.errors == 0


def test_eight_processes_at_once_store_and_read_the_right_values(directory: Path, repository: Path) -> None:
    command = [sys.executable, cached_values.__file__, str(directory), str(2**20)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(repository), os.environ.get("PYTHONPATH", "")])}
    started = [subprocess.Popen([*command, str(seed)], stderr=subprocess.PIPE, text=True, env=environment) for seed in range(8)]
    said = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0] * 8, said


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_children_use_connections_of_their_own(opened: Callable) -> None:
    cache = opened()
    cache.put(CONTEXT_KEYS, SCOPE, "parent", context_keys(0))
    context = multiprocessing.get_context("fork")

    def child(seed: int) -> None:
        assert same(cache.get(CONTEXT_KEYS, SCOPE, "parent"), context_keys(0))
        cache.put(CONTEXT_KEYS, SCOPE, f"child {seed}", context_keys(seed))
        assert cache.stats.errors == 0

    children = [context.Process(target=child, args=(seed,)) for seed in (1, 2, 3)]
    for process in children:
        process.start()
    for process in children:
        process.join()
    assert [process.exitcode for process in children] == [0, 0, 0]
    assert all(same(cache.get(CONTEXT_KEYS, SCOPE, f"child {seed}"), context_keys(seed)) for seed in (1, 2, 3))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_forked_while_a_lock_is_held_does_not_wait_for_it(opened: Callable) -> None:
    cache, memory = opened(), MemoryKeyCache()
    with cache._lock, memory._lock:
        child = multiprocessing.get_context("fork").Process(target=lambda: (cache.get(CONTEXT_KEYS, SCOPE, "x"), memory.get("x")))
        child.start()
        child.join(60)
        assert child.exitcode == 0


def test_threads_share_one_cache(opened: Callable) -> None:
    cache = opened()
    wrong: list[int] = []

    def work(seed: int) -> None:
        for name in range(6):
            cache.put(CONTEXT_KEYS, SCOPE, str(name), context_keys(name))
            found = cache.get(CONTEXT_KEYS, SCOPE, str((name + seed) % 6))
            if found is not None and not same(found, context_keys((name + seed) % 6)):
                wrong.append(name)
        cache.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert (cache.stats.stores, cache.stats.errors) == (24, 0)


@contextmanager
def ordinary_user() -> Iterator[Path]:
    """A directory of a user who is not root, as that user: root may write where modes say that nobody may."""
    place = Path(tempfile.mkdtemp(prefix="specprefill-test-", dir="/tmp"))
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(place, 65534, -1)
        os.seteuid(65534)
    try:
        yield place
    finally:
        if is_root:
            os.seteuid(0)
        for path in (place, *place.rglob("*")):
            path.chmod(0o700)
        shutil.rmtree(place)


def test_a_read_only_directory_degrades_to_misses(caplog: pytest.LogCaptureFixture) -> None:
    with ordinary_user() as place:
        directory = place / "cache"
        with ScoreCache(directory) as before:
            before.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
            assert before.stats.stores == 1
        for path in (*directory.iterdir(), directory):
            path.chmod(0o500 if path.is_dir() else 0o400)
        cache = ScoreCache(directory)
        for _ in range(3):
            assert cache.get(CONTEXT_KEYS, SCOPE, "x") is None
            cache.put(CONTEXT_KEYS, SCOPE, "y", context_keys(1))
        assert (cache.stats.hits, cache.stats.misses, cache.stats.stores) == (0, 3, 0)
        assert cache.stats.errors > 0
        assert len(caplog.records) == 1, "logged once"


def test_a_place_where_no_directory_can_be_made_degrades_to_misses(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = ScoreCache(tmp_path / "file" / "cache")
    cache.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
    assert cache.get(CONTEXT_KEYS, SCOPE, "x") is None
    assert cache.stats.errors > 0


def test_a_full_disk_is_counted_and_what_was_stored_stays(opened: Callable, caplog: pytest.LogCaptureFixture) -> None:
    cache = opened()
    cache.put(CONTEXT_KEYS, SCOPE, "before", context_keys(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        for tokens in (5, 3000, 3000):
            cache.put(CONTEXT_KEYS, SCOPE, f"during {tokens}", context_keys(2, tokens=tokens, size=16))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert (cache.stats.stores, cache.stats.errors) == (1, 3)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    cache._calls_to_pause = 0
    assert same(cache.get(CONTEXT_KEYS, SCOPE, "before"), context_keys(1))
    cache.put(CONTEXT_KEYS, SCOPE, "after", context_keys(3))
    assert same(cache.get(CONTEXT_KEYS, SCOPE, "after"), context_keys(3))


def test_a_locked_database_is_left_alone_for_a_while(opened: Callable, directory: Path) -> None:
    cache = opened(timeout_s=0)
    cache.put(CONTEXT_KEYS, SCOPE, "x", context_keys(1))
    with closing(sqlite3.connect(directory / "cache.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(10):
            assert cache.get(CONTEXT_KEYS, SCOPE, "x") is None
            cache.put(CONTEXT_KEYS, SCOPE, "y", context_keys(1))
        connection.execute("ROLLBACK")
    assert cache.stats.errors == 1, "the first call fails, the next ones do not try"
    found = [cache.get(CONTEXT_KEYS, SCOPE, "x") for _ in range(PAUSE_CALLS)]
    assert found[0] is None
    assert same(found[-1], context_keys(1))


@pytest.mark.parametrize(
    ("setting", "value"), [("size_limit", 1000), ("size_limit", 1.5e9), ("timeout_s", -1), ("timeout_s", float("nan"))]
)
def test_a_setting_out_of_range_is_refused(directory: Path, setting: str, value: float) -> None:
    arguments: dict[str, Any] = {setting: value}
    with pytest.raises(ConfigError, match=f"{setting}={value!r} is not valid"):
        ScoreCache(directory, **arguments)
    assert not directory.exists()


def test_nothing_is_made_before_the_first_use(directory: Path) -> None:
    assert ScoreCache(directory).stats.misses == 0
    assert not directory.exists()


def test_storage_loads_no_model_library() -> None:
    code = "import sys, specprefill_agents.storage.layered; print([name for name in sys.modules if name in ('torch', 'transformers')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
