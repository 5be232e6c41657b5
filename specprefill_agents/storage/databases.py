"""The database of a cache directory, opened to look at it or to change it, without diskcache in between.

Looking uses a read-only connection of its own, so that nothing stored is obeyed and nothing is changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import diskcache
from diskcache.core import DBNAME

from specprefill_agents.storage.directory import check_private
from specprefill_agents.storage.disk import RECOUNT, SafeDisk, UnsafeRowError, open_private, sweep
from specprefill_agents.storage.score_cache import DEFAULT_SIZE_LIMIT

TIMEOUT_S = 10.0
"""How long to wait for processes that use the cache."""


class UnreadableError(OSError):
    """The database is no database any more."""


def exists(directory: Path) -> bool:
    """Whether there is a database. Raises `ConfigError` for a directory that is not private."""
    check_private(directory)
    return Path(directory, DBNAME).exists()


@contextmanager
def reading(directory: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection. Raises `UnreadableError` for what is no database, `OSError` for one that is in use."""
    with _explained(directory), _connection(directory, "ro") as connection:
        yield connection


@contextmanager
def writing(directory: Path) -> Iterator[sqlite3.Connection]:
    """One transaction on a database whose schema and settings have been put right; then counters and files as well.

    Raises as `reading` does.
    """
    with _explained(directory):
        open_private(directory, size_limit(directory), TIMEOUT_S)[0].close()
        with _connection(directory, "rw") as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            for key in ("count", "size"):
                connection.execute(f"UPDATE Settings SET value = ({RECOUNT[key]}) WHERE key = ?", (key,))  # noqa: S608 (a constant)
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            sweep(directory, keep=named_files(connection, SafeDisk(str(directory))))


@contextmanager
def culling(directory: Path) -> Iterator[diskcache.Cache]:
    """The cache itself, with its own limit and policy. Raises as `reading` does."""
    with _explained(directory), closing(open_private(directory, size_limit(directory), TIMEOUT_S)[0]) as cache:
        yield cache


def size_limit(directory: Path) -> int:
    """The limit in bytes that the database was made with; the default where it cannot be read."""
    try:
        with reading(directory) as connection:
            found = connection.execute("SELECT value FROM Settings WHERE key = 'size_limit'").fetchone()
    except OSError:
        return DEFAULT_SIZE_LIMIT
    return integer(found[0] if found else None, DEFAULT_SIZE_LIMIT)


def named_files(connection: sqlite3.Connection, disk: SafeDisk) -> frozenset[Path]:
    """The files that rows name."""
    found = set()
    for (filename,) in connection.execute("SELECT filename FROM Cache WHERE filename IS NOT NULL"):
        try:
            found.add(disk.file_of(filename))
        except UnsafeRowError:
            continue
    return frozenset(found)


def integer(value: Any, otherwise: int) -> int:
    """`value` where the database holds an integer, as it should."""
    return value if isinstance(value, int) else otherwise


@contextmanager
def _connection(directory: Path, mode: str) -> Iterator[sqlite3.Connection]:
    address = f"{(directory / DBNAME).absolute().as_uri()}?mode={mode}"
    with closing(sqlite3.connect(address, uri=True, timeout=TIMEOUT_S, isolation_level=None)) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        connection.execute("PRAGMA trusted_schema = 0")
        yield connection


@contextmanager
def _explained(directory: Path) -> Iterator[None]:
    """`OSError` for whatever SQLite or diskcache finds wrong."""
    try:
        yield
    except diskcache.Timeout as error:
        raise OSError(f"the database in {directory} cannot be used now: it is locked by another process") from error
    except sqlite3.OperationalError as error:
        raise OSError(f"the database in {directory} cannot be used now: {error}") from error
    except sqlite3.DatabaseError as error:
        raise UnreadableError(f"the database in {directory} is damaged ({error})") from error
