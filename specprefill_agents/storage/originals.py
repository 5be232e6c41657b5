"""Originals: the texts that compression shortened, whole, each under a short id that a gap mark can show to a model.

An id is "sp-" and the first 8 characters, in lower-case base32, of an HMAC-SHA256 of the text, under a key made from the
tenant's name and, when given, a `secret`. Without one, an id depends on tenant and text alone, because ids are part of
what is sent, and the same input must give the same bytes in any process, on any machine, with any state of the disk. The
price: whoever reads a compressed prompt can confirm a good guess of all that its gaps hide. Give a `secret` where that
matters, the same one to all processes that continue each other's conversations.

An id is not a permission: a text is looked for among those of its tenant only, under a name that the directory's secret
and the tenant shape. Another tenant's id is as unknown as one that never was.

What is found counts only if its own text leads back to the id it was asked for by. Where the short id of a text is taken
by another text, the id is longer. (With 100,000 originals in one store that happens to one of them in about 200 stores.)
"""

from __future__ import annotations

import hmac
import logging
import re
from base64 import b32encode
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from specprefill_agents.errors import ConfigError, NotKeptError
from specprefill_agents.storage.directory import originals_directory
from specprefill_agents.storage.rows import check_secret, row_key
from specprefill_agents.storage.score_cache import DEFAULT_SIZE_LIMIT, MAX_AGE_S
from specprefill_agents.storage.shelves import MEMORY_BYTES, DiskShelf, MemoryShelf, Shelf, original_key

if TYPE_CHECKING:
    from specprefill_agents.storage.redis_server import RedisServer

logger = logging.getLogger("specprefill_agents.storage")

ID_PREFIX = "sp-"
ID_LENGTHS = (8, 12, 20, 52)
"""Characters after the prefix, 5 bits each: usually the first; the next where another text has taken the id."""

_ID = re.compile(r"sp-[a-z2-7]{8,52}")


class KeepsOriginals(Protocol):
    """Whatever has originals to give back, such as a compressor."""

    @property
    def originals(self) -> Originals | None:
        """The store; None where nothing is kept."""
        ...


class Originals:
    """Texts by id, on the first of `shelves` that can hold them. May be shared by threads.

    `tenant` separates users of one directory. `secret`, at least 16 bytes, shapes the ids too. Make one with `on_disk`,
    `on_redis` or `in_memory`. Raises `ConfigError` at construction.
    """

    def __init__(self, shelves: Sequence[Shelf], *, tenant: str = "", secret: bytes | None = None) -> None:
        if secret is not None:
            check_secret(secret)
        self.shelves = tuple(shelves)
        self.tenant = tenant
        self._key = _id_key(tenant, secret)

    @classmethod
    def on_disk(
        cls,
        directory: str | Path,
        *,
        tenant: str = "",
        secret: bytes | None = None,
        size_limit: int = DEFAULT_SIZE_LIMIT,
        max_age_s: float = MAX_AGE_S,
        timeout_s: float = 1.0,
    ) -> Originals:
        """In `directory`, at most `size_limit` bytes, each text for `max_age_s` seconds after it was last stored or read.

        What the disk cannot take is kept in this process's memory, so that an id is a promise even when the disk is full
        or read-only. Raises `ConfigError` as `ScoreCache` does.
        """
        disk = DiskShelf(directory, tenant=tenant, size_limit=size_limit, max_age_s=max_age_s, timeout_s=timeout_s)
        return cls([disk, MemoryShelf(max_age_s=max_age_s)], tenant=tenant, secret=secret)

    @classmethod
    def in_memory(
        cls, *, tenant: str = "", secret: bytes | None = None, max_bytes: int = MEMORY_BYTES, max_age_s: float = MAX_AGE_S
    ) -> Originals:
        """In this process's memory, at most `max_bytes` after compression."""
        return cls([MemoryShelf(max_bytes, max_age_s)], tenant=tenant, secret=secret)

    @classmethod
    def on_redis(
        cls, server: RedisServer | str, *, secret: bytes, tenant: str = "", local: Shelf | None = None, max_age_s: float = MAX_AGE_S
    ) -> Originals:
        """On a Redis or Valkey server (or its URL), each text for `max_age_s` seconds after it was last stored or read.

        `secret` is the one of all processes that share the server; ids are those of any other store with this `secret`. Each text
        is on `local` too, in this process's memory unless given, which stands in while the server is away; what it missed it
        gets once it answers. Raises `ConfigError` for a setting out of range, ImportError without the extra `redis`.
        """
        from specprefill_agents.storage.redis_rows import RedisRows, RedisShelf

        rows = RedisRows(server, secret=secret, tenant=tenant, max_age_s=max_age_s)
        return cls([RedisShelf(rows, local or MemoryShelf(max_age_s=max_age_s))], tenant=tenant, secret=secret)

    def id_of(self, text: str) -> str:
        """The id that `put` would return; stores nothing."""
        return self._place(text)[0]

    def put(self, text: str) -> str:
        """Keep `text`, and return its id. Raises `NotKeptError` when it is too large for every shelf."""
        name, where = self._place(text)
        if where is not self.shelves[0] and not any(shelf.write(name, text) for shelf in self.shelves):
            raise NotKeptError(f"an original of {len(text)} characters could not be kept")
        return name

    def get(self, name: str) -> str | None:
        """The text whose id is `name`; None for an id that is unknown here: expired, misspelt, or another tenant's."""
        text = self._find(name)[0] if _ID.fullmatch(name) else None
        return text if text is not None and _full_id(text, self._key).startswith(name) else None

    def close(self) -> None:
        """Close this thread's connections; the next call opens them again."""
        for shelf in self.shelves:
            shelf.close()

    def __enter__(self) -> Originals:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def _place(self, text: str) -> tuple[str, Shelf | None]:
        """The shortest id that no other text has, and where `text` is kept under it."""
        full = _full_id(text, self._key)
        for length in ID_LENGTHS:
            name = full[: len(ID_PREFIX) + length]
            found, shelf = self._find(name)
            if found in (None, text):
                return name, shelf
        raise NotKeptError("other texts have every id of a text")

    def _find(self, name: str) -> tuple[str, Shelf] | tuple[None, None]:
        """What is kept under `name`, and where."""
        for shelf in self.shelves:
            text = shelf.read(name)
            if text is not None:
                return text, shelf
        return None, None


def keys_of(text: str, directory_secret: bytes, tenant: str) -> frozenset[bytes]:
    """The keys under which a disk shelf may hold `text` for `tenant`, where ids are made without a secret.

    A row under none of them has a text that does not lead back to the id it is found by, or belongs to someone else.
    """
    full = _full_id(text, _id_key(tenant, None))
    return frozenset(original_key(directory_secret, full[: len(ID_PREFIX) + length], tenant) for length in ID_LENGTHS)


def _id_key(tenant: str, secret: bytes | None) -> bytes:
    return row_key(secret or b"", "id of an original", tenant)


def _full_id(text: str, key: bytes) -> str:
    digest = hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256")
    return ID_PREFIX + b32encode(digest).decode("ascii").rstrip("=").lower()


def default_originals(tenant: str = "") -> Originals:
    """Originals in the user's own cache directory; in memory, with a log line, where that is not safe to use."""
    try:
        return Originals.on_disk(originals_directory(), tenant=tenant)
    except ConfigError as error:
        logger.warning("originals are kept in memory only: %s", error)
        return Originals.in_memory(tenant=tenant)


def originals_of(source: Originals | KeepsOriginals) -> Originals:
    """`source` itself, or the originals it keeps. Raises `ConfigError` when it keeps none."""
    found = getattr(source, "originals", source)
    if not isinstance(found, Originals):
        raise ConfigError("originals", found, "an Originals, or something that keeps one in its attribute `originals`")
    return found
