"""Keeps the ledger of one conversation: told of each answered model call, it says what the call cost and would have cost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from specprefill_agents.accounting.amounts import NOTHING, Amount, Tokens
from specprefill_agents.accounting.caching import NONE, CacheRule, rule_named
from specprefill_agents.accounting.expansions import calls_only, made_by_expanding, without_expansions
from specprefill_agents.accounting.ledger import Conversation, Step
from specprefill_agents.accounting.ledger_json import conversation_from, conversation_to
from specprefill_agents.accounting.pricing import Price, PriceTable, in_utc
from specprefill_agents.accounting.tokens import TokenCounter
from specprefill_agents.accounting.tracking import PrefixReport, PrefixTracker
from specprefill_agents.accounting.usage import UsageReading, read_usage
from specprefill_agents.accounting.wire import Measurer, Part
from specprefill_agents.errors import ConfigError
from specprefill_agents.prompt.expand import EXPAND_TOOL

VERSION = 1
"""Of the serialized form."""
LATE = "the conversation began before this ledger: what was cached by then is unknown"
NO_PRICE = "no price is known for this model"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One answered model call: the request as `sent`, as it would have been without compression, the answer, and the reported usage.

    Both requests have all parts in the order of the wire: tools, system prompt, messages. `plain` may hold what expanding
    added; that is left out here. `scorer_ms` is what scoring for this call took, `first_chunk_ms` what a streamed answer took to
    begin.
    """

    sent: Sequence[Part]
    plain: Sequence[Part]
    answer: Part
    usage: object = None
    scorer_ms: float = 0.0
    first_chunk_ms: float | None = None


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """How to account: prices, an arm's label, the draft machine's cost per hour in USD, and how many steps to keep singly.

    `caching` names the caching rule; None goes by the price table, and assumes no cache for a model that it does not know.
    """

    prices: PriceTable = field(default_factory=PriceTable)
    caching: str | None = None
    arm: str = ""
    machine_usd_per_hour: float = 0.0
    max_steps: int = 1000
    expand_tool: str = EXPAND_TOOL

    def __post_init__(self) -> None:
        if self.caching is not None:
            rule_named(self.caching)
        cost = self.machine_usd_per_hour
        if isinstance(cost, bool) or not isinstance(cost, (int, float)) or not 0 <= cost < 1e6:
            raise ConfigError("machine_usd_per_hour", cost, "USD per hour from 0 to 1,000,000")
        if isinstance(self.max_steps, bool) or not isinstance(self.max_steps, int) or self.max_steps < 1:
            raise ConfigError("max_steps", self.max_steps, "an integer >= 1")

    def rule(self, model: str) -> CacheRule:
        """The caching rule for `model`."""
        name = self.caching or self.prices.caching(model)
        return NONE if name is None else rule_named(name)


class Recorder:
    """One conversation's ledger as it grows. Safe to share between threads; calls are accounted in the order of `record`.

    `on_step` is told of each step, for instance `LedgerFile.append`.
    """

    def __init__(
        self,
        conversation_id: str,
        model: str,
        counter: TokenCounter,
        settings: LedgerSettings | None = None,
        on_step: Callable[[Conversation, Step], None] | None = None,
    ) -> None:
        self._settings = settings or LedgerSettings()
        self._model = model
        self._measurer = Measurer(counter)
        self._rule = self._settings.rule(model)
        self._sent, self._plain = (PrefixTracker(self._measurer, [self._rule]) for _ in range(2))
        self._id = conversation_id
        self._conversation: Conversation | None = None
        self._on_step = on_step
        self._lock = threading.Lock()

    @property
    def conversation(self) -> Conversation | None:
        """What was recorded so far; None before the first step."""
        return self._conversation

    def record(self, exchange: Exchange, now: datetime) -> Step:
        """Account for one answered call, made at `now` (with a time zone)."""
        with self._lock:
            at = in_utc(now)
            known = self._conversation or Conversation(self._id, at, self._rule.name, self._measurer.name, self._settings.arm)
            step = self._step(exchange, at, known.last_number + 1)
            self._conversation = known.add(step, self._settings.max_steps)
            if self._on_step:
                self._on_step(self._conversation, step)
        return step

    def _step(self, exchange: Exchange, at: datetime, number: int) -> Step:
        expand = self._settings.expand_tool
        price = self._settings.prices.price(self._model, at)
        reading = read_usage(exchange.usage)
        is_late = not self._sent.has_requests and any(part.role == "assistant" for part in exchange.sent)
        is_extra = made_by_expanding(exchange.sent, expand)
        report = self._sent.request(exchange.sent, at)
        counted = self._sent.answer(exchange.answer)
        output = reading.tokens.output_tokens if reading.tokens else counted
        expansions = [call for call in exchange.answer.calls if call.name == expand]
        if calls_only(exchange.answer, expand):
            extra_output = output
        else:
            extra_output = min(output, sum(self._measurer.count(f"{call.name} {call.arguments}") for call in expansions))
        sent = replace(self._input(report), output_tokens=output)
        plain = self._plain_step(exchange, at, is_extra, output - extra_output)
        extra = replace(self._input(report) if is_extra else Tokens(), output_tokens=extra_output)
        has_extra = is_extra or bool(expansions)
        return Step(
            number=number,
            at=at,
            model=self._model,
            billed=Amount.of(reading.tokens, _usd(price, reading.tokens) if reading.at_list_price else None),
            sent=Amount.of(sent, _usd(price, sent)),
            plain=replace(Amount.of(plain, _usd(price, plain)), requests=int(not is_extra)),
            extra=Amount.of(extra, _usd(price, extra)) if has_extra else NOTHING,
            scorer_ms=exchange.scorer_ms,
            scorer_usd=exchange.scorer_ms / 3_600_000 * self._settings.machine_usd_per_hour,
            expand_calls=len(expansions),
            is_extra=is_extra,
            at_list_price=reading.at_list_price,
            moved=report.moved,
            flags=_flags(reading, price, is_late),
            first_chunk_ms=exchange.first_chunk_ms,
        )

    def _plain_step(self, exchange: Exchange, at: datetime, is_extra: bool, output: int) -> Tokens:
        """What the call would have used uncompressed: no request when it is extra, no answer when that only expands."""
        expand = self._settings.expand_tool
        tokens = Tokens()
        if not is_extra:
            tokens = self._input(self._plain.request(without_expansions(exchange.plain, expand), at))
        for part in without_expansions([exchange.answer], expand):
            self._plain.answer(part)
        return replace(tokens, output_tokens=output)

    def _input(self, report: PrefixReport) -> Tokens:
        return report.use(self._rule.name).tokens

    def to_dict(self, max_steps: int | None = None) -> dict[str, Any]:
        """The ledger and what is in the caches, as plain JSON types without any text of the conversation.

        A step takes about 1 kB: `max_steps` folds those before the last so many, for a checkpoint that is written at every step.
        """
        with self._lock:
            known = self._conversation
            kept = known if known is None or max_steps is None else known.shortened(max_steps)
            return {
                "version": VERSION,
                "id": self._id,
                "model": self._model,
                "conversation": kept and conversation_to(kept),
                "sent": self._sent.to_dict(),
                "plain": self._plain.to_dict(),
            }

    @classmethod
    def from_dict(
        cls,
        data: Mapping[str, Any],
        counter: TokenCounter,
        settings: LedgerSettings | None = None,
        on_step: Callable[[Conversation, Step], None] | None = None,
    ) -> Recorder:
        """Continue after a restart. Raises `ConfigError` when the data come from another version, tokenizer or caching rule."""
        if data.get("version") != VERSION:
            raise ConfigError("version", data.get("version"), str(VERSION))
        recorder = cls(str(data.get("id")), str(data.get("model")), counter, settings, on_step)
        for name in ("sent", "plain"):
            if not isinstance(data.get(name), Mapping):
                raise ConfigError(name, type(data.get(name)).__name__, "what a recorder stored")
        rules = [recorder._rule]
        recorder._sent = PrefixTracker.from_dict(data["sent"], recorder._measurer, rules)
        recorder._plain = PrefixTracker.from_dict(data["plain"], recorder._measurer, rules)
        if data.get("conversation") is not None:
            recorder._conversation = conversation_from(data["conversation"])
        return recorder


def _usd(price: Price | None, tokens: Tokens | None) -> float | None:
    return None if price is None or tokens is None else price.usd_of(tokens)


def _flags(reading: UsageReading, price: Price | None, is_late: bool) -> tuple[str, ...]:
    return (*reading.flags, *((NO_PRICE,) if price is None else ()), *((LATE,) if is_late else ()))
