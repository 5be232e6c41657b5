"""What a board keeps of each record: numbers and names in small rows, and where the record itself stands. Pure."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from specprefill_agents.accounting.ledger import Conversation, Totals
from specprefill_agents.observe.dashboard.tail import Place

ALONE = "(outside conversations)"
"""Stands for the tool where one record is of a whole call, such as a retriever's."""
UNNAMED = "(unnamed)"


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a text, or of the texts of a call outside conversations. `at` in seconds since 1970."""

    at: float
    conversation: str
    tool: str
    outcome: str
    reason: str
    original_tokens: int
    kept_tokens: int
    place: Place


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the compressor: what it took, and what of it was known before."""

    at: float
    conversation: str
    cache_hits: int
    cache_misses: int
    elapsed_ms: float


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that did not go as configured, or a drift alert (`event` is "drift")."""

    at: float
    conversation: str
    event: str
    reason: str


@dataclass(frozen=True, slots=True)
class Spent:
    """A step of a ledger, or several that were folded into sums. Dollars are None where unknown; `billed_usd` and `sent_usd`
    have the scorer's time in them."""

    at: float
    conversation: str
    started: datetime
    arm: str
    steps: int
    billed_usd: float | None
    sent_usd: float | None
    plain_usd: float | None
    sent_input: int
    plain_input: int
    hit_tokens: int
    split_input: int
    scorer_ms: float
    expand_calls: int
    extra_steps: int
    moved: int
    flagged: int
    first_chunk_ms: float | None


def decision_of(record: Mapping[str, Any], place: Place) -> Decision:
    """The row of a record of a decision."""
    return Decision(
        at=_seconds(record),
        conversation=_name(record, "conversation"),
        tool=_name(record, "name") or UNNAMED,
        outcome=_name(record, "outcome"),
        reason=_name(record, "reason") or ("repeats an earlier text" if record.get("repeat") else ""),
        original_tokens=int(number(record, "original_tokens")),
        kept_tokens=int(number(record, "kept_tokens")),
        place=place,
    )


def call_of(record: Mapping[str, Any]) -> Call:
    """The row of a record of a call."""
    hits, misses = int(number(record, "cache_hits")), int(number(record, "cache_misses"))
    return Call(_seconds(record), _name(record, "conversation"), hits, misses, number(record, "elapsed_ms"))


def alone_of(record: Mapping[str, Any], place: Place) -> Decision | None:
    """The row of a call whose decisions have no records of their own; None where they have, or where nobody knows."""
    if record.get("conversation", "") is not None:
        return None
    outcomes = outcomes_of(record)
    outcome = next((name for name in ("compressed", "passthrough", "protected") if outcomes[name]), "")
    said = ", ".join(f"{count} {name}" for name, count in outcomes.most_common())
    return Decision(
        _seconds(record), "", ALONE, outcome, said, int(number(record, "original_tokens")), int(number(record, "kept_tokens")), place
    )


def trouble_of(record: Mapping[str, Any]) -> Trouble | None:
    """The row of a record that says of a fallback or of drift; None for others."""
    event = str(record["event"])
    if event == "drift":
        means = f"{_name(record, 'measure')} {number(record, 'mean'):.3f}, below its floor {number(record, 'floor'):g}"
        return Trouble(_seconds(record), "", event, means)
    reason = _name(record, "fallback_reason")
    return Trouble(_seconds(record), _name(record, "conversation"), event, reason) if reason and event != "decision" else None


def spent_of(conversation: Conversation) -> Iterator[tuple[int, Spent]]:
    """The rows of a conversation, each with the number of its (last) step."""
    if conversation.folded.steps:
        yield conversation.folded.steps, _spent(conversation, conversation.folded, conversation.started, None)
    for step in conversation.steps:
        yield step.number, _spent(conversation, Totals.of(step), step.at, step.first_chunk_ms)


def _spent(conversation: Conversation, sums: Totals, at: datetime, first_chunk_ms: float | None) -> Spent:
    used = sums.billed.tokens
    return Spent(
        at=at.timestamp(),
        conversation=sys.intern(conversation.id),
        started=conversation.started,
        arm=sys.intern(conversation.arm),
        steps=sums.steps,
        billed_usd=None if sums.billed.usd is None else sums.billed.usd + sums.scorer_usd,
        sent_usd=sums.cost_usd,
        plain_usd=sums.plain.usd,
        sent_input=sums.sent.tokens.input_tokens,
        plain_input=sums.plain.tokens.input_tokens,
        hit_tokens=0 if used.unsplit_tokens else used.hit_tokens,
        split_input=0 if used.unsplit_tokens else used.input_tokens,
        scorer_ms=sums.scorer_ms,
        expand_calls=sums.expand_calls,
        extra_steps=sums.extra_steps,
        moved=sums.moved_prefixes,
        flagged=sums.flagged_steps,
        first_chunk_ms=first_chunk_ms,
    )


def outcomes_of(record: Mapping[str, Any]) -> Counter[str]:
    """How many texts of a call's record became what."""
    rows = record.get("segments")
    return Counter(str(row[0]) for row in rows if isinstance(row, list) and row) if isinstance(rows, list) else Counter()


def number(record: Mapping[str, Any], name: str) -> float:
    """A number of a record; 0 for what is none."""
    value = record.get(name)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")
    return float(value) if is_number and value is not None else 0.0


def _name(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    return "" if value is None else sys.intern(str(value))


def _seconds(record: Mapping[str, Any]) -> float:
    try:
        return datetime.fromisoformat(str(record.get("time"))).timestamp()
    except ValueError:
        return 0.0
