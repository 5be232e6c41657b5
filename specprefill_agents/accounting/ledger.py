"""What conversations cost: as billed, as sent, and as they would have been uncompressed, with all that speaks against us.

Pure values; `recording.Recorder` makes them. Three dollar figures stand beside each other, and none is mixed with another:
`billed` is what the provider reported; `sent` and `plain` come from counted texts under one caching rule, for what went
out and for what would have gone out uncompressed. Savings are `plain` against `sent` and the scorer's time, so that an
error of the rule or of the tokenizer weighs on both sides alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import reduce
from operator import add

from specprefill_agents.accounting.amounts import NOTHING, Amount
from specprefill_agents.accounting.changes import Moved
from specprefill_agents.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Step:
    """One model call. `number` counts from 1 in its conversation; `model` is what it was asked of.

    `plain` has no request when the call `is_extra`: made only since the answer before did nothing but expand gaps. `extra`
    is the part of `sent` that compression caused so: the input of such calls, and the output of calls to expand.
    `at_list_price` tells whether the usage lets the table's prices apply. `moved` is the first byte that was sent otherwise
    before. `flags` say what is missing or contradictory. `first_chunk_ms` is how long a streamed answer took to begin, None
    for one that came whole, or where nobody measured it.
    """

    number: int
    at: datetime
    model: str
    billed: Amount
    sent: Amount
    plain: Amount
    extra: Amount = NOTHING
    scorer_ms: float = 0.0
    scorer_usd: float = 0.0
    expand_calls: int = 0
    is_extra: bool = False
    at_list_price: bool = True
    moved: Moved | None = None
    flags: tuple[str, ...] = ()
    first_chunk_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over steps."""

    steps: int = 0
    billed: Amount = NOTHING
    sent: Amount = NOTHING
    plain: Amount = NOTHING
    extra: Amount = NOTHING
    scorer_ms: float = 0.0
    scorer_usd: float = 0.0
    expand_calls: int = 0
    extra_steps: int = 0
    moved_prefixes: int = 0
    flagged_steps: int = 0

    @classmethod
    def of(cls, step: Step) -> Totals:
        """The sums of one step."""
        return cls(
            steps=1,
            billed=step.billed,
            sent=step.sent,
            plain=step.plain,
            extra=step.extra,
            scorer_ms=step.scorer_ms,
            scorer_usd=step.scorer_usd,
            expand_calls=step.expand_calls,
            extra_steps=int(step.is_extra),
            moved_prefixes=int(step.moved is not None),
            flagged_steps=int(bool(step.flags)),
        )

    @property
    def cost_usd(self) -> float | None:
        """What was sent, and the scorer's time; None when unknown."""
        return None if self.sent.usd is None else self.sent.usd + self.scorer_usd

    @property
    def saved_usd(self) -> float | None:
        """What uncompressed would have cost more; negative when compression was dearer, None when unknown."""
        return None if self.plain.usd is None or self.cost_usd is None else self.plain.usd - self.cost_usd

    @property
    def saved_share(self) -> float | None:
        """`saved_usd` as a share of the uncompressed cost."""
        return None if self.saved_usd is None or not self.plain.usd else self.saved_usd / self.plain.usd

    @property
    def counted_share(self) -> float | None:
        """Input tokens as counted here over those billed: how far the tokenizer can be trusted. None when some were not reported."""
        billed = self.billed.tokens.input_tokens
        return self.sent.tokens.input_tokens / billed if billed and not self.billed.unread else None

    def __add__(self, other: Totals) -> Totals:
        return Totals(*(getattr(self, name) + getattr(other, name) for name in (f.name for f in fields(Totals))))


@dataclass(frozen=True, slots=True)
class Conversation:
    """The steps of one conversation, the oldest of them folded into sums when there are many.

    `started` is when it was first recorded: it tells two recordings under one id apart. `rule` is the caching rule of
    `sent` and `plain`, `counter` the tokenizer; `arm` labels an arm of an experiment, "" for none.
    """

    id: str
    started: datetime
    rule: str
    counter: str
    arm: str = ""
    steps: tuple[Step, ...] = ()
    folded: Totals = Totals()

    @property
    def key(self) -> tuple[str, datetime]:
        """What tells it from every other."""
        return self.id, self.started

    @property
    def totals(self) -> Totals:
        """Sums over all its steps."""
        return total(self.steps) + self.folded

    @property
    def last_number(self) -> int:
        """The number of its last step; 0 before the first."""
        return self.steps[-1].number if self.steps else self.folded.steps

    def add(self, step: Step, max_steps: int | None = None) -> Conversation:
        """With one step more, and at most `max_steps` of them kept singly."""
        longer = replace(self, steps=(*self.steps, step))
        return longer if max_steps is None else longer.shortened(max_steps)

    def shortened(self, max_steps: int) -> Conversation:
        """With the last `max_steps` kept singly, and those before folded into sums."""
        excess = max(0, len(self.steps) - max_steps)
        return replace(self, steps=self.steps[excess:], folded=reduce(add, map(Totals.of, self.steps[:excess]), self.folded))


@dataclass(frozen=True, slots=True)
class Ledger:
    """Conversations, ordered by start and id. Ledgers merge in any order to the same ledger."""

    conversations: tuple[Conversation, ...] = ()

    def __post_init__(self) -> None:
        index: dict[tuple[str, datetime], Conversation] = {}
        for conversation in self.conversations:
            known = index.get(conversation.key)
            index[conversation.key] = conversation if known is None else _joined(known, conversation)
        ordered = tuple(sorted(index.values(), key=lambda one: (one.started, one.id)))
        object.__setattr__(self, "conversations", ordered)

    @property
    def totals(self) -> Totals:
        """Sums over all conversations."""
        return reduce(add, (conversation.totals for conversation in self.conversations), Totals())

    def merge(self, *others: Ledger) -> Ledger:
        """All conversations of all ledgers; what several hold counts once.

        Raises `ConfigError` where two of them hold different steps under one number of one recording.
        """
        return Ledger(tuple(conversation for ledger in (self, *others) for conversation in ledger.conversations))


def total(steps: Iterable[Step]) -> Totals:
    """Sums over steps."""
    return reduce(add, map(Totals.of, steps), Totals())


def _joined(one: Conversation, other: Conversation) -> Conversation:
    """Two records of one conversation, of which either may know more of its beginning or of its end."""
    for name in ("rule", "counter", "arm"):
        if getattr(one, name) != getattr(other, name):
            raise ConfigError(f"{one.id}.{name}", getattr(other, name), f"{getattr(one, name)}, as in another record of this conversation")
    longest, shortest = sorted((one, other), key=lambda record: -record.folded.steps)
    if longest.folded.steps == shortest.folded.steps and longest.folded != shortest.folded:
        raise ConfigError(f"{one.id}.folded", other.folded.steps, "one record of the steps that were folded")
    steps = {step.number: step for step in one.steps}
    for step in other.steps:
        if steps.setdefault(step.number, step) != step:
            raise ConfigError(f"{one.id}.steps", step.number, "one record of each step")
    kept = tuple(steps[number] for number in sorted(steps) if number > longest.folded.steps)
    return replace(longest, steps=kept)
