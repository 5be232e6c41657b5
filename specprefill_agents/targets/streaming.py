"""Token ids in, text out, as it may be shown: whole characters only, and nothing of a stop string. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from specprefill_agents.errors import ConfigError

_INCOMPLETE = "\ufffd"
"""What a decoder shows for bytes that are no character, or not yet."""


class TextStream:
    """Turns the tokens of one generation into text deltas.

    `decode` maps ids to text. Text that ends in undecodable bytes waits for more; text that may be the start of a
    stop string waits until it is none. `stopped` turns True when a stop string is complete; it and everything after it
    are never returned. Raises `ConfigError` for an empty stop string.
    """

    def __init__(self, decode: Callable[[list[int]], str], stop: Sequence[str] = ()) -> None:
        if isinstance(stop, str) or not all(stop):
            raise ConfigError("stop", stop, "a sequence of non-empty strings")
        self.stopped = False
        self._decode = decode
        self._stop = tuple(stop)
        self._ids: list[int] = []
        self._context = 0  # ids before this one are out of reach of the decoder
        self._shown = 0  # ids before this one have become text
        self._held = ""

    def push(self, token: int) -> str:
        """Text that became certain with one more token, possibly none."""
        self._ids.append(token)
        # The text of the newest tokens may depend on the ones before (leading spaces), so a few are decoded again.
        before = self._decode(self._ids[self._context : self._shown])
        now = self._decode(self._ids[self._context :])
        if len(now) <= len(before) or now.endswith(_INCOMPLETE):
            return ""
        self._context, self._shown = self._shown, len(self._ids)
        return self._released(now[len(before) :])

    def finish(self) -> str:
        """The text still held when generation ends; a character whose last bytes never came is left out."""
        if self.stopped:
            return ""
        before = self._decode(self._ids[self._context : self._shown])
        rest = self._decode(self._ids[self._context :])[len(before) :].rstrip(_INCOMPLETE)
        text = self._released(rest) + self._held
        self._held = ""
        return text

    def _released(self, delta: str) -> str:
        text = self._held + delta
        found = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = max((overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning of `stop`."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)
