"""Where a request stops being the request before it with something added, and why. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from specprefill_agents.accounting.wire import Mark, Request, Section

Cause: TypeAlias = Literal["tools", "system", "content", "replaced", "inserted", "deleted", "reordered"]
"""What moved the first byte: the tools, the system prompt, the content of a message with the same role and call id,
another message in its place, one that came between, one that is gone, or messages that changed places."""
CAUSES: tuple[Cause, ...] = get_args(Cause)


@dataclass(frozen=True, slots=True)
class Moved:
    """The first byte of a request that is not as it was sent before.

    `byte` counts from the request's start, tools first. `message` is the index among the messages, None for tools and
    system; `role` and `tool_call_id` are of the message that was there before (of the new one where one was inserted).
    """

    cause: Cause
    byte: int
    section: Section
    message: int | None = None
    role: str = ""
    tool_call_id: str = ""

    def __str__(self) -> str:
        if self.message is None:
            return f"{self.section} changed at byte {self.byte:,}"
        which = " ".join(filter(None, [f"message {self.message}", f"({self.role})" if self.role else "", self.tool_call_id]))
        what = "content changed" if self.cause == "content" else self.cause
        return f"{which}: {what} at byte {self.byte:,}"


@dataclass(frozen=True, slots=True)
class Shared:
    """What two requests share from their start: whole parts, the tokens of those, and bytes to the first that differs."""

    parts: int
    tokens: int
    bytes: int


def shared_prefix(previous: Request, current: Request) -> Shared:
    """The longest common prefix of two requests. Inside a part, bytes are compared only where both texts are there."""
    parts = _common([mark.link for mark in previous.marks], [mark.link for mark in current.marks])
    size = sum(mark.bytes for mark in current.marks[:parts])
    if parts < min(len(previous.texts), len(current.texts)):
        size += _common_bytes(previous.texts[parts], current.texts[parts])
    return Shared(parts, current.ends[parts], size)


def first_change(previous: Request, current: Request) -> Moved | None:
    """What moved between two requests of a conversation; None when `current` begins with the whole of `previous`."""
    shared = shared_prefix(previous, current)
    at = shared.parts
    if at == len(previous.marks):
        return None
    old = previous.marks[at]
    new = current.marks[at] if at < len(current.marks) else None
    cause = _cause(previous.marks[at:], current.marks[at:])
    named = new if cause == "inserted" and new is not None else old
    if cause in ("tools", "system"):
        return Moved(cause, shared.bytes, "tools" if cause == "tools" else "system")
    message = sum(mark.section == "message" for mark in previous.marks[:at])
    return Moved(cause, shared.bytes, "message", message, named.role, named.tool_call_id)


def _cause(old: tuple[Mark, ...], new: tuple[Mark, ...]) -> Cause:
    first = [marks[0] for marks in (old, new) if marks]
    for section in ("tools", "system"):
        if any(mark.section == section for mark in first):
            return "tools" if section == "tools" else "system"
    if not new:
        return "deleted"
    comes_back = any(mark.digest == old[0].digest for mark in new)
    was_there = any(mark.digest == new[0].digest for mark in old)
    if comes_back or was_there:
        return "reordered" if comes_back and was_there else "inserted" if comes_back else "deleted"
    same_place = (old[0].role, old[0].tool_call_id) == (new[0].role, new[0].tool_call_id)
    return "content" if same_place else "replaced"


def _common(old: list[str], new: list[str]) -> int:
    return next((index for index, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))


def _common_bytes(old: str, new: str) -> int:
    """Bytes that two texts share from their start, found by halving."""
    a, b = (text.encode("utf-8", "surrogatepass") for text in (old, new))
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
