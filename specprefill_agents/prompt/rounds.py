"""The rounds of tool outputs in a conversation, and what each is read for. Knows no message format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from specprefill_agents.prompt.query import CallContext, build_query
from specprefill_agents.types import Segment


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a segment's text sits: index of the message, and of the block where the message's content is a list."""

    message: int
    block: int | None
    segment: Segment


@dataclass(frozen=True, slots=True)
class Round:
    """The tool outputs that reach the model with one call, and what that call is about.

    `others` are the messages that pass whole and reach the model with it for the first time.
    """

    slots: tuple[Slot, ...]
    query: str
    others: tuple[Any, ...] = ()


class Rounds:
    """Collects the rounds of a conversation that is read from its beginning: an assistant message closes one, `end` the last.

    Each round is read with the query of its own time (the user turn and the calls that led to it), or with `query`.
    What was sent before can therefore be worked out again from the messages alone, and stays the same as the
    conversation grows.
    """

    def __init__(self, query: str | None = None) -> None:
        self._query = query
        self._user_text = ""
        self._calls: dict[str, CallContext] = {}
        self._slots: list[Slot] = []
        self._others: list[Any] = []
        self._closed: list[Round] = []

    def user(self, text: str) -> None:
        """The user said something."""
        self._user_text = text

    def passes(self, message: Any) -> None:
        """A message came that passes whole. One of the assistant belongs to the round after it: first tell of its calls."""
        self._others.append(message)

    def assistant(self, calls: Mapping[str, CallContext]) -> None:
        """The assistant said something, with these tool calls by their ids; a call without one has "" and holds until the next message."""
        self._close()
        self._calls.pop("", None)
        self._calls.update(calls)

    def call(self, call_id: str) -> CallContext | None:
        """The call by that id, which came before."""
        return self._calls.get(call_id)

    def output(self, slot: Slot) -> None:
        """A tool put something out."""
        self._slots.append(slot)

    def end(self) -> list[Round]:
        """The conversation ends here: its rounds."""
        self._close()
        return self._closed

    def _close(self) -> None:
        if not self._slots:
            return
        query = self._query
        if query is None:
            ids = dict.fromkeys(slot.segment.id or "" for slot in self._slots if slot.segment.kind == "tool_result")
            query = build_query(self._user_text, [self._calls[call_id] for call_id in ids if call_id in self._calls])
        self._closed.append(Round(tuple(self._slots), query, tuple(self._others)))
        self._slots, self._others = [], []
