"""Look after a cache directory, of scores or of originals: what is in it, how to shorten it, how to empty it.

Every function raises `ConfigError` for a directory that is not private, and `OSError` when its database is in use or
unreadable (`UnreadableError`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from specprefill_agents.storage.databases import TIMEOUT_S, UnreadableError, culling, exists, integer, reading, writing
from specprefill_agents.storage.directory import locked
from specprefill_agents.storage.disk import discard
from specprefill_agents.storage.rows import KINDS
from specprefill_agents.storage.score_cache import DEFAULT_SIZE_LIMIT

_CONTENTS = """
    SELECT tag, COUNT(*), SUM(CASE WHEN filename IS NULL THEN LENGTH(value) ELSE size END), SUM(expire_time < ?)
    FROM Cache GROUP BY tag
"""


@dataclass(frozen=True, slots=True)
class CacheContents:
    """What a directory holds: rows and their bytes, in all and per kind; hits and misses of all processes since it was empty.

    `expired` of the rows are past their time: they are not given out any more, and go with the next store or `prune`.
    """

    rows: int = 0
    bytes: int = 0
    size_limit: int = DEFAULT_SIZE_LIMIT
    kinds: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    hits: int = 0
    misses: int = 0
    expired: int = 0


def contents(directory: Path) -> CacheContents:
    """What the cache in `directory` holds; nothing when there is none."""
    if not exists(directory):
        return CacheContents()
    with reading(directory) as connection:
        settings = dict(connection.execute("SELECT key, value FROM Settings").fetchall())
        groups = connection.execute(_CONTENTS, (time.time(),)).fetchall()
    known = {kind.name for kind in KINDS.values()}
    kinds: dict[str, tuple[int, int]] = {}
    for tag, rows, size, _ in groups:
        name = tag if tag in known else "unknown"
        before = kinds.get(name, (0, 0))
        kinds[name] = (before[0] + rows, before[1] + int(size or 0))
    return CacheContents(
        rows=sum(rows for rows, _ in kinds.values()),
        bytes=sum(size for _, size in kinds.values()),
        size_limit=integer(settings.get("size_limit"), DEFAULT_SIZE_LIMIT),
        kinds=kinds,
        hits=integer(settings.get("hits"), 0),
        misses=integer(settings.get("misses"), 0),
        expired=sum(expired or 0 for *_, expired in groups),
    )


def prune(directory: Path) -> int:
    """Remove the rows that are past their time, then the least recently used until the limit holds; how many there were."""
    if not exists(directory):
        return 0
    with culling(directory) as cache:
        return int(cache.cull())


def clear(directory: Path) -> int:
    """Remove every row, and return how many there were; a database that is no longer one is made anew."""
    if not exists(directory):
        return 0
    try:
        with writing(directory) as connection:
            removed = connection.execute("DELETE FROM Cache").rowcount
            connection.execute("UPDATE Settings SET value = 0 WHERE key IN ('hits', 'misses')")
    except UnreadableError:
        with locked(directory, TIMEOUT_S):
            discard(directory)
        return 0
    return removed
