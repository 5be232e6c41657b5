"""`specprefill cache` and the originals: counted, followed to their ids, shortened, and never lost unasked."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from specprefill_agents.storage import databases
from specprefill_agents.storage.directory import cache_directory, originals_directory
from specprefill_agents.storage.originals import Originals, default_originals
from specprefill_agents.storage.rows import SCORES
from specprefill_agents.storage.score_cache import ScoreCache
from specprefill_agents.storage.shelves import DiskShelf
from tests.cached_values import SCOPE, token_scores

SECRET = b"sixteen bytes or more"
TEXTS = ["one\n" * 9_000, "another", "\ud800 a third"]


@pytest.fixture
def originals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Originals]:
    """The user's own originals, in a directory of this test."""
    monkeypatch.setenv("SPECPREFILL_CACHE_DIR", str(tmp_path / "cache"))
    with default_originals() as opened:
        yield opened


@pytest.fixture
def names(originals: Originals) -> list[str]:
    """The ids of `TEXTS`, which are kept."""
    return [originals.put(text) for text in TEXTS]


@pytest.fixture
def scores(originals: Originals) -> ScoreCache:
    """The score cache above the originals, with one row."""
    with ScoreCache(cache_directory()) as cache:
        cache.put(SCORES, SCOPE, "a", token_scores(1, 4))
    return cache


def sql(statement: str, *values: object) -> list[Any]:
    """The result of a statement on the originals' database."""
    with closing(sqlite3.connect(originals_directory() / "cache.db", isolation_level=None)) as connection:
        return connection.execute(statement, values).fetchall()


def counted(text: str) -> dict[str, int]:
    """What `cache verify` counted among the originals, zeros left out."""
    rows = [re.split(r" {2,}", line) for line in text.splitlines()[1:7]]
    return {name: int(found.split()[0]) for name, _, found in rows if not found.startswith("0 ")}


def test_stats_show_how_many_originals_there_are_and_how_large_and_how_many_are_past_their_time(
    command: Callable, names: list[str]
) -> None:
    assert re.search(r"^originals +3 texts, 0 kB of at most 1,074 MB$", command("cache", "stats").text, re.MULTILINE)
    sql("UPDATE Cache SET expire_time = 1 WHERE rowid = 2")
    sql("UPDATE Cache SET value = zeroblob(61000) WHERE rowid = 1")
    assert "3 texts, 61 kB of at most 1,074 MB; 1 past their time" in command("cache", "stats").text


def test_originals_that_lead_back_to_their_ids_verify(command: Callable, names: list[str]) -> None:
    done = command("cache", "verify")
    assert (done.status, counted(done.text)) == (0, {"sound": 3})


def test_a_changed_original_is_damaged_and_repair_removes_it_alone(command: Callable, originals: Originals, names: list[str]) -> None:
    sql("UPDATE Cache SET value = CAST(substr(value, 1, length(value) - 1) || x'00' AS BLOB) WHERE rowid = 2")
    done = command("cache", "verify")
    assert (done.status, counted(done.text)) == (1, {"sound": 2, "damaged": 1})
    assert "specprefill cache verify --repair" in done.text
    repaired = command("cache", "verify", "--repair")
    assert repaired.status == 0
    assert "1 row removed" in repaired.text
    assert [originals.get(name) for name in names] == [TEXTS[0], None, TEXTS[2]]


def test_a_text_under_the_id_of_another_is_noticed_though_its_checksum_is_right(
    command: Callable, originals: Originals, names: list[str]
) -> None:
    shelf = originals.shelves[0]
    assert isinstance(shelf, DiskShelf)
    assert shelf.write(names[1], "not that text")
    done = command("cache", "verify")
    assert (done.status, counted(done.text)) == (0, {"sound": 2, "of no known tenant": 1})


def test_originals_of_a_tenant_are_followed_when_it_is_named_and_those_under_a_secret_never(
    command: Callable, originals: Originals, names: list[str]
) -> None:
    with default_originals("us") as ours, Originals.on_disk(originals_directory(), secret=SECRET) as hidden:
        assert ours.put("ours") != hidden.put("hidden")
    assert counted(command("cache", "verify").text) == {"sound": 3, "of no known tenant": 2}
    done = command("cache", "verify", "--tenant", "us")
    assert (done.status, counted(done.text)) == (0, {"sound": 4, "of no known tenant": 1})


def test_clearing_the_scores_keeps_the_originals_and_says_so(
    command: Callable, scores: ScoreCache, originals: Originals, names: list[str]
) -> None:
    done = command("cache", "clear")
    assert done.status == 0
    assert done.text.splitlines()[0] == "1 row removed"
    assert done.text.splitlines()[1].startswith("3 originals kept")
    assert "specprefill cache clear originals" in done.text
    assert scores.get(SCORES, SCOPE, "a") is None
    assert [originals.get(name) for name in names] == TEXTS


def test_clearing_the_originals_keeps_the_scores(command: Callable, scores: ScoreCache, originals: Originals, names: list[str]) -> None:
    assert command("cache", "clear", "originals").text == "3 originals removed\n"
    assert [originals.get(name) for name in names] == [None] * 3
    assert scores.get(SCORES, SCOPE, "a") is not None
    assert originals.get(originals.put("new")) == "new", "the store stays in use"


def test_clearing_all_leaves_nothing(command: Callable, scores: ScoreCache, names: list[str]) -> None:
    assert command("cache", "clear", "all").text == "1 row removed\n3 originals removed\n"
    assert list(cache_directory().rglob("*.val")) == []
    assert sql("SELECT COUNT(*) FROM Cache") == [(0,)]


def test_prune_removes_what_is_past_its_time_and_nothing_else(
    command: Callable, scores: ScoreCache, originals: Originals, names: list[str]
) -> None:
    sql("UPDATE Cache SET expire_time = 1 WHERE rowid <= 2")
    assert command("cache", "prune").text == "2 originals and 0 rows of scores removed\n"
    assert sql("SELECT COUNT(*) FROM Cache") == [(1,)]
    assert originals.get(names[2]) == TEXTS[2]
    assert scores.get(SCORES, SCOPE, "a") is not None


def test_prune_removes_the_least_recently_used_beyond_the_limit(command: Callable, originals: Originals) -> None:
    first, *_, last = [originals.put("\n".join(str(hash((seed, line))) for line in range(20_000))) for seed in range(12)]
    held = sum(path.stat().st_size for path in originals_directory().rglob("*.val"))
    assert command("cache", "prune").text.startswith("0 originals")
    sql("UPDATE Settings SET value = ? WHERE key = 'size_limit'", 3 * held // 4)
    done = command("cache", "prune")
    assert done.status == 0
    assert int(done.text.split()[0]) > 0
    left = sum(path.stat().st_size for path in originals_directory().rglob("*.val"))
    assert left <= 3 * held // 4
    assert (originals.get(first), originals.get(last) is None) == (None, False)


def test_a_store_in_use_is_an_explained_error(command: Callable, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "TIMEOUT_S", 0)
    with closing(sqlite3.connect(originals_directory() / "cache.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for arguments in (("prune",), ("clear", "originals")):
            done = command("cache", *arguments)
            assert done.status == 2
            assert "cannot be used now" in done.err


def test_a_damaged_store_is_named_with_what_to_type_and_hinders_no_clearing_of_scores(
    command: Callable, scores: ScoreCache, originals: Originals, names: list[str]
) -> None:
    originals.close()
    for path in originals_directory().glob("cache.db*"):
        path.write_bytes(b"no database " * 1000)
    for verb in ("stats", "verify", "clear"):
        done = command("cache", verb)
        assert done.status == 2
        assert "is damaged" in done.err
        assert "specprefill cache clear originals" in done.err
    assert scores.get(SCORES, SCOPE, "a") is None
    assert command("cache", "clear", "originals").status == 0
    assert command("cache", "verify").status == 0


@pytest.mark.parametrize("arguments", [("stats",), ("verify",), ("prune",), ("clear", "originals")])
def test_a_store_that_others_can_write_to_is_an_explained_error(command: Callable, names: list[str], arguments: tuple[str, ...]) -> None:
    originals_directory().chmod(0o777)
    done = command("cache", *arguments)
    assert done.status == 2
    assert "chmod go-w" in done.err
