"""Each provider's cache rule hits what it says it hits; all input is billed one way and one way only."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given

from specprefill_agents import ConfigError
from specprefill_agents.accounting.amounts import Tokens
from specprefill_agents.accounting.cache_entries import CacheEntries
from specprefill_agents.accounting.caching import ANTHROPIC, ANTHROPIC_1H, DEEPSEEK, NONE, OPENAI, RULES, CacheRule, rule_named
from specprefill_agents.accounting.pricing import Price, price_by_factors, price_for
from specprefill_agents.accounting.tracking import PrefixReport, PrefixTracker
from specprefill_agents.accounting.wire import Measurer, Part, message_part, tools_part
from tests.ledgers import CHARS, GROWING, HEAD, HISTORIES, SEEDS, START, asks, at, result

ALL = tuple(RULES.values())


def tracker(*rules: CacheRule, entries: dict[str, CacheEntries] | None = None) -> PrefixTracker:
    return PrefixTracker(Measurer(CHARS), rules or ALL, entries)


def raw(text: str) -> Part:
    """A part of exactly so many characters."""
    return Part(text, "system")


def hits(found: PrefixReport, rule: CacheRule) -> int:
    return found.use(rule.name).tokens.hit_tokens


@given(HISTORIES)
def test_every_input_token_is_billed_exactly_once_under_every_rule(requests: list[list[Part]]) -> None:
    watched = tracker()
    for number, parts in enumerate(requests):
        found = watched.request(parts, at(number))
        assert found.tokens == sum(len(part.wire) for part in parts)
        for use in found.uses:
            assert use.tokens.input_tokens == found.tokens
            assert min(use.tokens.hit_tokens, use.tokens.miss_tokens, use.tokens.write_tokens, use.tokens.long_write_tokens) >= 0
        watched.answer(asks(number))


@given(GROWING)
def test_a_conversation_that_only_grows_never_loses_its_prefix(requests: list[list[Part]]) -> None:
    watched = tracker()
    before = 0
    for number, parts in enumerate(requests):
        found = watched.request(parts, at(number))
        assert found.extends_previous
        assert found.common_tokens == found.previous_tokens == before
        assert found.common_bytes == found.previous_bytes
        assert hits(found, DEEPSEEK) >= before
        assert hits(found, OPENAI) >= (before // 128 * 128 if before >= 1024 else 0)
        assert hits(found, ANTHROPIC) == (before if before >= 1024 else 0)
        assert hits(found, NONE) == 0
        before = found.tokens


@given(HISTORIES)
def test_what_was_not_sent_before_is_never_a_hit(requests: list[list[Part]]) -> None:
    """The longest beginning shared with any earlier request, answers included, is the most that can be in a cache."""
    watched = tracker()
    earlier: list[list[str]] = []
    for number, parts in enumerate(requests):
        found = watched.request(parts, at(number))
        texts = [part.wire for part in parts]
        best = max((_shared(texts, other) for other in earlier), default=0)
        assert max(use.tokens.hit_tokens for use in found.uses) <= best
        answer = asks(number)
        watched.answer(answer)
        earlier.append([*texts, answer.wire])


def _shared(texts: list[str], other: list[str]) -> int:
    total = 0
    for one, two in zip(texts, other, strict=False):
        common = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
        total += common
        if common < max(len(one), len(two)):
            break
    return total


def test_openai_hits_whole_steps_from_its_minimum_on() -> None:
    watched = tracker(OPENAI)
    watched.request([raw("a" * 1023)], START)
    assert hits(watched.request([raw("a" * 1023), raw("b")], START), OPENAI) == 0, "one token short of the minimum"
    assert hits(watched.request([raw("a" * 1023), raw("b"), raw("c" * 200)], START), OPENAI) == 1024
    assert hits(watched.request([raw("a" * 1023), raw("b"), raw("c" * 200), raw("d")], START), OPENAI) == 1152, "1,224 in steps of 128"


def test_openai_hits_inside_a_part_that_changed() -> None:
    watched = tracker(OPENAI)
    watched.request([raw("a" * 1000), raw("b" * 5000 + "c")], START)
    found = watched.request([raw("a" * 1000), raw("b" * 5000 + "d")], START)
    assert not found.extends_previous
    assert hits(found, OPENAI) == (1000 + 19 * 256 - 1) // 128 * 128


def test_deepseek_does_not_hit_inside_a_unit() -> None:
    watched = tracker(DEEPSEEK)
    watched.request([raw("a" * 1000), raw("b" * 5000 + "c")], START)
    assert hits(watched.request([raw("a" * 1000), raw("b" * 5000 + "d")], START), DEEPSEEK) == 0
    assert hits(watched.request([raw("a" * 1000), raw("e")], START), DEEPSEEK) == 1000, "the shared beginning was detected"


def test_anthropic_reads_up_to_a_breakpoint_and_writes_up_to_the_next() -> None:
    watched = tracker(ANTHROPIC, ANTHROPIC_1H)
    head = [raw("t" * 900), message_part("user", "u" * 600)]
    first = watched.request(head, START)
    total = first.tokens
    assert first.use("anthropic").tokens == Tokens(write_tokens=total)
    assert first.use("anthropic-1h").tokens == Tokens(long_write_tokens=total)
    second = watched.request([*head, asks(1), result(1, 500)], START)
    assert second.use("anthropic").tokens == Tokens(hit_tokens=total, write_tokens=second.tokens - total)


def test_anthropic_keeps_tools_and_system_when_a_message_changes() -> None:
    watched = tracker(ANTHROPIC)
    tools, system = tools_part([{"name": "t" * 1200}]), message_part("system", "s" * 300)
    watched.request([tools, system, message_part("user", "one")], START)
    found = watched.request([tools, system, message_part("user", "two")], START)
    assert hits(found, ANTHROPIC) == len(tools.wire) + len(system.wire)
    other = watched.request([tools, message_part("system", "another"), message_part("user", "two")], START)
    assert hits(other, ANTHROPIC) == len(tools.wire), "a changed system prompt leaves the tools"


def test_anthropic_stores_nothing_below_its_minimum() -> None:
    watched = tracker(ANTHROPIC)
    watched.request([raw("a" * 1023)], START)
    assert watched.request([raw("a" * 1023)], START).use("anthropic").tokens == Tokens(miss_tokens=1023)


def test_anthropic_looks_back_only_so_far() -> None:
    for appended, is_found in ((19, True), (20, False)):
        watched = tracker(ANTHROPIC)
        first = [message_part("user", "a" * 2000)]
        watched.request(first, START)
        found = watched.request([*first, *(result(number, 10) for number in range(appended))], START)
        assert bool(hits(found, ANTHROPIC)) == is_found


@pytest.mark.parametrize(("rule", "seconds", "is_alive"), [(ANTHROPIC, 300, True), (ANTHROPIC, 301, False), (ANTHROPIC_1H, 3601, False)])
def test_an_entry_lives_as_long_as_the_provider_says(rule: CacheRule, seconds: int, is_alive: bool) -> None:
    watched = tracker(rule)
    parts = [raw("a" * 2000)]
    watched.request(parts, START)
    use = watched.request(parts, START + timedelta(seconds=seconds)).use(rule.name)
    assert (use.tokens.hit_tokens, use.lapsed_tokens) == ((2000, 0) if is_alive else (0, 2000))


def test_every_use_gives_an_entry_its_time_again() -> None:
    watched = tracker(ANTHROPIC)
    for minute in range(0, 40, 4):
        found = watched.request([raw("a" * 2000)], at(minute))
        assert bool(hits(found, ANTHROPIC)) == (minute > 0)


def test_a_lifetime_of_ones_own_is_one_replaced_field() -> None:
    short = replace(OPENAI, lifetime_s=60.0)
    watched = tracker(short)
    watched.request([raw("a" * 2000)], START)
    assert hits(watched.request([raw("a" * 2000)], at(2)), short) == 0


def test_a_clock_that_jumps_back_stands_still() -> None:
    watched = tracker(ANTHROPIC)
    parts = [raw("a" * 2000)]
    watched.request(parts, at(60))
    assert hits(watched.request(parts, at(0)), ANTHROPIC) == 2000
    assert hits(watched.request(parts, at(4)), ANTHROPIC) == 2000
    assert hits(watched.request(parts, at(10)), ANTHROPIC) == 0, "six minutes later by the clock that jumped"


def test_a_clock_that_jumped_back_gives_no_entry_a_longer_life() -> None:
    watched = tracker(ANTHROPIC)
    idle, used = [raw("a" * 2000)], [raw("b" * 2000)]
    for parts, minute in ((idle, 60), (used, 0), (used, 4)):
        watched.request(parts, at(minute))
    use = watched.request(idle, at(6)).use("anthropic")
    assert (use.tokens.hit_tokens, use.lapsed_tokens) == (0, 2000)


@given(HISTORIES, SEEDS)
def test_no_clock_breaks_the_accounting(requests: list[list[Part]], seed: int) -> None:
    source, watched = Random(seed), tracker()
    for parts in requests:
        found = watched.request(parts, START + timedelta(seconds=source.uniform(-1e8, 1e8)))
        assert all(use.tokens.input_tokens == found.tokens for use in found.uses)


def test_a_time_without_a_zone_is_an_error() -> None:
    with pytest.raises(ConfigError, match="time zone"):
        tracker().request(list(HEAD), START.replace(tzinfo=None))


def test_how_long_a_conversation_was_idle_is_known() -> None:
    watched = tracker()
    assert watched.idle_s(START) is None
    watched.request(list(HEAD), START)
    assert watched.idle_s(at(5)) == 300
    assert watched.idle_s(at(-5)) == 0


def test_conversations_of_one_account_share_what_is_cached() -> None:
    account = {"anthropic": CacheEntries(300.0)}
    parts = [raw("a" * 2000)]
    first, second, stranger = (tracker(ANTHROPIC, entries=shared) for shared in (account, account, None))
    first.request(parts, START)
    assert hits(second.request(parts, START), ANTHROPIC) == 2000
    assert hits(stranger.request(parts, START), ANTHROPIC) == 0


def test_memory_is_bounded_and_what_is_forgotten_is_a_miss() -> None:
    entries = CacheEntries(limit=40)
    watched = tracker(DEEPSEEK, entries={"deepseek": entries})
    for number in range(50):
        watched.request([raw(f"start {number} " * 200)], START)
    assert len(entries) <= 40
    assert hits(watched.request([raw("start 0 " * 200)], START), DEEPSEEK) == 0
    assert hits(watched.request([raw("start 49 " * 200)], START), DEEPSEEK) == 1800


@given(HISTORIES, SEEDS)
def test_a_tracker_read_back_goes_on_as_if_nothing_had_happened(requests: list[list[Part]], seed: int) -> None:
    watched, stop = tracker(), seed % len(requests)
    for number, parts in enumerate(requests[:stop]):
        watched.request(parts, at(number))
    restarted = PrefixTracker.from_dict(json.loads(json.dumps(watched.to_dict())), Measurer(CHARS), ALL)
    for number, parts in enumerate(requests[stop:], stop):
        one, other = (each.request(parts, at(number)) for each in (watched, restarted))
        assert (one.uses, one.common_tokens, one.previous_bytes) == (other.uses, other.common_tokens, other.previous_bytes)
        assert (one.moved and one.moved.cause) == (other.moved and other.moved.cause)


def test_a_stored_tracker_holds_no_text() -> None:
    watched = tracker()
    watched.request([message_part("user", "a secret of ours")], START)
    assert "secret" not in json.dumps(watched.to_dict())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"version": 2}, "version"),
        ({"counter": "other"}, "counter"),
        ({"entries": {}}, "entries"),
        ({"entries": 5}, "entries"),
        ({"previous": [{"link": "x"}]}, "previous"),
        ({"previous": None}, "previous"),
    ],
)
def test_a_stored_tracker_of_another_kind_is_refused(change: dict[str, object], field: str) -> None:
    data = {**tracker().to_dict(), **change}
    with pytest.raises(ConfigError) as error:
        PrefixTracker.from_dict(data, Measurer(CHARS), ALL)
    assert error.value.field == field


@pytest.mark.parametrize("change", [{"version": 9}, {"ages": []}, {"ages": {"a": "x"}}, {"last": "noon"}])
def test_stored_entries_that_are_damaged_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        CacheEntries.from_dict({**CacheEntries().to_dict(), **change})


def test_an_unknown_rule_is_an_error_that_lists_the_known_ones() -> None:
    assert rule_named("openai") is OPENAI
    with pytest.raises(ConfigError, match="deepseek, openai, anthropic, anthropic-1h, none"):
        rule_named("gemini")


FLASH, PRO = price_for("deepseek-flash", START), price_for("deepseek-v4-pro", START)


@pytest.mark.parametrize(
    ("rule", "price", "steps", "size", "at_entry"),
    [
        (DEEPSEEK, FLASH, 30, 2000, -0.29),
        (DEEPSEEK, PRO, 30, 2000, -0.32),
        (ANTHROPIC, price_by_factors("anthropic", 3.0, 15.0), 30, 2000, -0.32),
        (DEEPSEEK, FLASH, 30, 8000, -0.42),
        (DEEPSEEK, FLASH, 100, 2000, -0.34),
    ],
)
def test_compressing_at_entry_saves_what_the_arithmetic_says(rule: CacheRule, price: Price, steps: int, size: int, at_entry: float) -> None:
    """A prefix of 4,000 tokens; each step adds an assistant turn of 300 and one tool result, halved when it enters."""
    assert toy(rule, price, steps, size // 2) / toy(rule, price, steps, size) - 1 == pytest.approx(at_entry, abs=0.006)


def test_rewriting_all_results_at_each_step_costs_what_the_arithmetic_says() -> None:
    assert FLASH
    dearer = toy(DEEPSEEK, FLASH, 30, 1000, rewrites=True) / toy(DEEPSEEK, FLASH, 30, 2000) - 1
    assert dearer == pytest.approx(3.70, abs=0.01)


def toy(rule: CacheRule, price: Price, steps: int, size: int, *, rewrites: bool = False) -> float:
    watched, total = tracker(rule), Tokens()
    for step in range(steps):
        parts = [raw("s" * 4000)]
        for number in range(step):
            text = f"{number} {step if rewrites else 0} ".ljust(size, "x")
            parts += [raw(f"{number} ".ljust(300, "a")), raw(text)]
        total += watched.request(parts, at(step / 60)).use(rule.name).tokens + Tokens(output_tokens=300)
    usd = price.usd_of(total)
    assert usd is not None
    return usd
