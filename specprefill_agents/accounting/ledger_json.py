"""The ledger as plain JSON types and back. What comes from a later version, or is damaged, is refused with its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, TypeAlias, TypeVar, cast

from specprefill_agents.accounting.amounts import Amount, Tokens
from specprefill_agents.accounting.changes import CAUSES, Cause, Moved
from specprefill_agents.accounting.ledger import Conversation, Ledger, Step, Totals
from specprefill_agents.accounting.wire import Section
from specprefill_agents.errors import ConfigError

VERSION = 1
"""Of the serialized form."""

_Json: TypeAlias = dict[str, Any]
_Sums = TypeVar("_Sums", Tokens, Amount, Totals)


def ledger_to(ledger: Ledger) -> _Json:
    """A ledger as plain JSON types."""
    return {"version": VERSION, "conversations": [conversation_to(one) for one in ledger.conversations]}


def ledger_from(data: object) -> Ledger:
    """A ledger from plain JSON types. Raises `ConfigError` naming the field."""
    top = versioned(data)
    rows = top.get("conversations")
    if not isinstance(rows, list):
        raise ConfigError("conversations", rows, "a list of conversations")
    return Ledger(tuple(conversation_from(row) for row in rows))


def conversation_to(conversation: Conversation) -> _Json:
    """A conversation as plain JSON types."""
    row = head_to(conversation)
    return {**row, "steps": [step_to(step) for step in conversation.steps], "folded": asdict(conversation.folded)}


def head_to(conversation: Conversation) -> _Json:
    """A conversation without its steps."""
    names = ("id", "rule", "counter", "arm")
    return {"started": conversation.started.isoformat(), **{name: getattr(conversation, name) for name in names}}


def conversation_from(data: object) -> Conversation:
    """A conversation from plain JSON types; steps and folded sums may be absent."""
    row = _table("conversation", data)
    steps = row.get("steps", [])
    if not isinstance(steps, list):
        raise ConfigError("steps", steps, "a list of steps")
    return Conversation(
        id=_value("id", row.get("id"), str),
        started=_moment("started", row.get("started")),
        rule=_value("rule", row.get("rule"), str),
        counter=_value("counter", row.get("counter"), str),
        arm=_value("arm", row.get("arm"), str),
        steps=tuple(step_from(step) for step in steps),
        folded=_sums("folded", row["folded"], Totals) if "folded" in row else Totals(),
    )


def step_to(step: Step) -> _Json:
    """A step as plain JSON types."""
    return {**asdict(step), "at": step.at.isoformat(), "flags": list(step.flags)}


def step_from(data: object) -> Step:
    """A step from plain JSON types."""
    row = _table("step", data)
    flags = row.get("flags", [])
    if not isinstance(flags, list) or not all(isinstance(flag, str) for flag in flags):
        raise ConfigError("flags", flags, "a list of texts")
    return Step(
        number=_value("number", row.get("number"), int),
        at=_moment("at", row.get("at")),
        model=_value("model", row.get("model"), str),
        billed=_sums("billed", row.get("billed"), Amount),
        sent=_sums("sent", row.get("sent"), Amount),
        plain=_sums("plain", row.get("plain"), Amount),
        extra=_sums("extra", row.get("extra"), Amount),
        scorer_ms=_value("scorer_ms", row.get("scorer_ms"), float),
        scorer_usd=_value("scorer_usd", row.get("scorer_usd"), float),
        expand_calls=_value("expand_calls", row.get("expand_calls"), int),
        is_extra=_value("is_extra", row.get("is_extra"), bool),
        at_list_price=_value("at_list_price", row.get("at_list_price"), bool),
        moved=None if row.get("moved") is None else _moved(row["moved"]),
        flags=tuple(flags),
        first_chunk_ms=None if row.get("first_chunk_ms") is None else _value("first_chunk_ms", row["first_chunk_ms"], float),
    )


def versioned(data: object) -> Mapping[str, Any]:
    """`data` as a table of this version. Raises `ConfigError` for what a later version wrote, or something else."""
    table = _table("ledger", data)
    if table.get("version") != VERSION:
        raise ConfigError("version", table.get("version"), f"{VERSION} (what this version of the library writes)")
    return table


def dumps(value: object) -> str:
    """JSON in ASCII on one line, so that a lone surrogate survives as an escape."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _sums(name: str, data: object, kind: type[_Sums]) -> _Sums:
    row = _table(name, data)
    values: _Json = {}
    for f in fields(kind):
        where, value = f"{name}.{f.name}", row.get(f.name)
        if f.type in ("Tokens", "Amount"):
            values[f.name] = _sums(where, value, Tokens) if f.type == "Tokens" else _sums(where, value, Amount)
        else:
            values[f.name] = _value(where, value, float) if f.type == "float" else _value(where, value, int)
    return kind(**values)


def _moved(data: object) -> Moved:
    row = _table("moved", data)
    cause, section, message = row.get("cause"), row.get("section"), row.get("message")
    if cause not in CAUSES:
        raise ConfigError("moved.cause", cause, f"one of {', '.join(CAUSES)}")
    return Moved(
        cause=cast(Cause, cause),
        byte=_value("moved.byte", row.get("byte"), int),
        section=cast(Section, _value("moved.section", section, str)),
        message=None if message is None else _value("moved.message", message, int),
        role=_value("moved.role", row.get("role"), str),
        tool_call_id=_value("moved.tool_call_id", row.get("tool_call_id"), str),
    )


_Plain = TypeVar("_Plain", str, int, float, bool)
_ALLOWED = {str: "a text", int: "an integer >= 0", float: "a number >= 0", bool: "true or false"}


def _value(name: str, value: object, kind: type[_Plain]) -> _Plain:
    given: object = float(value) if kind is float and type(value) is int else value
    is_negative = isinstance(given, (int, float)) and not 0 <= given < float("inf")
    if type(given) is not kind or is_negative:
        raise ConfigError(name, value, _ALLOWED[kind])
    return given


def _table(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(name, value, "a table")
    return value


def _moment(name: str, value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError as error:
        raise ConfigError(name, value, "a time such as 2026-11-23T08:00:00+00:00") from error
    if moment.tzinfo is None:
        raise ConfigError(name, value, "a time with a time zone, such as 2026-11-23T08:00:00+00:00")
    return moment
