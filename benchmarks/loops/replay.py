"""One run under one policy, request by request: how the provider's cache bills it, what moved, what is still to be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

from benchmarks.data import Trajectory
from benchmarks.evaluate import needed_places, readable, shown_masks
from benchmarks.loops.policies import Policy, View, results_in
from benchmarks.loops.requests import Message, Turn, message_part, turns
from benchmarks.loops.tools import Schema, expand_schema
from benchmarks.metrics import is_kept
from specprefill_agents.accounting.amounts import Tokens
from specprefill_agents.accounting.caching import DEEPSEEK
from specprefill_agents.accounting.tracking import PrefixTracker
from specprefill_agents.accounting.wire import Measurer, Part, tools_part

START = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
"""A Sunday: off-peak at every provider with such hours. One minute passes from request to request."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What one run took under one policy.

    `tokens` has an entry for each request, of an account that is new to the agent; `known_tokens` of one that has served it
    before, so that tools and system prompt are in its cache from the first request on. `moved` are the causes of the
    requests that do not begin with the whole request before; `altered` says what of a request, beyond the texts of tool
    results, was not as uncompressed. Of each needed value, `in_spans` tells whether the spans kept of a message before its
    use show it, `in_text` whether any text sent by then does. `result_tokens` and `kept_tokens` are of the tool results in
    the last request, uncompressed and as sent.
    """

    tokens: tuple[Tokens, ...]
    known_tokens: tuple[Tokens, ...]
    moved: tuple[str, ...]
    altered: tuple[str, ...]
    in_spans: tuple[bool, ...]
    in_text: tuple[bool, ...]
    result_tokens: int
    kept_tokens: int


def replay(run: Trajectory, policy: Policy, measurer: Measurer, own: Sequence[Schema], has_expand: Callable[[View], bool]) -> Replay:
    """Step through `run` as its agent did, with the tool `expand` beside its `own` in requests that have it."""
    tools = {False: tools_part(own), True: tools_part([*own, expand_schema()])}
    new, known = (PrefixTracker(measurer, [DEEPSEEK]) for _ in range(2))
    for one in tools.values():
        known.request([one, *(message_part(message) for message in run.messages[:1] if message["role"] == "system")], START)
    tokens: list[Tokens] = []
    known_tokens: list[Tokens] = []
    moved: list[str] = []
    altered: list[str] = []
    in_spans: dict[int, bool] = {}
    in_text: dict[int, bool] = {}
    places = needed_places(run)
    turn = Turn((), {})
    view = View(())
    for number, turn in enumerate(turns(run)):
        view = policy.view(turn.messages)
        parts = [message_part(message) for message in view.messages]
        for tracker, into in ((known, known_tokens), (new, tokens)):
            report = tracker.request([tools[has_expand(view)], *parts], START + timedelta(minutes=number))
            output = tracker.answer(message_part(turn.answer))
            into.append(replace(report.use(DEEPSEEK.name).tokens, output_tokens=output))
        if report.moved is not None:
            moved.append(str(report.moved.cause))
        altered += _altered([message_part(message) for message in turn.messages], parts)
        used = [index for index, needed in enumerate(run.needed) if needed.used_in == len(turn.messages) and not turn.is_closing]
        if used:
            masks = shown_masks(turn.messages, view.spans)
            sent = [folded(readable(message)) for message in view.messages]
            for index in used:
                in_spans[index] = is_kept(places[index], masks)
                in_text[index] = any(folded(run.needed[index].value) in text for text in sent)
    order = range(len(run.needed))
    return Replay(
        tokens=tuple(tokens),
        known_tokens=tuple(known_tokens),
        moved=tuple(moved),
        altered=tuple(altered),
        in_spans=tuple(in_spans[index] for index in order),
        in_text=tuple(in_text[index] for index in order),
        result_tokens=_result_tokens(turn.messages, measurer),
        kept_tokens=_result_tokens(view.messages, measurer),
    )


def folded(text: str) -> str:
    """A text as values are looked for in it: case folded, white space collapsed."""
    return " ".join(text.casefold().split())


def _altered(plain: Sequence[Part], sent: Sequence[Part]) -> Iterator[str]:
    """What differs between two requests beyond the texts of tool results."""
    if len(plain) != len(sent):
        yield f"{len(sent)} messages for {len(plain)}"
    for index, (before, after) in enumerate(zip(plain, sent, strict=False)):
        text = after.text if before.role == "tool" else before.text
        if replace(before, text=text) != after:
            yield f"message {index} ({before.role})"


def _result_tokens(messages: Sequence[Message], measurer: Measurer) -> int:
    return sum(measurer.count(messages[index]["content"]) for index in results_in(messages))
