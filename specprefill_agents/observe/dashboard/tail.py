"""Files of JSON lines that grow and are set aside, read from where they were left, a record at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

from specprefill_agents.observe.rotation import numbered

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands: a file, by what the system knows it by even when it is renamed, and the line's first byte."""

    device: int
    inode: int
    byte: int


class Tail:
    """The records of `path` and of the files that were set aside beside it, oldest first; each of them is read once.

    `unreadable_lines` counts what was no JSON object. A line without its end is left for later. Not thread-safe.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.unreadable_lines = 0
        self._read: dict[tuple[int, int], int] = {}

    def new(self) -> Iterator[tuple[Place, Row]]:
        """What was written since the last call. Raises OSError where nothing can be read."""
        seen: set[tuple[int, int]] = set()
        for path in self._paths():
            try:
                stream = path.open("rb")
            except FileNotFoundError:  # set aside, or removed, meanwhile
                continue
            with stream:
                status = os.fstat(stream.fileno())
                key = (status.st_dev, status.st_ino)
                if key not in seen:
                    seen.add(key)
                    yield from self._lines(stream, key, status.st_size)
        if not seen:
            raise FileNotFoundError(2, os.strerror(2), str(self.path))
        self._read = {key: byte for key, byte in self._read.items() if key in seen}

    def at(self, place: Place) -> Row | None:
        """The record at a place; None where its file is gone or holds something else now."""
        for path in self._paths():
            try:
                with path.open("rb") as stream:
                    status = os.fstat(stream.fileno())
                    if (status.st_dev, status.st_ino) == (place.device, place.inode):
                        stream.seek(place.byte)
                        return _parsed(stream.readline())
            except FileNotFoundError:
                continue
        return None

    def _lines(self, stream: IO[bytes], key: tuple[int, int], size: int) -> Iterator[tuple[Place, Row]]:
        byte = self._read.get(key, 0)
        if size < byte:  # emptied, and begun again
            byte = 0
        stream.seek(byte)
        for line in stream:
            if not line.endswith(b"\n"):
                break
            row = _parsed(line)
            place = Place(*key, byte)
            byte += len(line)
            self._read[key] = byte
            if row is not None:
                yield place, row
            elif line.strip():
                self.unreadable_lines += 1

    def _paths(self) -> list[Path]:
        """Oldest first."""
        head = f"{self.path.name}."
        beside = self.path.parent.iterdir() if self.path.parent.is_dir() else ()
        suffixes = [path.name.removeprefix(head) for path in beside if path.name.startswith(head)]
        numbers = sorted((int(suffix) for suffix in suffixes if suffix.isascii() and suffix.isdigit()), reverse=True)
        return [*(numbered(self.path, number) for number in numbers), self.path]


def _parsed(line: bytes) -> Row | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
