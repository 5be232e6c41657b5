"""Ways of shortening a conversation, each a view of the messages before a model call. Only `ours` is what the library does.

The others stand here as baselines: what is common elsewhere, on the same runs and with the same scorer where one is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.evaluate import query_at, segments_of, trusted
from benchmarks.loops.requests import Message
from specprefill_agents import CompressedSegment, Compressor, Session, Span

KEPT_RESULTS = 3
"""Tool results that the baselines leave as they are, counted from the newest."""
BATCH_STEPS = 10
PLACEHOLDER = "[cleared]"
"""As LangChain's context editing writes it."""


@dataclass(frozen=True, slots=True)
class View:
    """The messages that are sent, and which spans of the original they show, by index; of messages not named all.

    `names_originals` tells whether a gap mark in them names an original that `expand` could bring back.
    """

    messages: tuple[Message, ...]
    spans: Mapping[int, Sequence[Span]] = field(default_factory=dict)
    names_originals: bool = False


def always(_view: View) -> bool:
    """The tool is there from the first request on."""
    return True


def once_needed(view: View) -> bool:
    """The tool comes with the first gap that names an original. From then on it stays, as the gap does."""
    return view.names_originals


class Policy(Protocol):
    """One conversation's way; it is shown a growing conversation, once before each model call."""

    def view(self, messages: Sequence[Message]) -> View:
        """What is sent in place of `messages`."""
        ...


class Uncompressed:
    """Everything as it is."""

    def view(self, messages: Sequence[Message]) -> View:
        """The messages themselves."""
        return View(tuple(messages))


class Frozen:
    """The library: every result is compressed when it is new, for the question of that moment, and never changes."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def view(self, messages: Sequence[Message]) -> View:
        """All tool results go through one session."""
        return _stepped(self._session, messages, results_in(messages))


class Window:
    """The newest results verbatim; an older one is compressed when it leaves the window, and then stays."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def view(self, messages: Sequence[Message]) -> View:
        """All but the newest results go through a session."""
        return _stepped(self._session, messages, results_in(messages)[:-KEPT_RESULTS])


class Rescored:
    """The whole history compressed afresh for each new question."""

    def __init__(self, compressor: Compressor) -> None:
        self._compressor = compressor

    def view(self, messages: Sequence[Message]) -> View:
        """All results share one budget, for the question of now."""
        indices = results_in(messages)
        result = trusted(self._compressor.compress(segments_of(messages, indices), query_at(messages)))
        return with_results(messages, indices, result.segments)


class Cleared:
    """Old results replaced by a placeholder, every `steps` model calls."""

    def __init__(self, steps: int = 1) -> None:
        self._steps = steps

    def view(self, messages: Sequence[Message]) -> View:
        """Cleared is what was old at the last model call whose number `steps` divides."""
        answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
        call = (len(answers) + 1) // self._steps * self._steps
        then = messages[: [*answers, len(messages)][call - 1]] if call else ()
        old = results_in(then)[:-KEPT_RESULTS]
        sent = [{**message, "content": PLACEHOLDER} if index in old else message for index, message in enumerate(messages)]
        return View(tuple(sent), dict.fromkeys(old, ()))


@dataclass(frozen=True, slots=True)
class Kind:
    """A policy that can be asked for by name. `settings` are its own ones of the compressor.

    `has_expand` tells whether a request brings our tool along, `scored` whether a scorer and a keep ratio make a difference;
    kinds of one `reading` ask the same of the scorer.
    """

    make: Callable[[Compressor, str], Policy]
    about: str
    scored: bool = False
    has_expand: Callable[[View], bool] = lambda _view: False
    reading: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)


KINDS: Mapping[str, Kind] = {
    "none": Kind(lambda _c, _id: Uncompressed(), "uncompressed"),
    "ours": Kind(lambda c, name: Frozen(c.session(name)), "compressed at entry, then frozen", True, always, "ours"),
    "ours_late_expand": Kind(
        lambda c, name: Frozen(c.session(name)),
        "the same; the tool expand comes with the first gap that names an original",
        True,
        once_needed,
        "ours",
    ),
    "ours_no_expand": Kind(
        lambda c, name: Frozen(c.session(name)),
        "the same without originals and the tool expand",
        True,
        reading="ours",
        settings={"originals": False},
    ),
    "window": Kind(
        lambda c, name: Window(c.session(name)),
        f"compressed once older than the last {KEPT_RESULTS}",
        True,
        always,
        "window",
        {"recall_tokens": 0, "repeats": False},
    ),
    "rescore": Kind(lambda c, _id: Rescored(c), "all compressed afresh at each step", True, always, "rescore"),
    "clear": Kind(lambda _c, _id: Cleared(), f"all but the last {KEPT_RESULTS} results cleared at each step"),
    "clear_batch": Kind(lambda _c, _id: Cleared(BATCH_STEPS), f"the same every {BATCH_STEPS} steps"),
}


def results_in(messages: Sequence[Message]) -> list[int]:
    """Indices of the tool results."""
    return [index for index, message in enumerate(messages) if message["role"] == "tool"]


def _stepped(session: Session, messages: Sequence[Message], indices: Sequence[int]) -> View:
    result = trusted(session.step(segments_of(messages, indices), query_at(messages)))
    return with_results(messages, indices, result.segments)


def with_results(messages: Sequence[Message], indices: Sequence[int], decided: Sequence[CompressedSegment]) -> View:
    """`messages` with what was decided on the results at `indices` in their place."""
    changed = dict(zip(indices, decided, strict=True))
    sent = [{**message, "content": changed[index].text} if index in changed else message for index, message in enumerate(messages)]
    return View(tuple(sent), {index: one.spans for index, one in changed.items()}, any(one.original_id for one in decided))
