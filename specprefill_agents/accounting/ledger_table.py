"""The ledger as rows of text, by conversation, step or arm, and what must be said beside the figures. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeAlias

from specprefill_agents.accounting.amounts import Amount
from specprefill_agents.accounting.arms import Arms, arms_of, control_of, difference
from specprefill_agents.accounting.ledger import Ledger, Step, Totals

By: TypeAlias = Literal["conversation", "step", "arm"]

_DROPPED_FIRST = ("OUTPUT", "FIRST", "EXPAND", "SCORER", "HITS", "INPUT", "ARM", "AT")
"""What a narrow terminal does without, in this order."""
_NARROWEST_NAME = 16


@dataclass(frozen=True, slots=True)
class TextTable:
    """A header, rows of the same length, and whether the last row is a total. Texts are left-aligned, numbers are not."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    has_total: bool
    texts: frozenset[str] = frozenset({"CONVERSATION", "ARM", "AT", "PREFIX"})

    def fitting(self, width: int) -> TextTable:
        """Without the columns that say nothing, and without the least needed ones where `width` is too small for all."""
        table = self._without({name for name in ("ARM", "EXPAND", "SCORER", "FIRST") if {*self._column(name)} <= {"", "-", "0"}})
        for name in _DROPPED_FIRST:
            if table._width() > width:
                table = table._without({name})
        return table

    def _column(self, name: str) -> Iterator[str]:
        return (row[self.header.index(name)] for row in self.rows if name in self.header)

    def _width(self) -> int:
        """In characters; the first column gives way when it is long."""
        widths = [max(map(len, (name, *self._column(name)))) for name in self.header]
        return min(widths[0], _NARROWEST_NAME) + sum(widths[1:]) + 2 * (len(widths) - 1)

    def _without(self, names: set[str]) -> TextTable:
        left = [index for index, name in enumerate(self.header) if index == 0 or name not in names]
        rows = tuple(tuple(row[index] for index in left) for row in self.rows)
        return TextTable(tuple(self.header[index] for index in left), rows, self.has_total, self.texts)


def table_of(ledger: Ledger, by: By) -> TextTable:
    """The ledger as a table."""
    return {"conversation": _by_conversation, "step": _by_step, "arm": _by_arm}[by](ledger)


_FIGURES = ("INPUT", "HITS", "OUTPUT", "BILLED $", "SENT $", "PLAIN $", "SAVED", "SCORER", "EXPAND")


def _by_conversation(ledger: Ledger) -> TextTable:
    rows = [(one.id, one.arm, f"{one.totals.steps:,}", *_figures(one.totals)) for one in ledger.conversations]
    total = ("total", "", f"{ledger.totals.steps:,}", *_figures(ledger.totals))
    return TextTable(("CONVERSATION", "ARM", "STEPS", *_FIGURES), (*rows, total), has_total=True)


def _by_step(ledger: Ledger) -> TextTable:
    rows: list[tuple[str, ...]] = []
    for conversation in ledger.conversations:
        name = conversation.id
        if conversation.folded.steps:
            rows.append((name, f"1-{conversation.folded.steps}", "", *_figures(conversation.folded), "", ""))
        for step in conversation.steps:
            when = f"{step.at:%m-%d %H:%M}"
            rows.append((name, str(step.number), when, *_figures(Totals.of(step)), _first(step), _prefix(step)))
    total = ("total", f"{ledger.totals.steps:,}", "", *_figures(ledger.totals), "", "")
    return TextTable(("CONVERSATION", "STEP", "AT", *_FIGURES, "FIRST", "PREFIX"), (*rows, total), has_total=True)


def _first(step: Step) -> str:
    return "-" if step.first_chunk_ms is None else f"{step.first_chunk_ms / 1000:,.2f} s"


def _prefix(step: Step) -> str:
    return "whole" if step.moved is None else str(step.moved)


def _by_arm(ledger: Ledger) -> TextTable:
    arms = arms_of(ledger)
    rows = [
        (arm.name or "-", f"{arm.conversations:,}", f"{arm.steps_per_conversation:.1f}", usd(arm.mean_usd), *_figures(arm.totals))
        for arm in arms.arms
    ]
    return TextTable(("ARM", "CONVERSATIONS", "STEPS EACH", f"{arms.basis.upper()} $ EACH", *_FIGURES), tuple(rows), has_total=False)


def _figures(totals: Totals) -> tuple[str, ...]:
    tokens = totals.sent.tokens
    hits = tokens.hit_share
    return (
        f"{tokens.input_tokens:,}",
        "-" if hits is None else f"{hits:.0%}",
        f"{tokens.output_tokens:,}",
        _known(totals.billed),
        _known(totals.sent),
        _known(totals.plain),
        _percent(totals.saved_share),
        f"{totals.scorer_ms / 1000:,.1f} s" if totals.scorer_ms else "-",
        f"{totals.expand_calls:,}",
    )


def notes_of(ledger: Ledger, by: By) -> list[str]:
    """What the figures mean, what speaks against compression, and what is not known, a sentence each."""
    totals = ledger.totals
    rules, counters = ({getattr(one, name) for one in ledger.conversations} for name in ("rule", "counter"))
    notes = [
        f"BILLED: as the provider reported. SENT, PLAIN: what was sent, and the same uncompressed, by the rule of {_and(rules)}, "
        f"tokens by {_and(counters)}.",
        _balance(totals),
    ]
    if totals.expand_calls or totals.extra_steps:
        notes.append(
            f"Counted against it, within SENT: {_count(totals.expand_calls, 'call')} to expand and "
            f"{_count(totals.extra_steps, 'extra step')}, ${usd(totals.extra.usd)}."
        )
    if totals.moved_prefixes:
        notes.append(f"{_count(totals.moved_prefixes, 'request')} did not begin with the whole request before: see --by step.")
    if totals.billed.unpriced:
        notes.append(f"BILLED leaves out {totals.billed.unpriced:,} of {_count(totals.steps, 'step')}, whose dollars are unknown.")
    if totals.counted_share is not None:
        notes.append(f"Input tokens as counted here are {totals.counted_share:.3f} of those billed.")
    waits = sorted(step.first_chunk_ms for one in ledger.conversations for step in one.steps if step.first_chunk_ms is not None)
    if waits:
        notes.append(f"Streamed answers began after {median(waits) / 1000:,.2f} s: the median of {_count(len(waits), 'step')}.")
    flags = Counter(flag for one in ledger.conversations for step in one.steps for flag in step.flags)
    notes += [f"{_count(number, 'step')}: {flag}." for flag, number in flags.most_common()]
    return notes + (list(_differences(arms_of(ledger))) if by == "arm" else [])


def _balance(totals: Totals) -> str:
    saved = totals.saved_usd
    if saved is None:
        return "SAVED is unknown: a price is missing."
    what = f"Compression {'saved' if saved >= 0 else 'cost'} ${usd(abs(saved))}"
    scored = f"{totals.scorer_ms / 1000:,.1f} s of scoring (${usd(totals.scorer_usd)})"
    return f"{what}: ${usd(totals.plain.usd)} uncompressed against ${usd(totals.sent.usd)} sent and {scored}."


def _differences(arms: Arms) -> Iterator[str]:
    """Every arm against the one in which nothing was compressed, where it is known which that is."""
    control = control_of(arms)
    for arm in arms.arms:
        found = None if control in (None, arm.name) else difference(arms, arm.name, str(control))
        if found is not None:
            share = "" if found.share is None else f" ({found.share:+.0%})"
            low_high = "" if found.interval_usd is None else "; 95 % interval {:+.6f} to {:+.6f}".format(*found.interval_usd)
            yield f"A conversation in {arm.name!r} costs {found.usd:+.6f} USD{share} against {control!r}, {arms.basis}{low_high}."


def usd(value: float | None) -> str:
    """Dollars without their sign; "unknown" for None."""
    return "unknown" if value is None else f"{value:,.2f}" if abs(value) >= 100 else f"{value:.6f}"


def _known(amount: Amount) -> str:
    """Dollars; with a sign that they are not all of them."""
    if amount.usd is not None:
        return usd(amount.usd)
    return f">{usd(amount.known_usd)}" if amount.unpriced < amount.requests else "unknown"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _and(names: Sequence[str] | set[str]) -> str:
    return " and ".join(sorted(names)) or "none"
