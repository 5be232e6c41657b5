"""The arms of an experiment side by side: what a conversation costs in each, and how sure the difference is. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import fmean, variance
from typing import Literal

from specprefill_agents.accounting.ledger import Conversation, Ledger, Totals, total
from specprefill_agents.errors import ConfigError

CONTROL = "control"
"""What guardrails call the arm that runs uncompressed."""
_Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class Arm:
    """The conversations under one label. `costs_usd` has one entry per conversation, scorer included, None where unknown."""

    name: str
    conversations: int
    totals: Totals
    costs_usd: tuple[float | None, ...]

    @property
    def known_costs(self) -> list[float]:
        """Costs of the conversations whose cost is known."""
        return [cost for cost in self.costs_usd if cost is not None]

    @property
    def mean_usd(self) -> float | None:
        """Of a conversation; None unless all are known, since those that are missing may be dear ones."""
        return fmean(self.known_costs) if self.costs_usd and None not in self.costs_usd else None

    @property
    def steps_per_conversation(self) -> float:
        """Extra turns show here."""
        return self.totals.steps / self.conversations


@dataclass(frozen=True, slots=True)
class Arms:
    """All arms, by label; costs are of one `basis` in all of them: as billed, or as simulated where a bill is missing."""

    basis: Literal["billed", "simulated"]
    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean cost of a conversation in one arm minus another's, in USD, with a 95 % interval (Welch, normal approximation).

    `share` is relative to the other arm's mean, None when that is 0. The interval is None with fewer than two conversations
    in either.
    """

    usd: float
    share: float | None
    interval_usd: tuple[float, float] | None


def arms_of(ledger: Ledger) -> Arms:
    """The ledger by arm label."""
    is_billed = ledger.totals.billed.usd is not None
    groups: dict[str, list[Conversation]] = {}
    for conversation in ledger.conversations:
        groups.setdefault(conversation.arm, []).append(conversation)
    arms: list[Arm] = []
    for name, members in sorted(groups.items()):
        sums = [member.totals for member in members]
        costs = tuple(_billed_usd(one) if is_billed else one.cost_usd for one in sums)
        folded = [member.folded for member in members]
        steps = total(step for member in members for step in member.steps)
        arms.append(Arm(name, len(members), sum(folded, steps), costs))
    return Arms("billed" if is_billed else "simulated", tuple(arms))


def difference(arms: Arms, treated: str, control: str) -> Difference | None:
    """How much dearer a conversation is in the arm `treated` than in `control`; None where a cost is unknown.

    Raises `ConfigError` for an arm that is not there.
    """
    known = {arm.name: arm for arm in arms.arms}
    for name in (treated, control):
        if name not in known:
            raise ConfigError("arm", name, f"one of {', '.join(map(repr, known))}")
    one, other = known[treated], known[control]
    if one.mean_usd is None or other.mean_usd is None:
        return None
    gap = one.mean_usd - other.mean_usd
    interval = None
    if min(len(one.costs_usd), len(other.costs_usd)) > 1:
        margin = _Z95 * sqrt(sum(variance(arm.known_costs) / len(arm.known_costs) for arm in (one, other)))
        interval = (gap - margin, gap + margin)
    return Difference(gap, gap / other.mean_usd if other.mean_usd else None, interval)


def control_of(arms: Arms) -> str | None:
    """The arm that the others are held against: the one named `CONTROL`, else the only one uncompressed; None without any.

    An agent that has a tool to expand gaps describes it in the control arm too, so not even there is what was sent the same
    as without this library.
    """
    plain = [arm.name for arm in arms.arms if not arm.totals.scorer_ms and arm.totals.sent.tokens == arm.totals.plain.tokens]
    named = [arm.name for arm in arms.arms if arm.name == CONTROL]
    return named[0] if named else plain[0] if len(plain) == 1 else None


def _billed_usd(totals: Totals) -> float | None:
    return None if totals.billed.usd is None else totals.billed.usd + totals.scorer_usd
