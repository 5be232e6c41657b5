"""The same tokens at other prices: of another table, or as if another model had been asked. Pure."""

from __future__ import annotations

from dataclasses import replace

from specprefill_agents.accounting.amounts import Amount
from specprefill_agents.accounting.ledger import Conversation, Ledger, Step, Totals
from specprefill_agents.accounting.pricing import Price, PriceTable
from specprefill_agents.accounting.recording import NO_PRICE
from specprefill_agents.errors import ConfigError


def repriced(ledger: Ledger, prices: PriceTable, model: str | None = None) -> Ledger:
    """Every step at the price that `prices` has for its model, or for `model`, at its time; steps in folded sums become unpriced.

    Raises `ConfigError` for a `model` without a price, and for one whose cache follows another rule than was simulated.
    """
    if model is not None:
        rule = prices.caching(model)
        if rule is None:
            raise ConfigError("model", model, f"a model with a price: {', '.join(prices.models)}")
        other = next((one for one in ledger.conversations if one.rule != rule), None)
        if other is not None:
            raise ConfigError("model", model, f"a model with the caching rule of conversation {other.id!r}, {other.rule}; not {rule}")
    return Ledger(tuple(_conversation(one, prices, model) for one in ledger.conversations))


def _conversation(conversation: Conversation, prices: PriceTable, model: str | None) -> Conversation:
    steps = tuple(_step(step, prices, model) for step in conversation.steps)
    return replace(conversation, steps=steps, folded=_unpriced(conversation.folded))


def _step(step: Step, prices: PriceTable, model: str | None) -> Step:
    name = model or step.model
    price = prices.price(name, step.at)
    flags = tuple(flag for flag in step.flags if flag != NO_PRICE)
    return replace(
        step,
        model=name,
        billed=_priced(step.billed, price if step.at_list_price else None),
        sent=_priced(step.sent, price),
        plain=_priced(step.plain, price),
        extra=_priced(step.extra, price),
        flags=flags if price else (*flags, NO_PRICE),
    )


def _priced(amount: Amount, price: Price | None) -> Amount:
    """One request at another price."""
    is_nothing = not (amount.requests or amount.tokens.output_tokens)
    usd = 0.0 if is_nothing else None if price is None or amount.unread else price.usd_of(amount.tokens)
    return replace(amount, known_usd=0.0 if usd is None else usd, unpriced=int(usd is None))


def _unpriced(folded: Totals) -> Totals:
    """Sums over steps of many times: their tokens are known, and what those cost at another price is not."""
    names = ("billed", "sent", "plain", "extra")
    amounts = {name: getattr(folded, name) for name in names}
    return replace(folded, **{name: replace(amount, known_usd=0.0, unpriced=amount.requests) for name, amount in amounts.items()})
