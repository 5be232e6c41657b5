"""Audit files read back: the records of a log, oldest first, over the files that were set aside."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, TypeAlias

from specprefill_agents.observe.rotation import numbered

Record: TypeAlias = dict[str, Any]


class AuditRecords:
    """The records of a `JsonlAudit`, of each the fields by name; may be gone through more than once, also while the log grows.

    `unreadable_lines` counts what was no record when they were last gone through, such as a line that a crash cut short.
    Going through them raises OSError.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self.unreadable_lines = 0

    def __iter__(self) -> Iterator[Record]:
        self.unreadable_lines = 0
        with ExitStack() as opened:
            for stream in self._streams(opened):
                for line in stream:
                    record = _parsed(line)
                    if record is not None:
                        yield record
                    elif line.strip():
                        self.unreadable_lines += 1

    def _streams(self, opened: ExitStack) -> list[IO[bytes]]:
        """The files, oldest first."""
        found: dict[tuple[int, int], IO[bytes]] = {}
        for path in self._paths():
            with suppress(FileNotFoundError):
                stream = opened.enter_context(path.open("rb"))
                status = os.fstat(stream.fileno())
                key = (status.st_dev, status.st_ino)
                found[key] = found.pop(key, stream)  # met again: older than what was met meanwhile
        if not found:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._path))
        return list(found.values())[::-1]

    def _paths(self) -> Iterator[Path]:
        """From the newest on, number by number: what is set aside meanwhile moves up, and is met again, not missed.

        One number is free for a moment while the files move up; beyond two free ones only a look at the directory tells.
        """
        yield self._path
        number = 1
        while True:
            yield numbered(self._path, number)
            if not any(numbered(self._path, near).exists() for near in (number, number + 1)):
                later = [other for other in self._numbers() if other > number]
                if not later:
                    return
                number = min(later) - 1
            number += 1

    def _numbers(self) -> list[int]:
        head = f"{self._path.name}."
        names = [path.name for path in self._path.parent.iterdir()] if self._path.parent.is_dir() else []
        suffixes = (name.removeprefix(head) for name in names if name.startswith(head))
        return [int(suffix) for suffix in suffixes if suffix.isascii() and suffix.isdigit()]


def read_audit(path: str | Path) -> AuditRecords:
    """The records of the log whose latest file is `path`."""
    return AuditRecords(path)


def _parsed(line: bytes) -> Record | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("event"), str) else None
