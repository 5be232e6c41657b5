"""Values that an agent took from a tool's result: literals that it wrote and that nobody but a tool had written before. Pure.

Literals are paths, identifiers, numbers and quoted texts, and whole arguments of calls, of four characters and more. What the
system prompt, a user or the agent itself said earlier could be read there; what only stood in a tool's result would have been
out of reach without it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from specprefill_agents.gateway.messages import text_of
from specprefill_agents.prompt.identifiers import places_of
from specprefill_agents.prompt.rounds import Slot
from specprefill_agents.prompt.scripts import UNSPACED, blanked
from specprefill_agents.trial.messages import Message

SHORTEST, LONGEST = 4, 120
"""Characters of a value. What is longer was not taken but copied, and any passage of it tells that better."""

_QUOTED = re.compile(
    rf"(?<![^\W{UNSPACED}])(?<![\\`])(?:\"([^\"\n]{{1,400}})\"|'([^'\n]{{1,400}})'|`([^`\n]{{1,400}})`)(?![^\W{UNSPACED}]|`)"
    "|“([^”\n]{1,400})”|「([^」\n]{1,400})」"
)
_WORD = re.compile(r"https?://[^\s\"'`<>()\[\]{}]+[\w/]|\d{1,3}(?:,\d{3})+(?:\.\d+)?|(?:~|\.{1,2})?/?\w(?:[\w./:@+-]*\w)?")
_TELLING = re.compile(r"\d{4}|\d.*[^\W\d]|[^\W\d].*\d|\d[.,:/-]\d|\w_\w|[\w~.]?/\w|[^\W\d][.:@]\w|[a-z][A-Z]")
_JOINT = re.compile(r"[/:@=+]")
"""Between the pieces of a word such as `setup.py:120`, which count where the word itself stood nowhere."""


@dataclass(frozen=True, slots=True)
class UsedValue:
    """A value, the index of the message that is the first to use it, and where it stood by then: (slot, start), oldest first."""

    value: str
    used_in: int
    places: tuple[tuple[int, int], ...]

    @property
    def source(self) -> int:
        """The slot of the latest result that shows it."""
        return self.places[-1][0]


def used_values(messages: Sequence[Message], slots: Sequence[Slot]) -> list[UsedValue]:
    """The values of a conversation, each at its first use. `slots` are the texts of tool results, in order."""
    found: list[UsedValue] = []
    said = ""
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            continue
        if message["role"] == "assistant":
            before = [(number, slot.segment.text) for number, slot in enumerate(slots) if slot.message < index]
            found += _taken(message, index, said, before) if before else []
        said = f"{said}\n{said_in(message).casefold()}"
    return found


def said_in(message: Message) -> str:
    """All that a message says, arguments of its calls and strings inside them as they read included."""
    arguments = [call["function"]["arguments"] for call in message.get("tool_calls", ())]
    leaves = [leaf for given in arguments for leaf in _leaves(_parsed(given))]
    reasoning = message.get("reasoning_content")
    return "\n".join([text_of(message), reasoning if isinstance(reasoning, str) else "", *arguments, *leaves])


def _taken(message: Message, index: int, said: str, results: Sequence[tuple[int, str]]) -> Iterator[UsedValue]:
    """The values of one message, of several that overlap the longest that was taken whole."""
    taken: list[str] = []
    for value in sorted(literals(message), key=len, reverse=True):
        if any(value in other for other in taken) or value.casefold() in said:
            continue
        places = tuple((number, start) for number, text in results if value in text for start in places_of(value, text))
        if places:
            taken.append(value)
            yield UsedValue(value, index, places)


def literals(message: Message) -> list[str]:
    """What an assistant message spells out, each once: in its text, and in the arguments of its calls."""
    found = dict.fromkeys(_literals(text_of(message)))
    for call in message.get("tool_calls", ()):
        for leaf in _leaves(_parsed(call["function"]["arguments"])):
            found |= dict.fromkeys([leaf] if "\n" not in leaf else [])
            found |= dict.fromkeys(_literals(leaf))
    stripped = (value.strip() for value in found)
    return list(dict.fromkeys(value for value in stripped if SHORTEST <= len(value) <= LONGEST))


def _literals(text: str) -> Iterator[str]:
    for match in _QUOTED.finditer(text):
        yield next(group for group in match.groups() if group is not None)
    for match in _WORD.finditer(blanked(text)):
        word = match.group()
        yield from (piece for piece in (word, *_JOINT.split(word)) if _TELLING.search(piece))


def _parsed(arguments: str) -> object:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def _leaves(value: object) -> Iterator[str]:
    """The texts and numbers in `value`, depth first."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
