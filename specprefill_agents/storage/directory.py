"""A directory of this user alone: made with mode 0700, refused when others could write to it, with a lock and a secret.

On systems without POSIX owners and modes (Windows) the user's own profile directory is trusted as it is.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from specprefill_agents.draft.registry import home
from specprefill_agents.errors import ConfigError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = "lock"
KEY_FILE = "row.key"
"""Holds the directory's secret."""
SECRET_BYTES = 32


def cache_directory() -> Path:
    """Where the score cache is, unless told otherwise: `SPECPREFILL_CACHE_DIR`, else `cache` in the library's directory."""
    explicit = os.environ.get("SPECPREFILL_CACHE_DIR")
    return Path(explicit).expanduser() if explicit else home() / "cache"


def originals_directory() -> Path:
    """Where originals are, unless told otherwise: `originals` in the directory of the score cache."""
    return cache_directory() / "originals"


def check_private(directory: Path) -> None:
    """Raise `ConfigError` when `directory` exists and is no directory, another user's, or writable by others."""
    try:
        found = directory.stat()
    except OSError:
        return
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError("directory", str(directory), "a directory")
    if not hasattr(os, "geteuid"):
        return
    if found.st_uid != os.geteuid():
        raise ConfigError("directory", str(directory), f"a directory of your own; this one belongs to user {found.st_uid}")
    if found.st_mode & 0o022:
        raise ConfigError(
            "directory",
            str(directory),
            f"a directory that only you can write to; this one has mode {stat.S_IMODE(found.st_mode):04o} (type: chmod go-w {directory})",
        )


def make_private(directory: Path) -> None:
    """Make `directory`, and what is missing above it, with mode 0700; shut out others who could read an existing one.

    Raises `ConfigError` as `check_private` does, `OSError` when it cannot be made.
    """
    for missing in reversed([path for path in (directory, *directory.parents) if not path.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    check_private(directory)
    if stat.S_IMODE(directory.stat().st_mode) & 0o077:
        directory.chmod(0o700)


@contextmanager
def locked(directory: Path, timeout_s: float) -> Iterator[None]:
    """Hold the directory's lock, which the system lets go when its holder dies. Raises `TimeoutError` after `timeout_s`.

    Where there is no `flock`, nothing is held.
    """
    descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        give_up = time.monotonic() + timeout_s
        while fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > give_up:
                    raise TimeoutError(f"{directory / LOCK_FILE} was held by another process for {timeout_s} s") from error
                time.sleep(0.005)
        yield
    finally:
        if fcntl is not None:
            # Closing is not enough: a child forked meanwhile has the descriptor too.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def read_secret(directory: Path) -> bytes | None:
    """The directory's secret, 32 bytes; None when there is none or it is damaged."""
    try:
        secret = (directory / KEY_FILE).read_bytes()
    except FileNotFoundError:
        return None
    return secret if len(secret) == SECRET_BYTES else None


def make_secret(directory: Path) -> bytes:
    """The directory's secret, made in one step with mode 0600 when there is none. Call under `locked`."""
    found = read_secret(directory)
    if found is not None:
        return found
    made = secrets.token_bytes(SECRET_BYTES)
    unfinished = directory / f"{KEY_FILE}.{secrets.token_hex(8)}"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(made)
    unfinished.replace(directory / KEY_FILE)
    return made
