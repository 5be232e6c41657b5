"""What an upstream answered, for the ledger: the message and the usage, of one JSON object or of a stream of events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

STREAM = "text/event-stream"
"""What the content type of a stream begins with."""

_DONE = b"data: [DONE]"


class Held:
    """An answer as it passes by, up to `limit` bytes of it; of a longer one nothing."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._pieces: list[bytes] = []
        self._has_ended = False

    def add(self, piece: bytes) -> None:
        """Some more of it."""
        self._left -= len(piece)
        if self._left < 0:
            self._pieces.clear()
        else:
            self._pieces.append(piece)

    def ends(self) -> None:
        """That was all."""
        self._has_ended = True

    @property
    def data(self) -> bytes:
        """What is held."""
        return b"".join(self._pieces)

    @property
    def is_whole(self) -> bool:
        """Whether all of it is held, or of a stream all that says something."""
        return self._left >= 0 and (self._has_ended or b"".join(self._pieces[-4:]).rstrip().endswith(_DONE))


@dataclass(frozen=True, slots=True)
class Answer:
    """The first choice of an answer as a message, and the usage that came with it; None where none did."""

    message: Mapping[str, Any]
    usage: object


def read_answer(data: bytes, content_type: str) -> Answer:
    """The answer in a body. Raises `ValueError` where it is in no known form."""
    if content_type.startswith(STREAM):
        return _of_stream(data)
    whole = _parsed(data)
    message = _choice(whole).get("message")
    if not isinstance(message, Mapping):
        raise ValueError("the answer has no message")
    return Answer(message, whole.get("usage"))


def is_late(event: bytes) -> bool:
    """Whether an event of a stream comes when all has been said: with something of a call, the reason of the end, or the usage alone."""
    value = value_of(event)
    if value is None:
        return event.lstrip().startswith(_DONE)
    choice = _choice(value)
    delta = choice.get("delta")
    has_calls = isinstance(delta, Mapping) and bool(delta.get("tool_calls"))
    return has_calls or choice.get("finish_reason") is not None or (not choice and value.get("usage") is not None)


def value_of(event: bytes) -> dict[str, Any] | None:
    """What an event says; None where it is none of JSON."""
    return next((dict(one) for one in _events(event)), None)


def _of_stream(data: bytes) -> Answer:
    """The pieces of a stream put together."""
    texts: dict[str, list[str]] = {"content": [], "reasoning_content": []}
    calls: dict[int, dict[str, list[str]]] = {}
    usage = None
    for event in _events(data):
        if event.get("usage") is not None:
            usage = event["usage"]
        delta = _choice(event).get("delta")
        if not isinstance(delta, Mapping):
            continue
        for name, pieces in texts.items():
            _add(pieces, delta.get(name))
        for position, call in enumerate(delta.get("tool_calls") or ()):
            known = calls.setdefault(call.get("index", position), {"id": [], "name": [], "arguments": []})
            _add(known["id"], call.get("id"))
            for name in ("name", "arguments"):
                _add(known[name], (call.get("function") or {}).get(name))
    joined = [{name: "".join(pieces) for name, pieces in known.items()} for _, known in sorted(calls.items())]
    made = [{"id": one["id"], "function": {"name": one["name"], "arguments": one["arguments"]}} for one in joined]
    return Answer({"role": "assistant", **{name: "".join(pieces) for name, pieces in texts.items()}, "tool_calls": made}, usage)


def _events(data: bytes) -> Iterator[Mapping[str, Any]]:
    """The JSON objects among the events of a stream; comments, which keep a connection alive, are none."""
    for line in data.splitlines():
        field, _, value = line.partition(b":")
        if field == b"data" and value.strip() != b"[DONE]":
            event = _parsed(value)
            if isinstance(event, Mapping):
                yield event


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("the answer is not JSON") from None


def _choice(whole: object) -> Mapping[str, Any]:
    """The first choice; nothing where there is none, as in the event that brings the usage."""
    choices = whole.get("choices") if isinstance(whole, Mapping) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, Mapping) and first.get("index", 0) == 0 else {}


def _add(pieces: list[str], text: object) -> None:
    if isinstance(text, str):
        pieces.append(text)
