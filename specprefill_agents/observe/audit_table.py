"""Audit records as rows of text, one a decision, and what they add up to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from specprefill_agents.observe.audit_file import Record
from specprefill_agents.observe.decisions import EVENT

HEADER = ("TIME", "CONVERSATION", "NAME", "CALL", "OUTCOME", "TOKENS", "KEPT", "SCORER", "WHY")
NUMBERS = frozenset({"TOKENS", "KEPT", "SCORER"})


@dataclass(frozen=True, slots=True)
class Sums:
    """What decisions add up to. Tokens are target tokens."""

    outcomes: dict[str, int]
    original_tokens: int
    kept_tokens: int
    fallbacks: dict[str, int]

    @classmethod
    def of(cls, records: Sequence[Record]) -> Sums:
        """Over the decisions among `records`."""
        made = [record for record in records if record["event"] == EVENT]
        return cls(
            outcomes=dict(Counter(str(record.get("outcome")) for record in made).most_common()),
            original_tokens=sum(_number(record.get("original_tokens")) for record in made),
            kept_tokens=sum(_number(record.get("kept_tokens")) for record in made),
            fallbacks=dict(Counter(str(record["fallback_reason"]) for record in made if record.get("fallback_reason")).most_common()),
        )


def row_of(record: Record) -> tuple[str, ...]:
    """One record under `HEADER`; an event that is no decision stands where its outcome would."""
    is_decision = record["event"] == EVENT
    why = [str(record[name]) for name in ("reason", "fallback_reason") if record.get(name)]
    return (
        _text(record, "time")[:19].replace("T", " "),
        _text(record, "conversation"),
        _text(record, "name"),
        _text(record, "tool_call_id"),
        f"{_text(record, 'outcome')}{_context(record)}" if is_decision else f"({record['event']})",
        _count(record, "original_tokens"),
        _count(record, "kept_tokens"),
        f"{_number(record['scorer_ms']):,.0f} ms" if "scorer_ms" in record else "",
        "; ".join(dict.fromkeys(why)),
    )


def sentences(sums: Sums) -> list[str]:
    """The sums, a sentence each."""
    total = sum(sums.outcomes.values())
    if not total:
        return []
    outcomes = ", ".join(f"{number:,} {name}" for name, number in sums.outcomes.items())
    share = f" ({sums.kept_tokens / sums.original_tokens:.0%})" if sums.original_tokens else ""
    decisions = f"{total:,} decision{'' if total == 1 else 's'}: {outcomes}"
    said = [f"{decisions}; {sums.kept_tokens:,} of {sums.original_tokens:,} tokens sent{share}."]
    return said + [f"{number:,} not as configured: {reason}." for reason, number in sums.fallbacks.items()]


def _context(record: Record) -> str:
    """What of the conversation a decision uses."""
    uses = [word for name, word in (("repeat", "repeat"), ("recalled", "recall")) if record.get(name)]
    return f", {' and '.join(uses)}" if uses else ""


def _text(record: Record, name: str) -> str:
    value = record.get(name)
    return "" if value is None else str(value)


def _count(record: Record, name: str) -> str:
    return f"{_number(record[name]):,}" if name in record else ""


def _number(value: Any) -> Any:
    """A number of a record; what is none counts nothing."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")
    return value if is_number else 0
