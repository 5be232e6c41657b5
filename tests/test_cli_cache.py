"""`specprefill cache`: what is in the score cache, whether it is sound, and how to empty it."""

from __future__ import annotations

import pickle
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from specprefill_agents.storage.rows import CONTEXT_KEYS, QUERY_VECTORS, SCORES
from specprefill_agents.storage.score_cache import ScoreCache
from tests.cached_values import SCOPE, context_keys, same, token_scores
from tests.test_disk import Trap


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path / "here"))
    monkeypatch.delenv("SPECPREFILL_CACHE_DIR")
    return tmp_path / "here" / "cache"


@pytest.fixture
def filled(directory: Path) -> Path:
    with ScoreCache(directory, size_limit=2**27) as cache:
        for name in ("a", "b"):
            cache.put(CONTEXT_KEYS, SCOPE, name, context_keys(1, tokens=20_000, size=64))
        cache.put(QUERY_VECTORS, SCOPE, "a", context_keys(1).scales)
        cache.put(SCORES, SCOPE, "a", token_scores(1, 4))
        for name in ("a", "b", "c"):
            cache.get(CONTEXT_KEYS, SCOPE, name)
    return directory


def execute(directory: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(directory / "cache.db", isolation_level=None)) as connection:
        connection.execute(statement, values)


def hits(directory: Path) -> int:
    """How many of the rows of `filled` are still found."""
    with ScoreCache(directory) as cache:
        found = [cache.get(CONTEXT_KEYS, SCOPE, "a"), cache.get(CONTEXT_KEYS, SCOPE, "b"), cache.get(SCORES, SCOPE, "a")]
        return sum(value is not None for value in found)


def verified(text: str) -> dict[str, int]:
    """What `cache verify` counted in the score cache."""
    rows = [re.split(r" {2,}", line) for line in text.splitlines()[1:7]]
    return {name: int(scores.split()[0]) for name, scores, _ in rows if name != "of no known tenant"}


def test_stats_show_rows_sizes_kinds_and_hits(command: Callable, filled: Path) -> None:
    done = command("cache", "stats")
    assert done.status == 0
    lines = dict(line.split("  ", 1) for line in done.text.splitlines())
    shown = {name: text.strip() for name, text in lines.items()}
    assert shown["directory"] == "~/here/cache"
    assert shown["rows"] == "4"
    assert shown["size"] == "6 MB of at most 134 MB"
    assert shown["context keys"] == "2 rows, 6 MB"
    assert shown["query vectors"] == "1 row, 0 MB"
    assert shown["hits"] == "2 of 3 look-ups (67%)"


@pytest.mark.parametrize("arguments", [("stats",), ("clear",), ("clear", "all"), ("prune",), ("verify",), ("verify", "--repair")])
def test_a_cache_that_is_not_there_is_empty_and_stays_so(command: Callable, directory: Path, arguments: tuple[str, ...]) -> None:
    done = command("cache", *arguments)
    assert (done.status, done.err) == (0, "")
    assert not directory.exists()


def test_stats_change_nothing(command: Callable, filled: Path) -> None:
    before = {path: path.read_bytes() for path in filled.rglob("*") if path.is_file() and path.suffix != ".db-shm"}
    command("cache", "stats")
    after = {path: path.read_bytes() for path in before}
    assert before == after


def test_clear_removes_rows_and_files_and_keeps_the_cache_in_use(command: Callable, filled: Path) -> None:
    with ScoreCache(filled) as user:
        assert user.get(SCORES, SCOPE, "a") is not None
        done = command("cache", "clear")
        assert (done.status, done.text) == (0, "4 rows removed\n")
        assert user.get(SCORES, SCOPE, "a") is None
        user.put(SCORES, SCOPE, "a", token_scores(1, 4))
        assert user.get(SCORES, SCOPE, "a") is not None
        assert user.stats.errors == 0
    assert list(filled.rglob("*.val")) == []
    assert "1 of 2 look-ups" in command("cache", "stats").text


def test_a_sound_cache_verifies(command: Callable, filled: Path) -> None:
    done = command("cache", "verify")
    assert done.status == 0
    assert verified(done.text)["sound"] == 4


def test_damaged_and_foreign_rows_are_reported_and_removed_with_repair(command: Callable, filled: Path, tmp_path: Path) -> None:
    trap = pickle.dumps(Trap(tmp_path / "trapped"))
    next(filled.rglob("*.val")).write_bytes(b"SPFR\x01" + b"damaged" * 9)
    execute(filled, "INSERT INTO Cache (rowid, key, raw, mode, value) VALUES (-5, ?, 1, 4, ?)", b"planted", trap)
    execute(filled, "INSERT INTO Cache (key, raw, mode, value) VALUES (?, 0, 1, ?)", trap, b"planted")
    execute(filled, "INSERT INTO Cache (key, raw, mode, filename) VALUES ('x', 1, 2, '../../here/outside')")
    orphan = filled / "ab" / "cd" / f"{'0' * 28}.val"
    orphan.parent.mkdir(parents=True, exist_ok=True)
    orphan.write_bytes(b"left behind")
    outside = filled.parent / "outside"
    outside.write_bytes(b"mine")
    done = command("cache", "verify")
    assert done.status == 1
    assert verified(done.text) == {"sound": 3, "damaged": 1, "foreign": 3, "of a later version": 0, "without a row": 1}
    assert "--repair" in done.text
    repaired = command("cache", "verify", "--repair")
    assert repaired.status == 0
    assert "4 rows removed" in repaired.text
    assert verified(command("cache", "verify").text) == {
        "sound": 3,
        "damaged": 0,
        "foreign": 0,
        "of a later version": 0,
        "without a row": 0,
    }
    assert not orphan.exists()
    assert outside.read_bytes() == b"mine"
    assert not (tmp_path / "trapped").exists()
    assert hits(filled) == 2, "sound rows are still there"
    with ScoreCache(filled) as cache:
        for name in ("a", "b"):
            cache.put(CONTEXT_KEYS, SCOPE, name, context_keys(1))
            assert same(cache.get(CONTEXT_KEYS, SCOPE, name), context_keys(1))


def test_rows_of_a_later_version_are_no_damage(command: Callable, filled: Path) -> None:
    with closing(sqlite3.connect(filled / "cache.db", isolation_level=None)) as connection:
        ((rowid, value),) = connection.execute("SELECT rowid, value FROM Cache WHERE tag = 'scores'")
        connection.execute("UPDATE Cache SET value = ? WHERE rowid = ?", (value[:4] + b"\x63" + value[5:], rowid))
    done = command("cache", "verify", "--repair")
    assert done.status == 0
    assert verified(done.text)["of a later version"] == 1


def test_a_damaged_database_is_named_with_what_to_type_and_clear_mends_it(command: Callable, filled: Path) -> None:
    for path in filled.glob("cache.db*"):
        path.write_bytes(b"no database " * 1000)
    for verb in ("stats", "verify"):
        done = command("cache", verb)
        assert done.status == 2
        assert "is damaged" in done.err
        assert "specprefill cache clear" in done.err
    assert command("cache", "clear").status == 0
    assert command("cache", "verify").status == 0
    assert list(filled.rglob("*.val")) == []


def test_a_directory_that_others_can_write_to_is_an_explained_error(command: Callable, filled: Path) -> None:
    filled.chmod(0o777)
    for verb in ("stats", "clear", "verify"):
        done = command("cache", verb)
        assert done.status == 2
        assert "chmod go-w" in done.err
