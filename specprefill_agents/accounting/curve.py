"""What conversations had cost after so many steps, for plots. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from specprefill_agents.accounting.amounts import Amount
from specprefill_agents.accounting.ledger import Conversation, Ledger, Step, Totals


@dataclass(frozen=True, slots=True)
class Curve:
    """Sums over all conversations after their first 1, 2, ... steps; a conversation that has ended stays at its last value.

    In dollars, scorer included in `sent` and `billed`, or in input tokens where a price is unknown. `billed` is None where a bill
    is missing. Steps that were folded into sums are drawn as if they had cost the same each.
    """

    unit: Literal["USD", "input tokens"]
    sent: tuple[float, ...]
    plain: tuple[float, ...]
    billed: tuple[float, ...] | None


def curve_of(ledger: Ledger) -> Curve:
    """The curve of a ledger; empty for one without steps."""
    totals = ledger.totals
    is_priced = totals.sent.usd is not None and totals.plain.usd is not None
    is_billed = not totals.billed.unread and (not is_priced or totals.billed.usd is not None)

    def line(amount: Callable[[Step | Totals], Amount], with_scorer: bool) -> tuple[float, ...]:
        def value(part: Step | Totals) -> float:
            if not is_priced:
                return float(amount(part).tokens.input_tokens)
            return amount(part).known_usd + (part.scorer_usd if with_scorer else 0.0)

        return _summed([list(accumulate(_values(one, value))) for one in ledger.conversations])

    billed = line(lambda part: part.billed, True) if is_billed else None
    return Curve("USD" if is_priced else "input tokens", line(lambda part: part.sent, True), line(lambda part: part.plain, False), billed)


def _values(conversation: Conversation, value: Callable[[Step | Totals], float]) -> list[float]:
    folded = conversation.folded
    early = [value(folded) / folded.steps] * folded.steps if folded.steps else []
    return early + [value(step) for step in conversation.steps]


def _summed(lines: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Lines added up; each goes on level behind its end. Changes are summed, so that long ledgers take no square of their size."""
    changes = [0.0] * max(map(len, lines), default=0)
    for line in lines:
        before = 0.0
        for at, height in enumerate(line):
            changes[at] += height - before
            before = height
    return tuple(accumulate(changes))
