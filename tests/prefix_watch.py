"""Watches that what was sent stays sent: every session of a test, and every chat model that it asks.

Steps that share their first segments must have sent the same for them, and so must requests to a model that share their
first messages; tools and system prompt of a conversation must stay as well. `tests/conftest.py` has every test watched.
"""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary

import pytest

from specprefill_agents.session import Session, Turn
from specprefill_agents.session.shared import SharedSession
from specprefill_agents.types import CompressionResult

MARKER = "prefix_moves"
_SAVED = 256
"""Serialized sessions that are recognised when they are read back; property tests write very many."""


@dataclass
class Node:
    """What was sent for a piece of input where it follows the pieces on the way to this node."""

    sent: str | None = None
    following: dict[Any, Node] = field(default_factory=dict)

    def first_difference(self, pieces: Sequence[tuple[Any, str]]) -> int | None:
        """Remember what was sent for a series of pieces; where it first differs from what was sent for them before, if anywhere."""
        node, moved = self, None
        for index, (piece, sent) in enumerate(pieces):
            node = node.following.setdefault(piece, Node())
            if node.sent is not None and node.sent != sent and moved is None:
                moved = index
            node.sent = sent
        return moved


class PrefixWatch:
    """Collects, in `moves`, whatever was sent otherwise before. A session that another continues is the same one."""

    def __init__(self) -> None:
        self.moves: list[str] = []
        self._models: dict[int, tuple[object, Node]] = {}
        self._sessions: WeakKeyDictionary[Session | SharedSession, tuple[int, Node]] = WeakKeyDictionary()
        self._saved: OrderedDict[str, Node] = OrderedDict()

    def step(self, session: Session | SharedSession, turns: Sequence[Turn], results: Sequence[CompressionResult]) -> None:
        """A session has made a step."""
        segments = [segment for turn in turns for segment in turn.segments]
        texts = [segment.text for result in results for segment in result.segments]
        moved = self._history(session).first_difference(list(zip(segments, texts, strict=True)))
        if moved is not None:
            self.moves.append(f"session {session.conversation_id!r}: segment {moved} ({segments[moved].id}) is sent otherwise than before")

    def _history(self, session: Session | SharedSession) -> Node:
        """What a session has sent since it last rewrote its history, which only `recompact` may do."""
        generation, node = self._sessions.get(session, (None, Node()))
        if generation != session.generation:
            node = Node()
        self._sessions[session] = session.generation, node
        return node

    def saved(self, session: Session, data: Mapping[str, Any]) -> None:
        """A session was serialized."""
        self._saved[_text(data)] = self._history(session)
        while len(self._saved) > _SAVED:
            self._saved.popitem(last=False)

    def continued(self, session: Session, data: Mapping[str, Any]) -> None:
        """A session was made of what another one saved."""
        known = self._saved.get(_text(data))
        if known is not None:
            self._sessions[session] = session.generation, known

    def request(self, model: object, messages: Sequence[Any], tools: object) -> None:
        """A chat model was asked."""
        _, asked = self._models.setdefault(id(model), (model, Node()))
        head = _text([tools, *(_wire(message) for message in messages if message.type == "system")])
        rest = [message for message in messages if message.type != "system"]
        pieces = [(_place(message), f"{'' if index else head}{_text(_wire(message))}") for index, message in enumerate(rest)]
        moved = asked.first_difference(pieces)
        if moved is not None:
            what = f"message {moved} ({rest[moved].type})" if moved else "the tools, the system prompt or the first message"
            self.moves.append(f"{type(model).__name__}: {what} is sent otherwise than before")


def _place(message: Any) -> str:
    """What a message is, apart from what a tool said: that is what a step may shorten, and must do in the same way each time."""
    content = None if message.type == "tool" else message.content
    calls = getattr(message, "tool_calls", None)
    return _text([message.type, message.id, getattr(message, "tool_call_id", None), content, calls])


def _wire(message: Any) -> Any:
    from langchain_core.messages import convert_to_openai_messages

    return convert_to_openai_messages([message])


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=repr)


@contextmanager
def watching() -> Iterator[PrefixWatch]:
    """Watches all sessions and, where LangChain is loaded, all its chat models."""
    watch = PrefixWatch()
    with pytest.MonkeyPatch.context() as patch:
        _watch_sessions(watch, patch)
        chat_models = sys.modules.get("langchain_core.language_models.chat_models")
        if chat_models is not None:
            _watch_models(watch, patch, chat_models.BaseChatModel)
        yield watch


def _watch_sessions(watch: PrefixWatch, patch: pytest.MonkeyPatch) -> None:
    steps, to_dict, from_dict = Session.steps, Session.to_dict, Session.from_dict

    @wraps(steps)
    def watched_steps(self: Session, turns: Sequence[Turn]) -> list[CompressionResult]:
        results = steps(self, turns)
        if self._withheld is None:  # else it may be a try, of which nothing is sent
            watch.step(self, turns, results)
        return results

    shared_steps = SharedSession.steps

    @wraps(shared_steps)
    def watched_shared_steps(self: SharedSession, turns: Sequence[Turn]) -> list[CompressionResult]:
        results = shared_steps(self, turns)
        watch.step(self, turns, results)
        return results

    @wraps(to_dict)
    def watched_to_dict(self: Session) -> dict[str, Any]:
        data = to_dict(self)
        watch.saved(self, data)
        return data

    @wraps(from_dict)
    def watched_from_dict(cls: type[Session], data: Mapping[str, Any], compressor: Any) -> Session:
        session = from_dict(data, compressor)
        watch.continued(session, data)
        return session

    patch.setattr(Session, "steps", watched_steps)
    patch.setattr(SharedSession, "steps", watched_shared_steps)
    patch.setattr(Session, "to_dict", watched_to_dict)
    patch.setattr(Session, "from_dict", classmethod(watched_from_dict))


def _watch_models(watch: PrefixWatch, patch: pytest.MonkeyPatch, base: Any) -> None:
    generate, agenerate, stream, astream = base.generate, base.agenerate, base.stream, base.astream

    @wraps(generate)
    def watched(self: Any, messages: Sequence[Sequence[Any]], *args: Any, **kwargs: Any) -> Any:
        for request in messages:
            watch.request(self, request, kwargs.get("tools"))
        return generate(self, messages, *args, **kwargs)

    @wraps(agenerate)
    async def awatched(self: Any, messages: Sequence[Sequence[Any]], *args: Any, **kwargs: Any) -> Any:
        for request in messages:
            watch.request(self, request, kwargs.get("tools"))
        return await agenerate(self, messages, *args, **kwargs)

    # A model that streams by itself is not asked through `generate`; one that does not is then seen twice with the same.
    @wraps(stream)
    def watched_stream(self: Any, input: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:  # noqa: A002
        watch.request(self, self._convert_input(input).to_messages(), kwargs.get("tools"))
        yield from stream(self, input, *args, **kwargs)

    @wraps(astream)
    async def awatched_stream(self: Any, input: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:  # noqa: A002
        watch.request(self, self._convert_input(input).to_messages(), kwargs.get("tools"))
        async for chunk in astream(self, input, *args, **kwargs):
            yield chunk

    patch.setattr(base, "stream", watched_stream)
    patch.setattr(base, "astream", awatched_stream)
    patch.setattr(base, "generate", watched)
    patch.setattr(base, "agenerate", awatched)


def verdict(moves: Sequence[str], mark: pytest.Mark | None) -> str:
    """Why a test fails whose prefixes moved so, given its mark `prefix_moves`; "" when it does not."""
    if mark is None:
        return "\n".join(["a prefix that was sent has moved:", *moves]) if moves else ""
    if not (mark.kwargs.get("reason") and set(mark.kwargs) == {"reason"} and not mark.args):
        return f"@pytest.mark.{MARKER} needs reason=..., and nothing else"
    return "" if moves else f"marked {MARKER}, but nothing that was sent has moved"
