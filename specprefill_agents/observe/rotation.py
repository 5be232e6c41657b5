"""A file of lines that grows to a size and is then set aside: `audit.jsonl`, the latest before it `audit.jsonl.1`, and so on.

Threads and processes may share it. A line is one write at the end of the file, which the system keeps whole; whoever finds
that the file was set aside meanwhile opens the new one. Only one sets it aside at a time, and nobody waits for that: a line
written meanwhile ends the old file. Where there is no `flock` (Windows), only one process should write.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from specprefill_agents.errors import ConfigError
from specprefill_agents.storage.forking import watch_forks

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NOTHING: Mapping[str, str] = MappingProxyType({})
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class RotatingLines:
    """Lines of ASCII in a file of about `max_bytes`, and in `keep` older ones, each readable by its owner alone.

    Raises `ConfigError` at construction.
    """

    def __init__(self, path: str | Path, max_bytes: int, keep: int) -> None:
        for name, value, unit in (("max_bytes", max_bytes, "bytes"), ("keep", keep, "files")):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(name, value, f"an integer >= 1 ({unit})")
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._keep = keep
        self.after_fork()
        watch_forks(self)

    def after_fork(self) -> None:
        """Without the file that is open: a position in it and a lock on it would be shared with the parent."""
        self._open: _Open | None = None
        self._lock = threading.Lock()

    def append(self, line: str, once: Mapping[str, str] = NOTHING) -> None:
        """Add `line`, after those of the lines `once`, by key, that this object did not write to the same file. Raises OSError."""
        with self._lock:
            file = self._current()
            data = file.data(line, once)
            if file.size() > 0 and file.size() + len(data) > self._max_bytes:
                with suppress(OSError):  # a file that cannot be set aside grows on
                    self._set_aside(file)
                file = self._current()
                data = file.data(line, once)
            file.write(data)
            file.said.update(once)

    def _current(self) -> _Open:
        """The file by its name, also where the one that was open has been set aside or removed."""
        if self._open is None or not self._open.is_at(self._path):
            if self._open is not None:
                self._open.close()
            self._open = _Open(self._path)
        return self._open

    def _set_aside(self, file: _Open) -> None:
        """Give every file the next number, from the first free one down; nothing while another process does."""
        with file.locked() as is_ours:
            # Nobody else sets aside what this name leads to, and by the last step it leads to no file.
            if is_ours and file.is_at(self._path):
                if os.name == "nt":
                    file.close()  # an open file cannot be renamed there
                free = next((number for number in range(1, self._keep) if not numbered(self._path, number).exists()), self._keep)
                for number in range(free, 1, -1):
                    numbered(self._path, number - 1).replace(numbered(self._path, number))
                self._path.replace(numbered(self._path, 1))


def numbered(path: Path, number: int) -> Path:
    """The name of the file set aside so many times."""
    return path.with_name(f"{path.name}.{number}")


class _Open:
    """An open file. Held open, so that no other file can come by its number (device and inode) meanwhile."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, _FLAGS, 0o600)
        self.close = weakref.finalize(self, os.close, self._descriptor)
        self.said: set[str] = set()

    def is_at(self, path: Path) -> bool:
        try:
            return self.close.alive and os.path.samestat(path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def data(self, line: str, once: Mapping[str, str]) -> bytes:
        return "".join(f"{one}\n" for one in (*(once[key] for key in once if key not in self.said), line)).encode("ascii")

    def write(self, data: bytes) -> None:
        """Write at the end, on a line of our own: another process may have been killed in the middle of one."""
        data = data if self._ends_whole() else b"\n" + data
        if os.write(self._descriptor, data) < len(data):
            raise OSError("only a part of the line could be written")

    def _ends_whole(self) -> bool:
        size = self.size()
        if size == 0:
            return True
        os.lseek(self._descriptor, size - 1, os.SEEK_SET)
        return os.read(self._descriptor, 1) == b"\n"

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Whether this file's lock could be had at once; held for as long."""
        is_ours = True
        if fcntl is not None:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                is_ours = False
        try:
            yield is_ours
        finally:
            if fcntl is not None and is_ours:
                # Closing is not enough: a child forked meanwhile has the descriptor too.
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
