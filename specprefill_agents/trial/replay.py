"""One recorded conversation, request by request, without compression and under each keep ratio: what is sent, billed and lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from specprefill_agents.accounting.amounts import Tokens
from specprefill_agents.accounting.break_even import AtEntry, ExtraTurns
from specprefill_agents.accounting.caching import NONE, CacheRule, rule_named
from specprefill_agents.accounting.pricing import Price, PriceTable
from specprefill_agents.accounting.tokens import TokenCounter
from specprefill_agents.accounting.tracking import PrefixTracker
from specprefill_agents.accounting.wire import Measurer, tools_head
from specprefill_agents.compressor import Compressor
from specprefill_agents.errors import ConfigError
from specprefill_agents.gateway.expanding import TOOL
from specprefill_agents.gateway.messages import part_of, put_back, rounds
from specprefill_agents.prompt.rounds import Slot
from specprefill_agents.session import Turn
from specprefill_agents.trial.log_file import Recorded
from specprefill_agents.trial.messages import Message, answers_of
from specprefill_agents.trial.shared_scorer import SharedScorer
from specprefill_agents.trial.values import UsedValue, used_values
from specprefill_agents.trial.visibility import Gap, Shown
from specprefill_agents.types import CompressedSegment, KeepRatio, Usage

EXPAND_CALL_TOKENS = 48
"""About: what an agent writes to call `expand`, and what its answer begins with."""


@dataclass(frozen=True, slots=True)
class Pricing:
    """What a model's tokens cost, and by which rule its provider caches prompts."""

    model: str
    price: Price
    rule: CacheRule

    @classmethod
    def of(cls, prices: PriceTable, model: str, now: datetime) -> Pricing:
        """The off-peak price in force at `now`. Raises `ConfigError` for a model without a price."""
        sunday = now - timedelta(days=(now.weekday() + 1) % 7)  # no tariff has peak hours then
        price = prices.price(model, sunday) or prices.price(model, now)
        if price is None:
            raise ConfigError("model", model, f"a model with a price: {', '.join(prices.models)}")
        rule = prices.caching(model)
        return cls(model, price, NONE if rule is None else rule_named(rule))


@dataclass(frozen=True, slots=True)
class Lost:
    """A value that cannot be read when it is used, what hides it, and what fetching it by `expand` would cost, in USD."""

    used: UsedValue
    gap: Gap
    fetch_usd: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """A conversation under one keep ratio: what was decided on each slot, what all requests come to, and what was lost.

    `saved_usd` is, for each slot, what its shortening alone saves over all requests that carry it.
    """

    keep: KeepRatio
    decided: tuple[CompressedSegment, ...]
    tokens: Tokens
    saved_usd: tuple[float, ...]
    lost: tuple[Lost, ...]
    scorer_ms: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Replayed:
    """A conversation with its tool results (`slots`), the values used of them, what it takes uncompressed (`plain`), and each attempt."""

    recorded: Recorded
    slots: tuple[Slot, ...]
    used: tuple[UsedValue, ...]
    plain: Tokens
    requests: int
    attempts: tuple[Attempt, ...]

    def step_of(self, message: int) -> int:
        """The number, from 1, of the model call that a message is the answer to, or that its call was made by."""
        answers = [one for one in self.recorded.messages[: message + 1] if one["role"] == "assistant"]
        return max(1, len(answers))


class Replayer:
    """Replays conversations under several compressors, whose scorer is `shared`. Every conversation begins with an empty cache."""

    def __init__(self, compressors: Sequence[Compressor], shared: SharedScorer, counter: TokenCounter, pricing: Pricing) -> None:
        self._compressors = tuple(compressors)
        self._shared = shared
        self._measurer = Measurer(counter)
        self._pricing = pricing

    def replay(self, recorded: Recorded) -> Replayed:
        """Step through a conversation. Raises what a failing scorer raises."""
        found = rounds(recorded.messages)
        slots = tuple(slot for part in found for slot in part.slots)
        used = tuple(used_values(recorded.messages, slots))
        calls = answers_of(recorded.messages)
        turns = [Turn(tuple(slot.segment for slot in part.slots), part.query) for part in found]
        plain, _ = self._billed(recorded, recorded.messages, recorded.tools)
        attempts = [self._attempt(one, recorded, turns, slots, used) for one in self._compressors]
        self._shared.forget()
        return Replayed(recorded, slots, used, plain, len(calls), tuple(attempts))

    def _attempt(
        self, compressor: Compressor, recorded: Recorded, turns: Sequence[Turn], slots: Sequence[Slot], used: Sequence[UsedValue]
    ) -> Attempt:
        before = self._shared.charged_s
        results = compressor.session(recorded.id).steps(turns)
        decided = tuple(segment for result in results for segment in result.segments)
        sent = put_back(recorded.messages, slots, decided)
        tools = [*recorded.tools, TOOL] if slots and compressor.originals else recorded.tools
        tokens, asked = self._billed(recorded, sent, tools)
        shown = Shown(compressor.config, slots, decided)
        gaps = [(one, gap) for one in used if (gap := shown.gap_of(one))]
        ends = [end for end, _ in answers_of(recorded.messages)]
        return Attempt(
            keep=compressor.config.keep_ratio,
            decided=decided,
            tokens=tokens,
            saved_usd=tuple(self._saved_usd(slot, one, ends) for slot, one in zip(slots, decided, strict=True)),
            lost=tuple(self._fetched(gaps, slots, ends, asked)),
            scorer_ms=1000 * (self._shared.charged_s - before),
            notes=tuple(_notes([result.usage for result in results])),
        )

    def _billed(self, recorded: Recorded, messages: Sequence[Message], tools: Sequence[Any]) -> tuple[Tokens, list[int]]:
        """All requests of a conversation together, and the input tokens of each."""
        tracker = PrefixTracker(self._measurer, [self._pricing.rule])
        head = tools_head(tools)
        parts = [part_of(message) for message in messages]
        now = datetime(2000, 1, 2, 12, tzinfo=timezone.utc)  # a minute from call to call; what a rule forgets sooner, it forgets here
        total, asked = Tokens(), []
        for number, (end, answer) in enumerate(answers_of(recorded.messages)):
            use = tracker.request([*head, *parts[:end]], now + timedelta(minutes=number)).use(self._pricing.rule.name)
            asked.append(use.tokens.input_tokens)
            total += use.tokens
            if answer is not None:
                total += Tokens(output_tokens=tracker.answer(part_of(answer)))
        return total, asked

    def _saved_usd(self, slot: Slot, decided: CompressedSegment, ends: Sequence[int]) -> float:
        removed = decided.original_tokens - decided.kept_tokens
        requests = sum(end > slot.message for end in ends)
        saved = AtEntry(abs(removed), max(1, requests)).saved_usd(self._pricing.price)
        return saved if removed >= 0 else -saved

    def _fetched(
        self, gaps: Sequence[tuple[UsedValue, Gap]], slots: Sequence[Slot], ends: Sequence[int], asked: Sequence[int]
    ) -> list[Lost]:
        """The lost values, each with the cost of a call of `expand` for its gap; a gap is fetched once."""
        paid: set[tuple[int, int]] = set()
        found = []
        for used, gap in gaps:
            key = gap.slot, gap.start
            usd = 0.0
            if gap.original_id and key not in paid:
                call = ends.index(used.used_in)
                text = slots[gap.slot].segment.text[gap.start : gap.end]
                carried = self._measurer.count(text) + EXPAND_CALL_TOKENS
                turn = ExtraTurns(1, EXPAND_CALL_TOKENS, cached_tokens=asked[call], fresh_tokens=carried)
                later = carried * (len(ends) - call - 1) * self._pricing.price.input_hit / 1e6
                usd = turn.usd(self._pricing.price) + later
                paid.add(key)
            found.append(Lost(used, gap, usd))
        return found


def _notes(usages: Sequence[Usage]) -> list[str]:
    return list(dict.fromkeys(usage.fallback_reason for usage in usages if usage.fallback_reason))
