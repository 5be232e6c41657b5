"""KeptReadings: what a target has read of the conversations it answered last, so that their next steps only add to it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from specprefill_agents.errors import ConfigError
from specprefill_agents.targets.reading import Reading, shared_length

logger = logging.getLogger("specprefill_agents.targets")


@dataclass(frozen=True, slots=True)
class _Kept:
    """A reading that nobody adds to any more; its first `prompt_tokens` were the prompt, the rest an answer."""

    reading: Reading
    prompt_tokens: int
    nbytes: int


class KeptReadings:
    """Readings within `limit_bytes`; those used longest ago go first. Safe to share between threads.

    Conversations need no names: what a prompt begins with is found again, whichever conversation read it, so that branches of
    one conversation share what they have in common. A reading that is larger than the limit by itself is not kept, and does not
    displace others; the first one is warned of in the log. 0 bytes keep nothing. Raises `ConfigError` for a negative limit.
    """

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes < 0:
            raise ConfigError("cache_bytes", limit_bytes, "a number of bytes >= 0")
        self._limit = limit_bytes
        self._kept: list[_Kept] = []
        self._lock = threading.Lock()
        self._has_warned = limit_bytes == 0

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept."""
        with self._lock:
            return sum(one.nbytes for one in self._kept)

    def continued(self, ids: Sequence[int], positions: Sequence[int]) -> Reading | None:
        """A reading of as much as is kept of the beginning of a prompt, but for its last token; None where nothing is.

        The prompt's last token is left to be read, since what follows it comes out of reading it.
        """
        most = len(ids) - 1
        with self._lock:
            shared = [min(most, _shared(one.reading, ids, positions)) for one in self._kept]
            usable = [
                (length, index)
                for index, (one, length) in enumerate(zip(self._kept, shared, strict=True))
                if length and (length == len(one.reading.ids) or one.reading.can_rewind)
            ]
            if not usable:
                return None
            length, index = max(usable)
            found = self._kept.pop(index)
            self._kept.append(found)  # used last
            return found.reading.fork(length)

    def keep(self, reading: Reading, prompt_tokens: int) -> None:
        """Keep a finished reading. Prompts that it goes on from are kept no longer, as it holds them."""
        new = _Kept(reading, min(prompt_tokens, len(reading.ids)), reading.nbytes)
        if new.nbytes > self._limit:
            self._warn(new)
            return
        with self._lock:
            others = [one for one in self._kept if _shared(one.reading, reading.ids, reading.positions) < one.prompt_tokens]
            self._kept = [*others, new]
            while sum(one.nbytes for one in self._kept) > self._limit:
                self._kept.pop(0)

    def _warn(self, new: _Kept) -> None:
        with self._lock:
            has_warned, self._has_warned = self._has_warned, True
        if not has_warned:
            logger.warning(
                "what a target read of a conversation (%d tokens, %.1f MiB) is more than cache_bytes=%d holds, "
                "so further steps read it again: raise cache_bytes",
                len(new.reading.ids),
                new.nbytes / 2**20,
                self._limit,
            )


def _shared(reading: Reading, ids: Sequence[int], positions: Sequence[int]) -> int:
    """How many tokens two beginnings have in common, positions included."""
    return min(shared_length(reading.ids, ids), shared_length(reading.positions, positions))
