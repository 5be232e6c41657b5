"""The ledger as CSV: a row per step, raw numbers, nothing where a number is unknown. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import fields

from specprefill_agents.accounting.amounts import Amount, Tokens
from specprefill_agents.accounting.ledger import Conversation, Ledger, Step, Totals

_AMOUNTS = ("billed", "sent", "plain", "extra")
_TOKENS = tuple(f.name for f in fields(Tokens))
_HEAD = ("conversation", "started", "arm", "rule", "counter", "step", "at", "model")
_TAIL = ("scorer_ms", "scorer_usd", "expand_calls", "is_extra", "moved", "flags", "first_chunk_ms")
COLUMNS = (*_HEAD, *(f"{amount}_{name}" for amount in _AMOUNTS for name in ("requests", *_TOKENS, "usd")), *_TAIL)


def ledger_csv(ledger: Ledger) -> str:
    """CSV with `COLUMNS`; steps that were folded into sums are one row whose `step` is a range."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for conversation in ledger.conversations:
        writer.writerows(_rows(conversation))
    return out.getvalue()


def _rows(conversation: Conversation) -> Iterator[list[object]]:
    head = [conversation.id, conversation.started.isoformat(), conversation.arm, conversation.rule, conversation.counter]
    folded = conversation.folded
    if folded.steps:
        counts = [folded.expand_calls, folded.extra_steps, folded.moved_prefixes, folded.flagged_steps, ""]
        yield [*head, f"1-{folded.steps}", "", "", *_amounts(folded), folded.scorer_ms, folded.scorer_usd, *counts]
    for step in conversation.steps:
        about = [step.expand_calls, int(step.is_extra), "" if step.moved is None else str(step.moved), "; ".join(step.flags)]
        about.append("" if step.first_chunk_ms is None else step.first_chunk_ms)
        yield [*head, step.number, step.at.isoformat(), step.model, *_amounts(step), step.scorer_ms, step.scorer_usd, *about]


def _amounts(part: Step | Totals) -> Iterator[object]:
    for name in _AMOUNTS:
        amount: Amount = getattr(part, name)
        yield amount.requests
        yield from ("" if amount.unread else getattr(amount.tokens, kind) for kind in _TOKENS)
        yield "" if amount.usd is None else amount.usd
