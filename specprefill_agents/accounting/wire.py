"""Requests as a provider reads them: tools, system prompt, messages, each as one text that is equal when the bytes are.

Pure. A `Request` remembers of each part its size and the name of the prefix that it ends, so two requests are compared,
and looked up in a cache, without their texts.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Literal, TypeAlias

from specprefill_agents.accounting.tokens import TokenCounter

Section: TypeAlias = Literal["tools", "system", "message"]
"""Where a part stands; providers read tools before the system prompt, and that before messages."""

_COUNTS_KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of an assistant message; `arguments` as the text that is sent."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a request: the tools' description, the system prompt, or one message."""

    text: str
    section: Section = "message"
    role: str = ""
    tool_call_id: str = ""
    calls: tuple[Call, ...] = ()
    reasoning: str = ""

    @property
    def wire(self) -> str:
        """One text that is equal for two parts exactly when a provider would see them as equal."""
        if self.section != "message":
            return self.text
        calls = [f"{call.id} {call.name} {call.arguments}" for call in self.calls]
        reasoning = [f"\x1f{self.reasoning}"] if self.reasoning else []
        return "\x1e".join([self.role, self.tool_call_id, self.text, *reasoning, *calls])


def tools_part(tools: Sequence[Mapping[str, Any]]) -> Part:
    """The tools of a request, as their JSON schemas in the order in which they are sent."""
    return Part(json.dumps(list(tools), ensure_ascii=False, default=str), "tools")


def tools_head(tools: Sequence[Mapping[str, Any]]) -> tuple[Part, ...]:
    """What a request with these tools begins with: their part, or nothing where there are none."""
    return (tools_part(tools),) if tools else ()


def tool_name(tool: object) -> str:
    """The name of a tool, or of one that is described as to a provider, within `function` or bare; "" where it has none."""
    if not isinstance(tool, Mapping):
        return str(getattr(tool, "name", ""))
    function = tool.get("function")
    return str((function if isinstance(function, Mapping) else tool).get("name") or "")


def message_part(
    role: str, content: str, tool_calls: Sequence[Mapping[str, Any]] = (), tool_call_id: str = "", reasoning: str = ""
) -> Part:
    """A message; `tool_calls` have `id`, `name` and `args` of plain JSON types. A system message is a part of its own section."""
    calls = tuple(
        Call(str(call.get("id") or ""), str(call["name"]), json.dumps(call["args"], ensure_ascii=False, default=str)) for call in tool_calls
    )
    return Part(content, "system" if role == "system" else "message", role, tool_call_id, calls, reasoning)


def wire_text(role: str, content: str, tool_calls: Sequence[Mapping[str, Any]] = (), tool_call_id: str = "") -> str:
    """One text that is equal for two messages exactly when a provider would see equal messages.

    `tool_calls` have `id`, `name` and `args` of plain JSON types. The content is unescaped, so that its tokens count
    about as the provider counts them.
    """
    part = message_part(role, content, tool_calls, tool_call_id)
    return Part(part.text, "message", role, tool_call_id, part.calls).wire


@dataclass(frozen=True, slots=True)
class Mark:
    """What is remembered of a part: where it stood, its size, and `link`, the name of the prefix that ends with it."""

    section: Section
    role: str
    tool_call_id: str
    digest: str
    link: str
    tokens: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Request:
    """A measured request. `texts` of the parts, for a look inside them; none for a request read back from storage."""

    marks: tuple[Mark, ...] = ()
    texts: tuple[str, ...] = ()
    ends: tuple[int, ...] = field(init=False)
    """Tokens up to the end of the first so many parts, from none to all."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ends", tuple(accumulate((mark.tokens for mark in self.marks), initial=0)))

    @property
    def tokens(self) -> int:
        """Tokens of all parts."""
        return self.ends[-1]

    @property
    def bytes(self) -> int:
        """Bytes of all parts."""
        return sum(mark.bytes for mark in self.marks)

    def link(self, size: int) -> str:
        """The name of the prefix of `size` parts."""
        return self.marks[size - 1].link if size else ""


class Measurer:
    """Measures requests with one token counter; a text is counted once, however often it is sent."""

    def __init__(self, counter: TokenCounter) -> None:
        self._counter = counter
        self._counts: OrderedDict[str, int] = OrderedDict()

    @property
    def name(self) -> str:
        """The tokenizer's name."""
        return self._counter.name

    def request(self, parts: Sequence[Part]) -> Request:
        """The parts, measured."""
        marks: list[Mark] = []
        texts = tuple(part.wire for part in parts)
        link = ""
        for part, text in zip(parts, texts, strict=True):
            digest, size = _digest(part.section, text)
            link = chained(link, digest)
            marks.append(Mark(part.section, part.role, part.tool_call_id, digest, link, self._count(digest, text), size))
        return Request(tuple(marks), texts)

    def link_after(self, request: Request, part: Part) -> str:
        """The name of the prefix that `part` ends when it follows `request`."""
        return chained(request.link(len(request.marks)), _digest(part.section, part.wire)[0])

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return self._count(_digest("message", text)[0], text)

    def _count(self, digest: str, text: str) -> int:
        if digest in self._counts:
            self._counts.move_to_end(digest)
        else:
            self._counts[digest] = self._counter.count(text)
            if len(self._counts) > _COUNTS_KEPT:
                self._counts.popitem(last=False)
        return self._counts[digest]


def chained(link: str, digest: str) -> str:
    """The name of a prefix from that of the prefix before its last part, and from that part's digest."""
    return hashlib.blake2b(f"{link}/{digest}".encode("ascii"), digest_size=12).hexdigest()


def piece_digests(text: str, size: int) -> list[str]:
    """A digest for each beginning of `text` of `size` characters, twice as many, and so on; not for the rest."""
    state = hashlib.blake2b(digest_size=12)
    digests: list[str] = []
    for end in range(size, len(text) + 1, size):
        state.update(text[end - size : end].encode("utf-8", "surrogatepass"))
        digests.append(state.hexdigest())
    return digests


def _digest(section: Section, text: str) -> tuple[str, int]:
    data = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=12, person=section.encode("ascii")).hexdigest(), len(data)
