"""Read every row of a cache directory, of scores or of originals, and say which can be relied on."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from specprefill_agents.storage.databases import exists, named_files, reading, writing
from specprefill_agents.storage.directory import SECRET_BYTES, read_secret
from specprefill_agents.storage.disk import SafeDisk, UnsafeRowError, value_files
from specprefill_agents.storage.originals import keys_of
from specprefill_agents.storage.rows import KINDS, ORIGINAL, DamagedRowError, ForeignRowError, NewerRowError, verified_kind

Soundness = Literal["sound", "unowned", "damaged", "foreign", "newer"]


@dataclass(frozen=True, slots=True)
class Verification:
    """How many rows are sound, damaged, not ours, or of a later version; `orphans` are files that no row names.

    `unowned` rows hold originals that are whole and ours, but lead back to their id for none of the tenants asked about.
    `removed` rows were damaged or foreign, and are gone.
    """

    sound: int = 0
    unowned: int = 0
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


def verify(directory: Path, *, repair: bool = False, tenants: Sequence[str] = ("",)) -> Verification:
    """Read every row; with `repair`, remove the damaged and foreign ones, and the files that no row names.

    The text of an original must lead back to the id it is kept under, for one of `tenants`; ids that were made with a
    secret cannot be followed. Raises `ConfigError` for a directory that is not private, `OSError` when its database is in
    use or unreadable (`UnreadableError`).
    """
    if not exists(directory):
        return Verification()
    counts: Counter[str] = Counter()
    bad: list[_Row] = []
    check = _Check(SafeDisk(str(directory)), read_secret(directory) or bytes(SECRET_BYTES), tuple(tenants))
    with reading(directory) as connection:
        if connection.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
            raise sqlite3.DatabaseError("quick_check failed")
        for rowid, store_time, *stored in connection.execute("SELECT rowid, store_time, filename, key, raw, mode, value FROM Cache"):
            soundness = check.soundness(*stored)
            counts[soundness] += 1
            if soundness in ("damaged", "foreign"):
                bad.append(_Row(rowid, store_time))
        orphans = len(set(value_files(directory)) - named_files(connection, check.disk))
    if repair and (bad or orphans):
        _remove(directory, bad)
    return Verification(**counts, orphans=0 if repair else orphans, removed=len(bad) if repair else 0)


class _Check(NamedTuple):
    """What a row is checked against: the directory's files and secret, and the tenants that may own an original."""

    disk: SafeDisk
    secret: bytes
    tenants: tuple[str, ...]

    def soundness(self, filename: object, key: object, raw: object, mode: object, value: object) -> Soundness:
        try:
            row = self.disk.fetch(mode, filename, value, read=False)
            if type(key) is not bytes or raw != 1:
                return "foreign"
            kind = verified_kind(row, key, self.secret)
            if kind not in KINDS:
                return "damaged"
            return "sound" if kind != ORIGINAL.code or self._leads_back(row, key) else "unowned"
        except (UnsafeRowError, ForeignRowError):
            return "foreign"
        except NewerRowError:
            return "newer"
        except (DamagedRowError, OSError):
            return "damaged"

    def _leads_back(self, row: bytes, key: bytes) -> bool:
        text = ORIGINAL.load(row, key, self.secret)
        return any(key in keys_of(text, self.secret, tenant) for tenant in self.tenants)


def _remove(directory: Path, rows: list[_Row]) -> None:
    """Remove rows that are still as they were found; those that are not were replaced or evicted."""
    with writing(directory) as connection:
        for row in rows:
            connection.execute("DELETE FROM Cache WHERE rowid = ? AND store_time IS ?", row)
