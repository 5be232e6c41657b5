"""What the page shows of a board's rows under its filters, as plain JSON types. Pure: rows and the time go in.

Dollars are of whole model calls, so they follow the filters by conversation and time, not the one by tool.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil
from typing import Any

from specprefill_agents.accounting.amounts import Amount, Tokens
from specprefill_agents.accounting.arms import Arm, Arms, control_of, difference
from specprefill_agents.accounting.ledger import Totals
from specprefill_agents.observe.dashboard.board import Rows, newest
from specprefill_agents.observe.dashboard.rows import Call, Decision, Spent, Trouble

POINTS = 240
"""Of the curve; longer ones are thinned out."""
LISTED = 100
"""Decisions that are listed."""
CHOICES = 200
"""Conversations and tools to choose from, the most used first."""
REASONS = 8

View = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Filters:
    """What is looked at; "" and 0 for all. `seconds` back from now."""

    conversation: str = ""
    tool: str = ""
    seconds: float = 0


def view_of(rows: Rows, filters: Filters, now: float) -> View:
    """Everything on the page. `now` in seconds since 1970."""
    since = now - filters.seconds if filters.seconds else float("-inf")

    def is_seen(row: Decision | Call | Trouble | Spent) -> bool:
        return row.at >= since and filters.conversation in ("", row.conversation)

    spent = sorted(filter(is_seen, rows.spent.values()), key=lambda one: one.at)
    in_view = [(number, one) for number, one in rows.decisions if is_seen(one)]
    chosen = [(number, one) for number, one in in_view if filters.tool in ("", one.tool)]
    # A drift alert is of no conversation: it stays in view.
    troubles = [one for one in rows.troubles if one.at >= since and (is_seen(one) or one.event == "drift")]
    return {
        "choices": _choices(rows),
        "money": _money(spent),
        "kept": _kept([one for _, one in chosen], [one for _, one in in_view]),
        "speed": _speed([one for one in rows.calls if is_seen(one)], spent),
        "trouble": _trouble(troubles, spent),
        "arms": _arms(spent),
        "decisions": [{"id": number, **row_of(one)} for number, one in newest(chosen, LISTED)],
        "decisions_total": len(chosen),
        "last": max([*(one.at for one in spent), *(one.at for _, one in in_view)], default=None),
        "left_out": rows.left_out,
    }


def row_of(decision: Decision) -> View:
    """A decision in the list."""
    return {
        "at": decision.at,
        "conversation": decision.conversation,
        "tool": decision.tool,
        "outcome": decision.outcome,
        "original": decision.original_tokens,
        "kept": decision.kept_tokens,
        "why": decision.reason,
    }


def _choices(rows: Rows) -> View:
    conversations = Counter(one.conversation for _, one in rows.decisions if one.conversation)
    conversations.update(one.conversation for one in rows.spent.values())
    tools = Counter(one.tool for _, one in rows.decisions)
    return {
        "conversations": [name for name, _ in conversations.most_common(CHOICES)],
        "tools": [name for name, _ in tools.most_common(CHOICES)],
    }


def _money(spent: Sequence[Spent]) -> View:
    """What the steps cost: in dollars, or in input tokens where a price is missing."""
    is_priced = all(one.sent_usd is not None and one.plain_usd is not None for one in spent)
    is_billed = bool(spent) and all(one.billed_usd is not None for one in spent)
    plain = [(one.plain_usd or 0.0) if is_priced else float(one.plain_input) for one in spent]
    sent = [(one.sent_usd or 0.0) if is_priced else float(one.sent_input) for one in spent]
    lines = (accumulate(one.steps for one in spent), accumulate(plain), accumulate(sent))
    curve = _thinned([[steps, round(a, 8), round(b, 8)] for steps, a, b in zip(*lines, strict=True)])
    whole, cost = sum(plain), sum(sent)
    return {
        "unit": "USD" if is_priced else "tokens",
        "calls": sum(one.steps for one in spent),
        "plain": whole,
        "sent": cost,
        "saved_share": (whole - cost) / whole if whole else None,
        "billed": sum(one.billed_usd or 0.0 for one in spent) if is_billed else None,
        "curve": curve,
    }


def _thinned(points: list[list[float]]) -> list[list[float]]:
    """At most `POINTS` of them, evenly, the last one among them."""
    step = ceil(len(points) / POINTS) or 1
    return points[::-1][::step][::-1]


def _kept(chosen: Sequence[Decision], in_view: Sequence[Decision]) -> View:
    """Of the chosen decisions, how much was sent; by tool, of all in view, so that tools can be compared."""
    tools: dict[str, list[int]] = {}
    for one in in_view:
        sums = tools.setdefault(one.tool, [0, 0, 0])
        for place, value in enumerate((1, one.original_tokens, one.kept_tokens)):
            sums[place] += value
    ordered = sorted(tools.items(), key=lambda item: (-item[1][1], item[0]))
    return {
        "original": sum(one.original_tokens for one in chosen),
        "kept": sum(one.kept_tokens for one in chosen),
        "outcomes": dict(Counter(one.outcome for one in chosen).most_common()),
        "tools": [{"name": name, "count": sums[0], "original": sums[1], "kept": sums[2]} for name, sums in ordered[:12]],
        "more_tools": max(0, len(ordered) - 12),
    }


def _speed(calls: Sequence[Call], spent: Sequence[Spent]) -> View:
    waits = sorted(one.elapsed_ms for one in calls)
    hits, texts = sum(one.cache_hits for one in calls), sum(one.cache_hits + one.cache_misses for one in calls)
    prompt = sum(one.split_input for one in spent)
    firsts = sorted(one.first_chunk_ms for one in spent if one.first_chunk_ms is not None)
    return {
        "first_chunk_ms": firsts[len(firsts) // 2] if firsts else None,
        "streamed": len(firsts),
        "calls": len(calls),
        "median_ms": waits[len(waits) // 2] if waits else None,
        "p95_ms": waits[min(len(waits) - 1, int(0.95 * len(waits)))] if waits else None,
        "scorer_hits": hits,
        "scorer_texts": texts,
        "prompt_hit_share": sum(one.hit_tokens for one in spent) / prompt if prompt else None,
    }


def _trouble(troubles: Sequence[Trouble], spent: Sequence[Spent]) -> View:
    fallbacks = [one for one in troubles if one.event != "drift"]
    counts = Counter(one.reason for one in fallbacks)
    latest = {one.reason: one.at for one in fallbacks}
    alerts = [one for one in troubles if one.event == "drift"]
    return {
        "fallbacks": len(fallbacks),
        "reasons": [{"reason": reason, "count": count, "last": latest[reason]} for reason, count in counts.most_common(REASONS)],
        "more_reasons": max(0, len(counts) - REASONS),
        "drift": len(alerts),
        "alerts": [{"at": one.at, "what": one.reason} for one in alerts[-REASONS:][::-1]],
        **{name: sum(getattr(one, name) for one in spent) for name in ("moved", "expand_calls", "extra_steps", "flagged")},
    }


def _arms(spent: Sequence[Spent]) -> View | None:
    """Arms of an experiment, each against the one that runs uncompressed; None without two arms."""
    groups: dict[str, dict[tuple[str, Any], list[Spent]]] = {}
    for one in spent:
        groups.setdefault(one.arm, {}).setdefault((one.conversation, one.started), []).append(one)
    if len(groups) < 2:
        return None
    is_billed = all(one.billed_usd is not None for one in spent)
    arms = [
        Arm(name, len(members), _sums([one for steps in members.values() for one in steps]), _costs(members.values(), is_billed))
        for name, members in sorted(groups.items())
    ]
    compared = Arms("billed" if is_billed else "simulated", tuple(arms))
    control = control_of(compared)
    return {
        "basis": compared.basis,
        "arms": [
            {"name": arm.name, "conversations": arm.conversations, "steps": arm.steps_per_conversation, "mean": arm.mean_usd}
            for arm in arms
        ],
        "differences": [] if control is None else [_difference(compared, arm.name, control) for arm in arms if arm.name != control],
    }


def _sums(spent: Sequence[Spent]) -> Totals:
    """As much of the sums as tells arms apart."""
    sent, plain = (Amount(tokens=Tokens(unsplit_tokens=sum(getattr(one, name) for one in spent))) for name in ("sent_input", "plain_input"))
    return Totals(sum(one.steps for one in spent), sent=sent, plain=plain, scorer_ms=sum(one.scorer_ms for one in spent))


def _costs(conversations: Iterable[Sequence[Spent]], is_billed: bool) -> tuple[float | None, ...]:
    """Of each conversation, the scorer's time included, as `arms_of` counts it."""
    return tuple(_total(one.billed_usd if is_billed else one.sent_usd for one in steps) for steps in conversations)


def _total(costs: Iterable[float | None]) -> float | None:
    known = list(costs)
    return None if None in known else sum(cost for cost in known if cost is not None)


def _difference(arms: Arms, treated: str, control: str) -> View:
    found = difference(arms, treated, control)
    return {
        "treated": treated,
        "control": control,
        "usd": found.usd if found else None,
        "share": found.share if found else None,
        "interval": list(found.interval_usd) if found and found.interval_usd else None,
    }
