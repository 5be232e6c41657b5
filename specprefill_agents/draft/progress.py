"""How a pull reports what it does: not at all, or on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Progress:
    """Reports nothing. `live` tells whether bars of other programs may be shown too."""

    live = False

    def say(self, message: str) -> None:
        """One line about what happens next."""

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Callable[[int], object]]:
        """A bar over `total` bytes; call what it gives with each number of bytes done."""
        yield lambda _: None


class TerminalProgress(Progress):
    """Lines and bars on standard error; lines alone where that is no terminal."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()

    def say(self, message: str) -> None:
        """Write the line."""
        sys.stderr.write(message + "\n")
        sys.stderr.flush()

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Callable[[int], object]]:
        """A tqdm bar."""
        from tqdm import tqdm

        with tqdm(desc=what, total=total, unit="B", unit_scale=True, disable=not self.live, leave=False) as bar:
            yield bar.update
