"""Calls of `expand` that a gateway answers itself: the turns in which they are made are between it and the upstream.

A client sees neither the tool nor the calls. It sends nothing of those turns back, so the requests that follow extend the one
that it made, and what was expanded is paid for once. Of an answer that calls other tools as well, those calls go to the
client, and `expand` is left for the model to call again. Pure, but for the originals that are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from specprefill_agents.gateway.messages import arguments_of
from specprefill_agents.prompt.expand import DESCRIPTION, EXPAND_TOOL, PARAMETERS, answer
from specprefill_agents.storage.originals import Originals

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": EXPAND_TOOL, "description": DESCRIPTION, "parameters": dict(PARAMETERS)},
}


def takes_tool(request: Mapping[str, Any]) -> bool:
    """Whether the tool is added to a request: one with tools, of which none has its name, that wants one answer."""
    tools = request.get("tools")
    if not isinstance(tools, list) or not tools or not isinstance(request.get("messages"), list) or request.get("n") not in (None, 1):
        return False
    functions = [tool.get("function") for tool in tools if isinstance(tool, Mapping)]
    return all(not isinstance(one, Mapping) or one.get("name") != EXPAND_TOOL for one in functions)


def calls_of(message: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """The calls of a message: those of `expand`, and the others."""
    calls = message.get("tool_calls") or []
    own = [call for call in calls if _is_own(call)]
    return own, [call for call in calls if not _is_own(call)]


def _is_own(call: object) -> bool:
    function = call.get("function") if isinstance(call, Mapping) else None
    return isinstance(function, Mapping) and function.get("name") == EXPAND_TOOL


def answered(message: Mapping[str, Any], originals: Originals) -> list[dict[str, Any]]:
    """A message that calls nothing but `expand`, as it goes back, and the results of its calls."""
    own, _ = calls_of(message)
    calls = [{"id": call.get("id"), "type": "function", "function": call["function"]} for call in own]
    turn: dict[str, Any] = {"role": "assistant", "content": message.get("content") or "", "tool_calls": calls}
    if message.get("reasoning_content"):
        turn["reasoning_content"] = message["reasoning_content"]
    given = [arguments_of(call["function"].get("arguments")) for call in own]
    results = [answer(originals, arguments) for arguments in given]
    return [turn, *({"role": "tool", "tool_call_id": call["id"], "content": text} for call, text in zip(calls, results, strict=True))]


def without_own(whole: Mapping[str, Any]) -> dict[str, Any]:
    """An answer without its calls of `expand`; where nothing else was called, it is one that ended."""
    first = whole["choices"][0]
    message = dict(first["message"])
    own, message["tool_calls"] = calls_of(message)
    if not own:
        return dict(whole)
    choice = {**first, "message": message}
    if not message["tool_calls"]:
        del message["tool_calls"]
        choice["finish_reason"] = "stop"
    return {**whole, "choices": [choice]}


def with_usage(whole: dict[str, Any], earlier: Sequence[object]) -> dict[str, Any]:
    """An answer, or an event, whose usage counts the `earlier` turns as well."""
    usage = whole.get("usage")
    return {**whole, "usage": _sum([*earlier, usage])} if earlier and isinstance(usage, Mapping) else whole


def _sum(values: Sequence[object]) -> Any:
    """Counts added up, table by table; of what is no count the last."""
    tables = [value for value in values if isinstance(value, Mapping)]
    if tables:
        names = dict.fromkeys(name for table in tables for name in table)
        return {name: _sum([table[name] for table in tables if name in table]) for name in names}
    counts = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return sum(counts) if counts else values[-1]


def events_without_own(message: Mapping[str, Any], about: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The events of a stream that bring the calls of a message for the client, each in one piece, and then say why it ended.

    `about` is what all events of the stream say of it.
    """
    _, others = calls_of(message)
    for index, call in enumerate(others):
        delta = {"tool_calls": [{"index": index, "id": call["id"], "type": "function", "function": call["function"]}]}
        yield {**about, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    reason = "tool_calls" if others else "stop"
    yield {**about, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
