"""Look after a score cache: what is in it, whether every row is sound, and how to empty it.

Looking uses a read-only connection of its own, so that nothing stored is obeyed and nothing is changed. Every function
raises `ConfigError` for a directory that is not private, and `OSError` when the cache is unreadable or in use.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from diskcache.core import DBNAME

from specprefill_agents.storage.directory import SECRET_BYTES, check_private, locked, read_secret
from specprefill_agents.storage.disk import RECOUNT, SafeDisk, UnsafeRowError, discard, open_private, sweep, value_files
from specprefill_agents.storage.rows import KINDS, DamagedRowError, ForeignRowError, NewerRowError, verified_kind
from specprefill_agents.storage.score_cache import DEFAULT_SIZE_LIMIT

TIMEOUT_S = 10.0
"""How long to wait for processes that use the cache."""

Soundness = Literal["sound", "damaged", "foreign", "newer"]


@dataclass(frozen=True, slots=True)
class CacheContents:
    """What a cache holds: rows and their bytes, in all and per kind; hits and misses of all processes since it was empty."""

    rows: int = 0
    bytes: int = 0
    size_limit: int = DEFAULT_SIZE_LIMIT
    kinds: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    hits: int = 0
    misses: int = 0


@dataclass(frozen=True, slots=True)
class Verification:
    """How many rows are sound, damaged, not ours, or of a later version; `orphans` are files that no row names.

    `removed` rows were damaged or foreign, and are gone.
    """

    sound: int = 0
    damaged: int = 0
    foreign: int = 0
    newer: int = 0
    orphans: int = 0
    removed: int = 0

    @property
    def remaining(self) -> int:
        """Damaged and foreign rows that are still there."""
        return self.damaged + self.foreign - self.removed


class _Row(NamedTuple):
    """Where a row is, and which version of it: another process may replace it at any time."""

    rowid: int
    store_time: object
    filename: object


def contents(directory: Path) -> CacheContents:
    """What the cache in `directory` holds; nothing when there is none."""
    check_private(directory)
    if not (directory / DBNAME).exists():
        return CacheContents()
    with _connection(directory, writes=False) as connection:
        settings = dict(connection.execute("SELECT key, value FROM Settings").fetchall())
        groups = connection.execute(
            "SELECT tag, COUNT(*), SUM(CASE WHEN filename IS NULL THEN LENGTH(value) ELSE size END) FROM Cache GROUP BY tag"
        ).fetchall()
    known = {kind.name for kind in KINDS.values()}
    kinds: dict[str, tuple[int, int]] = {}
    for tag, rows, size in groups:
        name = tag if tag in known else "unknown"
        before = kinds.get(name, (0, 0))
        kinds[name] = (before[0] + rows, before[1] + int(size or 0))
    return CacheContents(
        rows=sum(rows for rows, _ in kinds.values()),
        bytes=sum(size for _, size in kinds.values()),
        size_limit=_integer(settings.get("size_limit"), DEFAULT_SIZE_LIMIT),
        kinds=kinds,
        hits=_integer(settings.get("hits"), 0),
        misses=_integer(settings.get("misses"), 0),
    )


def verify(directory: Path, *, repair: bool = False) -> Verification:
    """Read every row; with `repair`, remove the damaged and foreign ones, and the files that no row names."""
    check_private(directory)
    if not (directory / DBNAME).exists():
        return Verification()
    counts: Counter[str] = Counter()
    bad: list[_Row] = []
    secret = read_secret(directory) or bytes(SECRET_BYTES)
    disk = SafeDisk(str(directory))
    with _connection(directory, writes=False) as connection:
        if connection.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
            raise sqlite3.DatabaseError("quick_check failed")
        for rowid, store_time, filename, *stored in connection.execute(
            "SELECT rowid, store_time, filename, key, raw, mode, value FROM Cache"
        ):
            soundness = _soundness(disk, secret, filename, *stored)
            counts[soundness] += 1
            if soundness in ("damaged", "foreign"):
                bad.append(_Row(rowid, store_time, filename))
        orphans = len(set(value_files(directory)) - _named_files(connection, disk))
    removed = _remove(directory, bad) if repair and (bad or orphans) else 0
    return Verification(**counts, orphans=0 if repair else orphans, removed=removed)


def clear(directory: Path) -> int:
    """Remove every row, and return how many there were; a database that is no longer one is made anew."""
    check_private(directory)
    if not (directory / DBNAME).exists():
        return 0
    try:
        with _writing(directory) as connection:
            removed = connection.execute("DELETE FROM Cache").rowcount
            connection.execute("UPDATE Settings SET value = 0 WHERE key IN ('hits', 'misses')")
    except _UnreadableError:
        with locked(directory, TIMEOUT_S):
            discard(directory)
        return 0
    return removed


def _soundness(disk: SafeDisk, secret: bytes, filename: object, key: object, raw: object, mode: object, value: object) -> Soundness:
    try:
        row = disk.fetch(mode, filename, value, read=False)
        if type(key) is not bytes or raw != 1:
            return "foreign"
        return "sound" if verified_kind(row, key, secret) in KINDS else "damaged"
    except (UnsafeRowError, ForeignRowError):
        return "foreign"
    except NewerRowError:
        return "newer"
    except (DamagedRowError, OSError):
        return "damaged"


def _remove(directory: Path, rows: list[_Row]) -> int:
    """Remove rows that are still as they were found; those that are not were replaced or evicted, and count as well."""
    with _writing(directory) as connection:
        for row in rows:
            connection.execute("DELETE FROM Cache WHERE rowid = ? AND store_time IS ?", (row.rowid, row.store_time))
    return len(rows)


@contextmanager
def _writing(directory: Path) -> Iterator[sqlite3.Connection]:
    """One transaction on a database whose schema and settings have been put right; then counters and files as well."""
    open_private(directory, _size_limit(directory), TIMEOUT_S)[0].close()
    with _connection(directory, writes=True) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        for key in ("count", "size"):
            connection.execute(f"UPDATE Settings SET value = ({RECOUNT[key]}) WHERE key = ?", (key,))  # noqa: S608 (a constant)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sweep(directory, keep=_named_files(connection, SafeDisk(str(directory))))


class _UnreadableError(OSError):
    """The database is no database any more."""


@contextmanager
def _connection(directory: Path, *, writes: bool) -> Iterator[sqlite3.Connection]:
    """A plain connection. Raises `OSError` for whatever SQLite finds wrong."""
    address = (directory / DBNAME).absolute().as_uri() + ("?mode=rw" if writes else "?mode=ro")
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=TIMEOUT_S, isolation_level=None)) as connection:
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            connection.execute("PRAGMA trusted_schema = 0")
            yield connection
    except sqlite3.OperationalError as error:
        raise OSError(f"the score cache in {directory} cannot be used now: {error}") from error
    except sqlite3.DatabaseError as error:
        raise _UnreadableError(
            f"the score cache in {directory} is damaged ({error}); make it anew with: specprefill cache clear"
        ) from error


def _named_files(connection: sqlite3.Connection, disk: SafeDisk) -> frozenset[Path]:
    """The files that rows name."""
    found = set()
    for (filename,) in connection.execute("SELECT filename FROM Cache WHERE filename IS NOT NULL"):
        try:
            found.add(disk.file_of(filename))
        except UnsafeRowError:
            continue
    return frozenset(found)


def _size_limit(directory: Path) -> int:
    try:
        return contents(directory).size_limit
    except OSError:
        return DEFAULT_SIZE_LIMIT


def _integer(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) else otherwise
