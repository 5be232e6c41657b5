"""Reads tool calls out of an answer while it is written, in whichever of the usual forms. Never raises for what a model wrote. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any, NoReturn, Protocol

import regex  # type: ignore[import-untyped]

from specprefill_agents.targets.streaming import overlap
from specprefill_agents.targets.tools import BrokenCall, ToolCall

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_LIST_MARK = "[TOOL_CALLS]"
# An answer that is JSON from its start and names what to call.
_NAMED = regex.compile(r'\s*(?:\[TOOL_CALLS\]\s*)?(?:\[\s*)?\{\s*"(?:name|type)"\s*:')
_NAME = re.compile(r'"name"\s*:\s*("(?:[^"\\]|\\.)*")')
_ESCAPED = re.compile(r"\\.", re.DOTALL)


class AnswerReader(Protocol):
    """Parts one answer, as its text comes, into what is said (returned), what is called, and what was reasoned."""

    calls: list[ToolCall]
    broken: list[BrokenCall]
    reasoning: str

    def push(self, text: str) -> str:
        """What is certainly said after some more text of the answer."""

    def finish(self) -> str:
        """What is said by the text still held when the answer ends."""


class CallReader:
    """Takes the text of one answer piece by piece and parts what is said from what is called.

    Calls are `<tool_call>{...}</tool_call>` anywhere, or an answer that is nothing but JSON with the name of one of
    `names`: an object, a list of objects, objects parted by semicolons. Text that may become a call is held back until
    it is certain. `calls` and `broken` grow in the order of writing. With `single`, calls after the first are left out.
    """

    def __init__(self, names: Collection[str], *, single: bool = False) -> None:
        self.calls: list[ToolCall] = []
        self.broken: list[BrokenCall] = []
        self.reasoning = ""
        self._names = frozenset(names)
        self._single = single
        self._held = ""
        self._state = "start"  # then "text", "tagged" (inside a tag) or "json" (an answer that is JSON from its start)

    def push(self, text: str) -> str:
        """What is certainly said, and no part of a call, after some more text of the answer."""
        self._held += text
        said = ""
        while True:
            before = (self._state, len(self._held))
            said += self._step()
            if (self._state, len(self._held)) == before:
                return said

    def finish(self) -> str:
        """What is said by the text still held when the answer ends; a call that was cut off is broken."""
        rest, self._held = self._held, ""
        if self._state == "tagged":
            self._take_tagged(rest)
            return ""
        if self._state == "json" and self._take_json(rest):
            return ""
        return "" if self._any and not rest.strip() else rest

    @property
    def _any(self) -> bool:
        return bool(self.calls or self.broken)

    def _step(self) -> str:
        if self._state == "start":
            self._begin()
            return ""
        if self._state == "text":
            return self._say()
        if self._state == "tagged":
            self._close_tag()
        return ""

    def _begin(self) -> None:
        """Decide whether the answer is JSON from its start, as soon as that shows."""
        found = _NAMED.match(self._held, partial=True)
        if found is None:
            self._state = "text"
        elif not found.partial:
            self._state = "json"

    def _say(self) -> str:
        """Text before a tag; white space next to a call belongs to the call."""
        if self._any and not self._held.strip():
            return ""
        text, tag, rest = self._held.partition(_OPEN)
        if tag:
            self._held, self._state = rest, "tagged"
            return text.rstrip()
        kept = len(text) - overlap(text, _OPEN)
        certain = text[:kept].rstrip()
        self._held = text[len(certain) :]
        return certain

    def _close_tag(self) -> None:
        for match in re.finditer(re.escape(_CLOSE), self._held):
            body = self._held[: match.start()]
            # Inside a string of the arguments the tag is text.
            if _ESCAPED.sub("", body).count('"') % 2 == 0:
                self._held, self._state = self._held[match.end() :], "text"
                self._take_tagged(body)
                return

    def _take_tagged(self, body: str) -> None:
        try:
            self._add(_call(_loads(body)))
        except (ValueError, RecursionError):
            self._break(body)

    def _take_json(self, text: str) -> bool:
        """Take an answer that is JSON from its start as calls; False when it calls nothing that is known."""
        body = text.strip().removeprefix(_LIST_MARK).strip()
        try:
            found = _all_loads(body)
            calls = [_call(item) for item in found]
        except (ValueError, RecursionError):
            if _name_in(body) not in self._names:
                return False
            self._break(body)
            return True
        if not calls or any(call.name not in self._names for call in calls):
            return False
        for call in calls:
            self._add(call)
        return True

    def _add(self, call: ToolCall) -> None:
        if not (self._single and self._any):
            self.calls.append(call)

    def _break(self, body: str) -> None:
        if not (self._single and self._any):
            self.broken.append(BrokenCall(f"{_OPEN}\n{body.strip()}", _name_in(body)))


def _call(item: Any) -> ToolCall:
    """The call that a JSON value describes. Raises ValueError when it describes none."""
    inner = item.get("function") if isinstance(item, dict) and isinstance(item.get("function"), dict) else item
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str) or not inner["name"]:
        raise ValueError("no name")
    arguments = inner.get("arguments", inner.get("parameters"))
    if isinstance(arguments, str):
        arguments = _loads(arguments)
    if arguments is None and not {"arguments", "parameters"} & inner.keys():
        raise ValueError("no arguments")
    if not isinstance(arguments or {}, dict):
        raise ValueError("arguments are no object")
    return ToolCall(inner["name"], arguments or {})


def _all_loads(text: str) -> list[Any]:
    """The objects of a JSON list, or of objects one after the other, parted by semicolons or white space."""
    found: list[Any] = []
    at = 0
    while at < len(text):
        value, end = _DECODER.raw_decode(text, at)
        found += value if isinstance(value, list) else [value]
        at = end + len(text[end:]) - len(text[end:].lstrip("; \t\r\n"))
    return found


def _loads(text: str) -> Any:
    return json.loads(text, parse_constant=_no_constant)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _name_in(text: str) -> str | None:
    found = _NAME.search(text)
    try:
        return str(json.loads(found[1])) if found else None
    except ValueError:
        return None
