"""diskcache without its pickles: a Disk that neither writes nor reads one, and an opener that trusts no stored setting.

diskcache unpickles rows that say they are pickles (CVE-2025-69872), joins stored file names to the directory unchecked,
lets settings stored in the database override its defaults and executes those named `sqlite_*` as PRAGMAs on every new
connection. Here a row is bytes or it is refused, a file name has the one form diskcache makes, and before diskcache
opens a database, its schema must be diskcache's own and settings that are not the ones below are removed.

The database is in WAL mode, which network file systems do not support.
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import diskcache
from diskcache.core import DBNAME, MODE_BINARY, MODE_RAW, UNKNOWN

from specprefill_agents.errors import ConfigError
from specprefill_agents.storage.directory import KEY_FILE, locked, make_private, make_secret

MAX_VALUE_BYTES = 2**28
"""Longest value that is read or written, in bytes."""

SETTINGS: dict[str, Any] = {
    "statistics": 1,
    "tag_index": 0,
    "eviction_policy": "least-recently-used",
    "cull_limit": 10,
    "sqlite_auto_vacuum": 1,  # FULL: what is evicted leaves the file, so that its size is what is kept
    "sqlite_cache_size": 2**11,  # pages
    "sqlite_journal_mode": "wal",
    "sqlite_journal_size_limit": 2**22,  # bytes
    "sqlite_mmap_size": 0,  # a damaged file must be an error, never a SIGBUS
    "sqlite_synchronous": 1,  # NORMAL
    "sqlite_trusted_schema": 0,
    "disk_min_file_size": 2**15,  # bytes; longer values are files
    "disk_pickle_protocol": 0,  # never used
}
"""Every setting but `size_limit`; nothing is left to diskcache's defaults."""

RECOUNT = {
    "count": "SELECT COUNT(*) FROM Cache",
    "size": "SELECT COALESCE(SUM(size), 0) FROM Cache",
    "hits": "SELECT 0",
    "misses": "SELECT 0",
}
"""diskcache's own counters, and what each is when it cannot be believed."""

_VALUE_FILE = re.compile(r"[0-9a-f]{2}[/\\][0-9a-f]{2}[/\\][0-9a-f]{28}\.val")


class UnsafeRowError(Exception):
    """A key, a row or a file name that `SafeDisk` refuses."""


class SafeDisk(diskcache.Disk):  # type: ignore[misc]
    """Keys are str, bytes or 64-bit int, values bytes; anything else raises `UnsafeRowError`. Never unpickles."""

    def put(self, key: object) -> tuple[Any, bool]:
        """`key` as the database holds it."""
        if type(key) in (str, bytes) or (type(key) is int and -(2**63) <= key < 2**63):
            converted: tuple[Any, bool] = super().put(key)
            return converted
        raise UnsafeRowError(f"a key must be str, bytes or a 64-bit int, not {type(key).__name__}")

    def get(self, key: object, raw: object) -> Any:
        """A key from the database."""
        if not raw or type(key) not in (str, bytes, int):
            raise UnsafeRowError("a key in the database is pickled")
        return key

    def store(self, value: object, read: bool, key: object = UNKNOWN) -> tuple[int, int, str | None, Any]:
        """`value` as the database holds it: (size, mode, file name, value in the row)."""
        if read or type(value) is not bytes or len(value) > MAX_VALUE_BYTES:
            raise UnsafeRowError(f"a value must be at most {MAX_VALUE_BYTES} bytes, not {type(value).__name__}")
        row: tuple[int, int, str | None, Any] = super().store(value, read, key)
        return row

    def fetch(self, mode: object, filename: object, value: object, read: bool) -> bytes:
        """The value of a row. Raises `OSError` when its file is gone, which diskcache takes for a miss."""
        if not read and mode == MODE_RAW and filename is None and type(value) is bytes:
            return value
        if not read and mode == MODE_BINARY and value is None:
            return _read(self.file_of(filename))
        raise UnsafeRowError(f"a row of mode {mode} is not read")

    def remove(self, file_path: object) -> None:
        """Remove a value's file; a name that is none of ours is left alone."""
        with suppress(UnsafeRowError):
            self.file_of(file_path)
            super().remove(file_path)

    def file_of(self, filename: object) -> Path:
        """Path of a value's file. Raises `UnsafeRowError` for a name not made by diskcache, or a link on the way."""
        if not isinstance(filename, str) or not _VALUE_FILE.fullmatch(filename):
            raise UnsafeRowError("a row names a file outside the cache")
        base = Path(os.path.realpath(self._directory))
        if Path(os.path.realpath(base / filename)) != base / filename:
            raise UnsafeRowError("a row names a file behind a link")
        return base / filename


def _read(path: Path) -> bytes:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_VALUE_BYTES:
        raise UnsafeRowError("a row names a file that is no value")
    return path.read_bytes()


def open_private(directory: Path, size_limit: int, timeout_s: float) -> tuple[diskcache.Cache, bytes]:
    """Open, or make, the cache in `directory`, and its secret; a database that is damaged or not as ours is made anew.

    `size_limit` is in bytes; `timeout_s` is how long to wait for other processes, here and later in every call.
    Raises `ConfigError` for a directory that others can write to or that another program's cache is in, `OSError` or
    `sqlite3.Error` when the cache cannot be opened now.
    """
    make_private(directory)
    with locked(directory, timeout_s):
        database = directory / DBNAME
        if database.exists() and not (directory / KEY_FILE).exists():
            raise ConfigError("directory", str(directory), f"a directory of this library's own; it holds another program's {DBNAME}")
        secret = make_secret(directory)
        try:
            if database.exists() and not _settle(database, timeout_s):
                discard(directory)
        except sqlite3.OperationalError:
            raise  # locked, read-only, full: nothing is wrong with the file
        except sqlite3.DatabaseError:
            discard(directory)
        return diskcache.Cache(str(directory), timeout=timeout_s, disk=SafeDisk, **SETTINGS, size_limit=size_limit), secret


def discard(directory: Path) -> None:
    """Remove the database and every value's file."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        (directory / f"{DBNAME}{suffix}").unlink(missing_ok=True)
    sweep(directory, keep=frozenset())


def sweep(directory: Path, keep: frozenset[Path]) -> int:
    """Remove the values' files that no row of `keep` names, and return how many."""
    orphans = [path for path in value_files(directory) if path not in keep]
    disk = SafeDisk(str(directory))
    for path in orphans:
        disk.remove(str(path.relative_to(directory)))
    return len(orphans)


def value_files(directory: Path) -> Iterator[Path]:
    """Every file in `directory` that has the name of a value's file."""
    for path in directory.glob("??/??/*.val"):
        if _VALUE_FILE.fullmatch(str(path.relative_to(directory))):
            yield path


def _settle(database: Path, timeout_s: float) -> bool:
    """Remove settings that are not ours, before diskcache would obey them. False when the schema is not diskcache's."""
    with closing(sqlite3.connect(database, timeout=timeout_s, isolation_level=None)) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        connection.execute("PRAGMA trusted_schema = 0")
        connection.execute("BEGIN IMMEDIATE")
        objects = _objects(connection)
        if not objects <= _expected_objects():
            return False
        tables = {name for _, name, _, _ in objects}
        if "Settings" in tables:
            for rowid, key, value in connection.execute("SELECT rowid, key, value FROM Settings").fetchall():
                if not _is_ours(key, value):
                    connection.execute("DELETE FROM Settings WHERE rowid = ?", (rowid,))
                    if key in RECOUNT and "Cache" in tables:
                        ((count,),) = connection.execute(RECOUNT[key])
                        connection.execute("INSERT INTO Settings VALUES (?, ?)", (key, count))
        connection.execute("COMMIT")
        return True


def _is_ours(key: object, value: object) -> bool:
    if key in RECOUNT or key == "size_limit":
        return type(value) is int and value >= 0
    return key in SETTINGS and type(value) is type(SETTINGS[str(key)]) and value == SETTINGS[str(key)]


def _objects(connection: sqlite3.Connection) -> frozenset[tuple[str, str, str, str | None]]:
    return frozenset(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall())


@lru_cache(maxsize=1)
def _expected_objects() -> frozenset[tuple[str, str, str, str | None]]:
    """Tables, indexes and triggers as the installed diskcache makes them."""
    quick = {**SETTINGS, "sqlite_synchronous": 0, "sqlite_journal_mode": "memory"}
    with tempfile.TemporaryDirectory(prefix="specprefill-") as made:
        diskcache.Cache(made, disk=SafeDisk, **quick, size_limit=2**20).close()
        with closing(sqlite3.connect(Path(made) / DBNAME)) as connection:
            return _objects(connection)
