"""Which parts of a conversation are there only because something was left out before: calls to expand, and their results. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from specprefill_agents.accounting.wire import Part


def calls_only(part: Part, tool: str) -> bool:
    """Whether an assistant message does nothing but call `tool`."""
    return bool(part.calls) and all(call.name == tool for call in part.calls)


def made_by_expanding(request: Sequence[Part], tool: str) -> bool:
    """Whether a request was made only to hand over results of `tool`: its last assistant message did nothing but call it."""
    for part in reversed(request):
        if part.role == "assistant":
            return calls_only(part, tool)
        if part.role != "tool":
            return False
    return False


def without_expansions(parts: Sequence[Part], tool: str) -> list[Part]:
    """The parts as they would have been had nothing been left out: no call to `tool`, no result of one.

    A result is known by the id of its call. An assistant message that does nothing else goes altogether.
    """
    ids = {call.id for part in parts for call in part.calls if call.name == tool} - {""}
    left: list[Part] = []
    for part in parts:
        if calls_only(part, tool) or (part.role == "tool" and part.tool_call_id in ids):
            continue
        others = tuple(call for call in part.calls if call.name != tool)
        left.append(part if len(others) == len(part.calls) else replace(part, calls=others))
    return left
