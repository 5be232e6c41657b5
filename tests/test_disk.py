"""What is on disk is never trusted: no pickle is read, no stored setting obeyed, no file outside the cache touched."""

from __future__ import annotations

import os
import pickle
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import diskcache
import pytest

from specprefill_agents import ConfigError
from specprefill_agents.storage.directory import KEY_FILE, check_private, locked, make_private, make_secret
from specprefill_agents.storage.disk import SETTINGS, SafeDisk, UnsafeRowError, open_private
from specprefill_agents.storage.rows import CONTEXT_KEYS
from specprefill_agents.storage.score_cache import ScoreCache
from tests.cached_values import SCOPE, context_keys, same

LIMIT = 2**24
LARGE = context_keys(0, tokens=3000, size=16)
"""Stored in a file of its own."""
SMALL = context_keys(1)
"""Stored in the database."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "above" / "cache"


@pytest.fixture
def cache(directory: Path) -> Iterator[ScoreCache]:
    with ScoreCache(directory, timeout_s=10) as opened:
        yield opened


@pytest.fixture
def sql(directory: Path) -> Callable[..., list[tuple]]:
    """Runs a statement on the database, as anyone who can write to it could."""

    def run(statement: str, *values: object) -> list[tuple]:
        with closing(sqlite3.connect(directory / "cache.db", isolation_level=None)) as connection:
            return connection.execute(statement, values).fetchall()

    return run


class Trap:
    """Its pickle makes a directory when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("key", [("a",), 1.5, None, 2**63, True, bytearray(b"a")])
def test_a_key_that_would_be_pickled_is_refused(key: object, tmp_path: Path) -> None:
    with pytest.raises(UnsafeRowError, match="key must be"):
        SafeDisk(str(tmp_path)).put(key)


@pytest.mark.parametrize("value", ["text", 1, 1.5, None, {}, bytearray(b"a")])
def test_a_value_that_is_not_bytes_is_refused(value: object, tmp_path: Path) -> None:
    with pytest.raises(UnsafeRowError, match="value must be"):
        SafeDisk(str(tmp_path)).store(value, read=False)


def test_a_pickled_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeRowError, match="pickled"):
        SafeDisk(str(tmp_path)).get(pickle.dumps(("a",)), raw=False)


@pytest.mark.parametrize("value", [SMALL, LARGE])
def test_a_planted_pickle_is_a_miss_and_never_runs(
    cache: ScoreCache, sql: Callable, directory: Path, tmp_path: Path, value: object
) -> None:
    cache.put(CONTEXT_KEYS, SCOPE, "x", value)
    trap = pickle.dumps(Trap(tmp_path / "trapped"))
    ((filename,),) = sql("SELECT filename FROM Cache")
    if filename:
        (directory / filename).write_bytes(trap)
        sql("UPDATE Cache SET mode = 4")
    else:
        sql("UPDATE Cache SET mode = 4, value = ?", trap)
    assert cache.get(CONTEXT_KEYS, SCOPE, "x") is None
    assert (cache.stats.misses, cache.stats.damaged, cache.stats.errors) == (1, 1, 0)
    assert not (tmp_path / "trapped").exists()
    cache.put(CONTEXT_KEYS, SCOPE, "x", value)
    assert same(cache.get(CONTEXT_KEYS, SCOPE, "x"), value), "the row is replaced by the next store"


def test_the_planted_pickle_would_run_under_diskcache_itself(tmp_path: Path) -> None:
    with diskcache.Cache(str(tmp_path / "plain")) as plain:
        plain["x"] = Trap(tmp_path / "trapped")
        _ = plain["x"]
    assert (tmp_path / "trapped").is_dir()


@pytest.mark.parametrize(
    "filename", ["../outside.val", "ab/cd/../../../outside.val", "{absolute}", "row.key", "\x00", "ab/cd/" + "0" * 28 + ".txt"]
)
def test_a_file_name_that_leaves_the_cache_is_neither_read_nor_removed(
    cache: ScoreCache, sql: Callable, directory: Path, tmp_path: Path, filename: str
) -> None:
    outside = directory.parent / "outside.val"
    cache.put(CONTEXT_KEYS, SCOPE, "x", LARGE)
    ((good,),) = sql("SELECT filename FROM Cache")
    outside.write_bytes((directory / good).read_bytes())
    sql("UPDATE Cache SET filename = ?", filename.format(absolute=outside))
    assert cache.get(CONTEXT_KEYS, SCOPE, "x") is None
    assert cache.stats.damaged == 1
    cache.put(CONTEXT_KEYS, SCOPE, "x", SMALL)
    assert outside.exists()
    assert (directory / KEY_FILE).exists()


def test_a_file_behind_a_link_is_neither_read_nor_removed(cache: ScoreCache, sql: Callable, directory: Path) -> None:
    outside = directory.parent / "outside"
    cache.put(CONTEXT_KEYS, SCOPE, "x", LARGE)
    ((filename,),) = sql("SELECT filename FROM Cache")
    folder = directory / Path(filename).parts[0]
    folder.rename(outside)
    folder.symlink_to(outside)
    assert cache.get(CONTEXT_KEYS, SCOPE, "x") is None
    cache.put(CONTEXT_KEYS, SCOPE, "x", SMALL)
    assert [path for path in outside.rglob("*.val") if path.is_file()]


def test_a_pipe_in_place_of_a_file_does_not_block(cache: ScoreCache, sql: Callable, directory: Path) -> None:
    cache.put(CONTEXT_KEYS, SCOPE, "x", LARGE)
    ((filename,),) = sql("SELECT filename FROM Cache")
    (directory / filename).unlink()
    os.mkfifo(directory / filename)
    assert cache.get(CONTEXT_KEYS, SCOPE, "x") is None
    assert cache.stats.damaged == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sqlite_user_version", 4242),
        ("sqlite_user_version", "4242"),
        ("sqlite_journal_mode", "off"),
        ("disk_evil", 1),
        ("evil", 1),
        (b"\xff", 1),
        ("eviction_policy", "none"),
        ("size", -(10**15)),
        ("count", "many"),
    ],
)
def test_settings_planted_in_the_database_are_not_obeyed(directory: Path, sql: Callable, key: object, value: object) -> None:
    with ScoreCache(directory) as first:
        first.put(CONTEXT_KEYS, SCOPE, "x", LARGE)
    sql("INSERT OR REPLACE INTO Settings VALUES (?, ?)", key, value)
    with ScoreCache(directory) as second:
        assert same(second.get(CONTEXT_KEYS, SCOPE, "x"), LARGE)
        assert second.stats.errors == 0
    settings = dict(sql("SELECT key, value FROM Settings"))
    counters = {"count": 1, "size": settings["size"], "hits": settings["hits"], "misses": settings["misses"]}
    assert settings == {**SETTINGS, "size_limit": second.size_limit, **counters}
    assert settings["size"] > 0
    assert sql("PRAGMA user_version") == [(0,)]


def test_the_planted_setting_would_be_obeyed_by_diskcache_itself(tmp_path: Path, directory: Path, sql: Callable) -> None:
    directory.mkdir(parents=True)
    diskcache.Cache(str(directory)).close()
    sql("INSERT INTO Settings VALUES ('sqlite_user_version', 4242)")
    diskcache.Cache(str(directory)).close()
    assert sql("PRAGMA user_version") == [(4242,)]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER planted AFTER UPDATE ON Cache BEGIN DELETE FROM Cache; END",
        "CREATE VIEW planted AS SELECT 1",
        "ALTER TABLE Cache ADD COLUMN planted",
    ],
)
def test_a_database_of_another_shape_is_made_anew(directory: Path, sql: Callable, statement: str) -> None:
    with ScoreCache(directory) as first:
        first.put(CONTEXT_KEYS, SCOPE, "x", LARGE)
    sql(statement)
    with ScoreCache(directory) as second:
        assert second.get(CONTEXT_KEYS, SCOPE, "x") is None
        second.put(CONTEXT_KEYS, SCOPE, "x", LARGE)
        assert same(second.get(CONTEXT_KEYS, SCOPE, "x"), LARGE)
    assert "planted" not in str(sql("SELECT name, sql FROM sqlite_master"))
    assert len(list(directory.rglob("*.val"))) == 1, "files of the old database are gone"


def test_a_file_that_is_no_database_is_made_anew(directory: Path) -> None:
    with ScoreCache(directory) as first:
        first.put(CONTEXT_KEYS, SCOPE, "x", SMALL)
    for path in directory.glob("cache.db*"):
        path.write_bytes(b"no database " * 1000)
    with ScoreCache(directory) as second:
        assert second.get(CONTEXT_KEYS, SCOPE, "x") is None
        second.put(CONTEXT_KEYS, SCOPE, "x", SMALL)
        assert same(second.get(CONTEXT_KEYS, SCOPE, "x"), SMALL)
        assert second.stats.errors == 0


def test_the_cache_of_another_program_is_left_alone(directory: Path) -> None:
    directory.mkdir(parents=True)
    with diskcache.Cache(str(directory)) as other:
        other["theirs"] = "kept"
    with pytest.raises(ConfigError, match="another program"):
        open_private(directory, LIMIT, 1)
    with ScoreCache(directory) as cache:
        assert cache.get(CONTEXT_KEYS, SCOPE, "x") is None
        assert cache.stats.errors == 1
    with diskcache.Cache(str(directory)) as other:
        assert other["theirs"] == "kept"


def test_the_directory_and_what_is_above_it_are_made_for_this_user_alone(directory: Path, cache: ScoreCache) -> None:
    cache.put(CONTEXT_KEYS, SCOPE, "x", SMALL)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (directory, directory.parent)] == [0o700, 0o700]
    assert stat.S_IMODE((directory / KEY_FILE).stat().st_mode) == 0o600


def test_others_who_could_read_a_directory_are_shut_out(directory: Path) -> None:
    directory.mkdir(parents=True)
    directory.chmod(0o755)
    make_private(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_directory_that_others_can_write_to_is_refused(directory: Path, mode: int) -> None:
    directory.mkdir(parents=True)
    directory.chmod(mode)
    with pytest.raises(ConfigError, match="only you can write to.*chmod go-w"):
        ScoreCache(directory)


def test_a_directory_of_another_user_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_private(directory)
    monkeypatch.setattr(os, "geteuid", lambda: directory.stat().st_uid + 1)
    with pytest.raises(ConfigError, match="belongs to user"):
        ScoreCache(directory)


def test_a_directory_that_becomes_unsafe_later_is_not_used(directory: Path, cache: ScoreCache) -> None:
    directory.mkdir(parents=True)
    directory.chmod(0o777)
    cache.put(CONTEXT_KEYS, SCOPE, "x", SMALL)
    assert list(directory.iterdir()) == []
    assert cache.stats.errors == 1


def test_a_file_in_place_of_the_directory_is_refused(directory: Path) -> None:
    directory.parent.mkdir()
    directory.write_text("a file")
    with pytest.raises(ConfigError, match="allowed: a directory"):
        check_private(directory)


def test_the_lock_is_held_by_one_at_a_time(directory: Path) -> None:
    make_private(directory)
    with locked(directory, 0), pytest.raises(TimeoutError, match="held by another process"), locked(directory, 0):
        pass
    with locked(directory, 0):
        pass


def test_a_damaged_secret_is_replaced_and_old_rows_are_misses(directory: Path) -> None:
    with ScoreCache(directory) as first:
        first.put(CONTEXT_KEYS, SCOPE, "x", SMALL)
    secret = make_secret(directory)
    (directory / KEY_FILE).write_bytes(secret[:10])
    with ScoreCache(directory) as second:
        assert second.get(CONTEXT_KEYS, SCOPE, "x") is None
        assert second.stats.errors == 0
    assert len(make_secret(directory)) == len(secret)
    assert make_secret(directory) != secret
