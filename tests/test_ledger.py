"""Ledgers add up: sums, folded sums and merged ledgers say the same as their steps, and what is unknown stays unknown."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents import ConfigError
from specprefill_agents.accounting.amounts import Amount, Tokens
from specprefill_agents.accounting.arms import arms_of, difference
from specprefill_agents.accounting.ledger import Conversation, Ledger, Step, Totals, total
from specprefill_agents.accounting.ledger_json import ledger_from, ledger_to, step_from, step_to
from specprefill_agents.accounting.pricing import Price, PriceTable, Tariff
from specprefill_agents.accounting.recording import NO_PRICE, LedgerSettings
from specprefill_agents.accounting.repricing import repriced
from tests.ledgers import SEEDS, START, at, recorded


def close(one: object, other: object) -> bool:
    """Whether two sums are the same but for the order in which floats were added."""
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, abs=1e-12)
    if isinstance(one, (Totals, Amount, Tokens)):
        return all(close(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    return one == other


def random_conversation(seed: int, name: str = "chat") -> Conversation:
    """One to six steps over outputs of any size, with expansions, a scorer and now and then a model without a price."""
    source = Random(seed)
    sizes = [source.randrange(3000) for _ in range(source.randrange(6))]
    return recorded(
        sizes,
        source.random(),
        expand_at=[index for index in range(len(sizes)) if source.random() < 0.2],
        settings=LedgerSettings(arm=source.choice(("", "on", "off")), machine_usd_per_hour=source.choice((0.0, 0.4))),
        name=f"{name}-{seed % 3}",
        model=source.choice(("deepseek-flash", "deepseek-v4-pro", "unheard-of")),
        scorer_ms=source.choice((0.0, 123.4)),
        first_minute=seed / 60,
    )


CONVERSATIONS = SEEDS.map(random_conversation)


@given(CONVERSATIONS, st.integers(1, 8))
def test_folding_old_steps_changes_no_sum(conversation: Conversation, max_steps: int) -> None:
    folded = replace(conversation, steps=())
    for step in conversation.steps:
        folded = folded.add(step, max_steps)
        assert len(folded.steps) <= max_steps
    assert close(folded.totals, conversation.totals)
    assert folded.last_number == conversation.last_number == folded.folded.steps + len(folded.steps)


@given(st.lists(CONVERSATIONS, max_size=4))
def test_the_ledger_is_the_sum_of_its_steps(conversations: list[Conversation]) -> None:
    ledger = Ledger(tuple(conversations))
    steps = [step for one in ledger.conversations for step in one.steps]
    assert close(ledger.totals, total(steps))
    assert ledger.totals.steps == len(steps)
    for name in ("billed", "sent", "plain", "extra"):
        amounts: list[Amount] = [getattr(step, name) for step in steps]
        assert getattr(ledger.totals, name).tokens.input_tokens == sum(amount.tokens.input_tokens for amount in amounts)
        unknown = any(amount.usd is None for amount in amounts)
        assert (getattr(ledger.totals, name).usd is None) == unknown


@given(st.lists(CONVERSATIONS, max_size=5), SEEDS)
def test_ledgers_merge_in_any_order_and_any_number_of_times(conversations: list[Conversation], seed: int) -> None:
    ledgers = [Ledger((one,)) for one in conversations]
    whole = Ledger().merge(*ledgers)
    shuffled = [*ledgers, *ledgers, whole]
    Random(seed).shuffle(shuffled)
    assert Ledger().merge(*shuffled) == whole
    assert whole.merge(whole) == whole


@given(CONVERSATIONS, SEEDS)
def test_snapshots_of_a_growing_conversation_merge_to_the_longest(conversation: Conversation, seed: int) -> None:
    source = Random(seed)
    snapshots = [replace(conversation, steps=())]
    for step in conversation.steps:
        snapshots.append(snapshots[-1].add(step, 3))
    source.shuffle(snapshots)
    merged = Ledger(tuple(snapshots))
    assert close(merged.totals, conversation.totals)


def test_two_recordings_under_one_id_both_count() -> None:
    one, other = recorded([500], first_minute=0), recorded([500], first_minute=30)
    assert one.id == other.id
    assert Ledger((one, other)).totals.steps == 4


def test_contradictory_records_of_one_step_are_refused() -> None:
    conversation = recorded([500, 600])
    other = replace(conversation, steps=(conversation.steps[0], replace(conversation.steps[1], scorer_ms=5.0)))
    with pytest.raises(ConfigError, match=r"chat.steps=2 is not valid"):
        Ledger((conversation, other))
    with pytest.raises(ConfigError, match=r"chat.rule"):
        Ledger((conversation, replace(conversation, rule="openai")))
    sums = Totals.of(conversation.steps[0])
    folded = [replace(conversation, steps=(), folded=replace(sums, scorer_ms=ms)) for ms in (1.0, 2.0)]
    with pytest.raises(ConfigError, match=r"chat.folded"):
        Ledger(tuple(folded))


@given(st.lists(CONVERSATIONS, max_size=3), st.integers(1, 5))
def test_a_ledger_comes_back_from_json_as_it_was(conversations: list[Conversation], max_steps: int) -> None:
    shortened = [replace(one, steps=()) for one in conversations]
    for index, one in enumerate(conversations):
        for step in one.steps:
            shortened[index] = shortened[index].add(step, max_steps)
    ledger = Ledger(tuple(shortened))
    assert ledger_from(json.loads(json.dumps(ledger_to(ledger)))) == ledger


def damaged(*path: str | int, value: object) -> Any:
    """A stored ledger with one value replaced."""
    data: Any = json.loads(json.dumps(ledger_to(Ledger((recorded([500]),)))))
    inner = data
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return data


STEP = ("conversations", 0, "steps", 0)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ([], "ledger"),
        ({}, "version"),
        ({"version": 2, "conversations": []}, "version"),
        ({"version": 1}, "conversations"),
        ({"version": 1, "conversations": [5]}, "conversation"),
        (damaged("conversations", 0, "started", value="2026-11-21T12:00:00"), "started"),
        (damaged("conversations", 0, "started", value=5), "started"),
        (damaged("conversations", 0, "id", value=5), "id"),
        (damaged("conversations", 0, "steps", value={}), "steps"),
        (damaged("conversations", 0, "folded", value={}), "folded.steps"),
        (damaged(*STEP, value=[]), "step"),
        (damaged(*STEP, "number", value=True), "number"),
        (damaged(*STEP, "scorer_ms", value=float("nan")), "scorer_ms"),
        (damaged(*STEP, "scorer_ms", value=-1), "scorer_ms"),
        (damaged(*STEP, "is_extra", value=0), "is_extra"),
        (damaged(*STEP, "flags", value="x"), "flags"),
        (damaged(*STEP, "sent", value=None), "sent"),
        (damaged(*STEP, "sent", "tokens", "hit_tokens", value=-1), "sent.tokens.hit_tokens"),
        (damaged(*STEP, "sent", "tokens", "hit_tokens", value=1.5), "sent.tokens.hit_tokens"),
        (damaged(*STEP, "moved", value={"cause": "magic"}), "moved.cause"),
    ],
)
def test_a_stored_ledger_that_is_damaged_or_newer_is_refused_with_its_place(data: object, field: str) -> None:
    with pytest.raises(ConfigError) as error:
        ledger_from(data)
    assert error.value.field == field


def test_a_step_of_an_earlier_version_has_no_time_to_its_first_chunk() -> None:
    (step, *_) = recorded([2000]).steps
    row = step_to(replace(step, first_chunk_ms=3.5))
    assert step_from(row) == replace(step, first_chunk_ms=3.5)
    del row["first_chunk_ms"]
    assert step_from(row) == step
    with pytest.raises(ConfigError, match="first_chunk_ms"):
        step_from({**row, "first_chunk_ms": -1})


def test_an_unknown_price_is_unknown_in_every_sum_and_tokens_are_still_counted() -> None:
    ledger = Ledger((recorded([900, 900], model="unheard-of", name="a"), recorded([900], name="b")))
    totals = ledger.totals
    assert totals.sent.usd is totals.plain.usd is totals.billed.usd is totals.saved_usd is totals.saved_share is None
    assert totals.sent.unpriced == 3
    assert totals.sent.known_usd > 0
    assert totals.billed.tokens.input_tokens > 0
    assert ledger.conversations[0].steps[0].flags == (NO_PRICE,)


def test_savings_are_what_uncompressed_costs_more_than_sent_and_the_scorer() -> None:
    ledger = Ledger((recorded([3000] * 6, 0.3, settings=LedgerSettings(machine_usd_per_hour=3.6), scorer_ms=100.0),))
    totals = ledger.totals
    assert totals.scorer_usd == pytest.approx(7 * 0.1 * 0.001)
    assert totals.plain.usd is not None
    assert totals.sent.usd is not None
    assert totals.saved_usd == pytest.approx(totals.plain.usd - totals.sent.usd - totals.scorer_usd)
    assert totals.saved_share == pytest.approx((totals.saved_usd or 0) / totals.plain.usd)


def test_a_scorer_dearer_than_what_it_saves_is_a_loss() -> None:
    dear = recorded([3000] * 6, 0.3, settings=LedgerSettings(machine_usd_per_hour=100.0), scorer_ms=2000.0)
    assert (dear.totals.saved_usd or 0) < 0


def test_counted_tokens_are_compared_with_those_billed() -> None:
    totals = recorded([500]).totals
    assert totals.counted_share == pytest.approx(totals.sent.tokens.input_tokens / (100 + 1000))
    assert replace(totals, billed=replace(totals.billed, unread=1)).counted_share is None


def other_prices(hit: float) -> PriceTable:
    return PriceTable((Tariff("deepseek-flash", START.date(), Price(hit, 1.0, 2.0), caching="deepseek"), *PriceTable().tariffs))


def test_other_prices_change_dollars_and_no_token() -> None:
    ledger = Ledger((recorded([2000, 2000]),))
    dearer = repriced(ledger, other_prices(0.5))
    for before, after in zip(ledger.conversations[0].steps, dearer.conversations[0].steps, strict=True):
        tokens = after.sent.tokens
        assert before.sent.tokens == tokens
        assert after.sent.usd == pytest.approx((tokens.hit_tokens * 0.5 + tokens.miss_tokens * 1.0 + tokens.output_tokens * 2.0) / 1e6)
    assert repriced(ledger, PriceTable()) == ledger


def test_a_ledger_of_an_unknown_model_gets_its_dollars_from_another_one_s_price() -> None:
    settings = LedgerSettings(caching="deepseek")
    unpriced = Ledger((recorded([2000, 500], expand_at=[1], model="our-gateway", settings=settings),))
    assert unpriced.totals.sent.usd is None
    priced = repriced(unpriced, PriceTable(), "deepseek-flash")
    assert close(priced.totals, recorded([2000, 500], expand_at=[1]).totals)


def test_prices_of_another_cache_rule_are_refused() -> None:
    ledger = Ledger((recorded([500]),))
    table = PriceTable((Tariff("gpt", START.date(), Price(0.1, 1, 4), caching="openai"),))
    with pytest.raises(ConfigError, match="the caching rule of conversation 'chat', deepseek; not openai"):
        repriced(ledger, table, "gpt")
    with pytest.raises(ConfigError, match="a model with a price"):
        repriced(ledger, table, "unheard-of")


def test_steps_in_folded_sums_have_no_dollars_at_other_prices() -> None:
    whole = recorded([500] * 4)
    folded = replace(whole, steps=())
    for step in whole.steps:
        folded = folded.add(step, 2)
    totals = repriced(Ledger((folded,)), other_prices(0.5)).totals
    assert totals.sent.usd is None
    assert totals.sent.unpriced == 3
    assert totals.sent.tokens == whole.totals.sent.tokens


def test_what_is_not_billed_at_list_price_stays_without_dollars_at_other_prices() -> None:
    conversation = recorded([500])
    special = replace(conversation, steps=(replace(conversation.steps[0], at_list_price=False), *conversation.steps[1:]))
    assert repriced(Ledger((special,)), PriceTable()).totals.billed.unpriced == 1


def arm(name: str, share: float, count: int, billed: bool = True) -> list[Conversation]:
    made = [
        recorded([2000 + 100 * n] * 4, share, settings=LedgerSettings(arm=name), name=f"{name}-{n}", scorer_ms=10.0 if share < 1 else 0.0)
        for n in range(count)
    ]
    return made if billed else [replace(one, steps=tuple(without_bill(step) for step in one.steps)) for one in made]


def without_bill(step: Step) -> Step:
    return replace(step, billed=Amount.of(None, None))


def test_arms_are_compared_by_the_mean_cost_of_a_conversation() -> None:
    arms = arms_of(Ledger(tuple(arm("on", 0.2, 3, billed=False) + arm("off", 1.0, 4, billed=False))))
    assert arms.basis == "simulated"
    off, on = arms.arms
    assert (off.name, off.conversations, off.totals.steps, off.steps_per_conversation) == ("off", 4, 20, 5)
    found = difference(arms, "on", "off")
    assert found is not None
    assert on.mean_usd is not None
    assert off.mean_usd is not None
    assert found.usd == pytest.approx(on.mean_usd - off.mean_usd)
    assert found.share == pytest.approx(found.usd / off.mean_usd)
    assert found.interval_usd is not None
    low, high = found.interval_usd
    assert low < found.usd < high < 0


def test_arms_go_by_what_was_billed_where_all_of_it_is_known() -> None:
    ledger = Ledger(tuple(arm("on", 0.2, 1) + arm("off", 1.0, 1)))
    arms = arms_of(ledger)
    assert arms.basis == "billed"
    billed = ledger.conversations[0].totals.billed.usd
    assert arms.arms[0].costs_usd == (billed,)
    found = difference(arms, "on", "off")
    assert found is not None
    assert found.interval_usd is None, "one conversation each says nothing about the spread"


def test_an_arm_with_an_unknown_cost_is_not_compared_and_an_absent_one_is_an_error() -> None:
    unknown = recorded([500], settings=LedgerSettings(arm="on"), model="unheard-of")
    arms = arms_of(Ledger((unknown, *arm("off", 1.0, 2))))
    assert difference(arms, "on", "off") is None
    with pytest.raises(ConfigError, match="one of 'off', 'on'"):
        difference(arms, "on", "other")


def test_an_empty_ledger_has_empty_sums() -> None:
    assert Ledger().totals == Totals()
    assert arms_of(Ledger()).arms == ()
    assert Totals().saved_share is None
    assert recorded([]).totals.steps == 1
    assert recorded([]).steps[0].at == at(0)
