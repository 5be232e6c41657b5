"""A recorder accounts for a conversation as it happens: what was billed, what it would have been, and what speaks against us."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given

from specprefill_agents import ConfigError
from specprefill_agents.accounting.amounts import Tokens
from specprefill_agents.accounting.expansions import made_by_expanding, without_expansions
from specprefill_agents.accounting.ledger import Ledger
from specprefill_agents.accounting.ledger_file import LedgerFile, read_ledger, write_ledger
from specprefill_agents.accounting.pricing import Price, PriceTable, Tariff
from specprefill_agents.accounting.recording import LATE, NO_PRICE, Exchange, LedgerSettings, Recorder
from specprefill_agents.accounting.tokens import FunctionCounter
from specprefill_agents.accounting.usage import CONTRADICTION, NO_USAGE
from specprefill_agents.accounting.wire import Part, message_part
from tests.ledgers import CHARS, HEAD, HISTORIES, SEEDS, START, asks, at, deepseek_usage, recorded, result

DONE = message_part("assistant", "done")


def recorder(**settings: Any) -> Recorder:
    return Recorder("chat", "deepseek-flash", CHARS, LedgerSettings(**settings))


@given(HISTORIES)
def test_uncompressed_is_simulated_exactly_as_sent_is(requests: list[list[Part]]) -> None:
    one = recorder()
    for number, parts in enumerate(requests):
        step = one.record(Exchange(parts, parts, asks(number + 100)), at(number))
        assert step.sent == step.plain
        assert step.sent.tokens.input_tokens == sum(len(part.wire) for part in parts)
        assert step.number == number + 1


@pytest.mark.parametrize("model", ["deepseek-flash", "deepseek-v4-pro"])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 1.0])
def test_compressing_at_entry_is_never_dearer_at_any_step_count(model: str, share: float) -> None:
    conversation = recorded([1500, 0, 4000, 20, 2500, 800], share, model=model)
    spent = saved = 0.0
    for step in conversation.steps:
        assert step.sent.usd is not None
        assert step.plain.usd is not None
        spent, saved = spent + step.sent.usd, saved + step.plain.usd - step.sent.usd
        assert saved >= -1e-12
        assert step.moved is None
    assert (saved > 1e-9) == (share < 1)


@given(SEEDS)
def test_keeping_more_never_costs_less(seed: int) -> None:
    source = Random(seed)
    sizes = [source.randrange(4000) for _ in range(5)]
    less, more = sorted((source.random(), source.random()))
    costs = [recorded(sizes, share).totals.sent.known_usd for share in (less, more, 1.0)]
    assert costs == sorted(costs)


def test_the_bill_is_read_and_priced_at_its_own_time() -> None:
    one = recorder()
    usage = deepseek_usage(900, 100, 25)
    quiet = one.record(Exchange(HEAD, HEAD, asks(1), usage), START)
    peak = one.record(Exchange(HEAD, HEAD, asks(1), usage), START.replace(day=23, hour=2))
    assert quiet.billed.tokens == Tokens(900, 100, output_tokens=25)
    assert quiet.billed.usd == pytest.approx((900 * 0.003 + 100 * 0.15 + 25 * 0.60) / 1e6)
    assert peak.billed.usd == pytest.approx(2 * (quiet.billed.usd or 0))


def test_output_is_what_was_billed_since_reasoning_is_not_in_the_text() -> None:
    step = recorder().record(Exchange(HEAD, HEAD, DONE, deepseek_usage(0, 100, 5000)), START)
    assert step.sent.tokens.output_tokens == step.plain.tokens.output_tokens == 5000
    counted = recorder().record(Exchange(HEAD, HEAD, DONE), START)
    assert counted.sent.tokens.output_tokens == len(DONE.wire)


@pytest.mark.parametrize(
    ("usage", "flag", "unread"),
    [(None, NO_USAGE, 1), ({**deepseek_usage(900, 100, 5), "prompt_tokens": 1200, "total_tokens": None}, CONTRADICTION, 0)],
)
def test_a_bill_that_is_missing_or_contradictory_is_flagged_and_has_no_dollars(usage: object, flag: str, unread: int) -> None:
    step = recorder().record(Exchange(HEAD, HEAD, asks(1), usage), START)
    assert step.flags == (flag,)
    assert step.billed.usd is None
    assert step.billed.unread == unread
    assert step.sent.usd is not None


def test_a_bill_in_another_tier_has_tokens_and_no_dollars() -> None:
    usage = {**deepseek_usage(900, 100, 25), "service_tier": "priority"}
    step = recorder().record(Exchange(HEAD, HEAD, asks(1), usage), START)
    assert step.billed.tokens.hit_tokens == 900
    assert step.billed.usd is None
    assert not step.at_list_price


def test_a_model_without_a_price_is_counted_all_the_same() -> None:
    one = Recorder("chat", "unheard-of", CHARS)
    step = one.record(Exchange(HEAD, HEAD, asks(1), deepseek_usage(0, 100, 5)), START)
    assert step.flags == (NO_PRICE,)
    assert step.sent.usd is step.plain.usd is step.billed.usd is None
    assert step.sent.tokens.miss_tokens == sum(len(part.wire) for part in HEAD)
    assert one.conversation is not None
    assert one.conversation.rule == "none"


def test_a_model_of_ones_own_brings_its_price_and_its_cache_rule() -> None:
    table = PriceTable((Tariff("ours", START.date(), Price(0.1, 1.0, 4.0), caching="openai"),))
    one = Recorder("chat", "ours", CHARS, LedgerSettings(table))
    parts = [*HEAD, asks(1), result(1, 2000)]
    one.record(Exchange(parts, parts, asks(2)), START)
    step = one.record(Exchange(parts, parts, asks(2)), START)
    assert step.sent.tokens.hit_tokens == sum(len(part.wire) for part in parts) // 128 * 128


def test_calls_to_expand_count_against_us_with_their_output_and_the_extra_step() -> None:
    without, with_expand = recorded([2000, 3000]), recorded([2000, 700, 3000], expand_at=[1])
    expanding, extra = with_expand.steps[1], with_expand.steps[2]
    assert (expanding.expand_calls, expanding.is_extra, extra.is_extra) == (1, False, True)
    assert expanding.plain.tokens.output_tokens == 0, "uncompressed, the answer would have been the next one"
    assert extra.plain.requests == 0
    assert extra.plain.tokens == Tokens(output_tokens=25)
    assert expanding.extra.tokens == Tokens(output_tokens=25)
    assert extra.extra.tokens == replace(extra.sent.tokens, output_tokens=0)
    totals = with_expand.totals
    assert (totals.expand_calls, totals.extra_steps, totals.plain.requests) == (1, 1, 3)
    plain_calls = [step.plain.tokens.input_tokens for step in with_expand.steps if step.plain.requests]
    assert plain_calls == [step.plain.tokens.input_tokens for step in without.steps]
    assert totals.plain.known_usd == pytest.approx(without.totals.plain.known_usd)
    assert (totals.saved_usd or 0) < (without.totals.saved_usd or 0)


def test_a_call_to_expand_among_others_costs_its_output_and_what_it_brings_back() -> None:
    one = recorder()
    calls = [{"id": "a", "name": "grep", "args": {"p": "x"}}, {"id": "b", "name": "expand", "args": {"id": "sp-1"}}]
    answer = message_part("assistant", "", calls)
    first = one.record(Exchange(HEAD, HEAD, answer, deepseek_usage(0, 100, 200)), START)
    call_text = 'expand {"id": "sp-1"}'
    assert first.extra.tokens == Tokens(output_tokens=len(call_text))
    assert first.plain.tokens.output_tokens == 200 - len(call_text)
    parts = [*HEAD, answer, message_part("tool", "found", tool_call_id="a"), message_part("tool", "whole text", tool_call_id="b")]
    second = one.record(Exchange(parts, parts, DONE), at(1))
    assert not second.is_extra
    plain = [*HEAD, message_part("assistant", "", calls[:1]), message_part("tool", "found", tool_call_id="a")]
    assert second.plain.tokens.input_tokens == sum(len(part.wire) for part in plain)


def test_only_a_request_that_hands_over_expansions_alone_is_extra() -> None:
    expanding = [*HEAD, asks(1, "expand"), result(1, 50)]
    assert made_by_expanding(expanding, "expand")
    assert not made_by_expanding([*expanding, message_part("user", "go on")], "expand")
    assert not made_by_expanding([*HEAD, asks(1), result(1, 50)], "expand")
    assert not made_by_expanding(HEAD, "expand")
    assert not made_by_expanding([], "expand")
    assert without_expansions(expanding, "expand") == list(HEAD)
    assert without_expansions(expanding, "other") == expanding


def test_a_prefix_that_moved_is_recorded_with_its_cause() -> None:
    one = recorder()
    parts = [*HEAD, asks(1), result(1, 500)]
    assert one.record(Exchange(parts, parts, asks(2)), START).moved is None
    edited = [*HEAD, asks(1), result(1, 400), asks(2), result(2, 500)]
    step = one.record(Exchange(edited, parts, asks(3)), at(1))
    assert step.moved is not None
    assert (step.moved.cause, step.moved.tool_call_id) == ("content", "call-1")


def test_a_conversation_that_began_before_its_ledger_is_flagged_once() -> None:
    one = recorder()
    parts = [*HEAD, asks(1), result(1, 500)]
    assert one.record(Exchange(parts, parts, asks(2), deepseek_usage(900, 100, 5)), START).flags == (LATE,)
    assert one.record(Exchange(parts, parts, asks(2), deepseek_usage(900, 100, 5)), at(1)).flags == ()


def test_long_conversations_keep_their_sums_and_their_last_steps() -> None:
    whole = recorded([100] * 30)
    short = recorded([100] * 30, settings=LedgerSettings(max_steps=5))
    assert [step.number for step in short.steps] == [27, 28, 29, 30, 31]
    assert short.folded.steps == 26
    assert short.totals.sent.tokens == whole.totals.sent.tokens
    assert short.totals.sent.known_usd == pytest.approx(whole.totals.sent.known_usd)


@given(HISTORIES, SEEDS)
def test_a_recorder_read_back_goes_on_as_if_nothing_had_happened(requests: list[list[Part]], seed: int) -> None:
    one, stop = recorder(machine_usd_per_hour=0.5), seed % len(requests)
    for number, parts in enumerate(requests[:stop]):
        one.record(Exchange(parts, parts, asks(number), deepseek_usage(10, 20, 5), 3.5), at(number))
    other = Recorder.from_dict(json.loads(json.dumps(one.to_dict())), CHARS, LedgerSettings(machine_usd_per_hour=0.5))
    for number, parts in enumerate(requests[stop:], stop):
        steps = [each.record(Exchange(parts, parts, asks(number), deepseek_usage(10, 20, 5), 3.5), at(number)) for each in (one, other)]
        assert replace(steps[0], moved=None) == replace(steps[1], moved=None)
        assert (steps[0].moved is None) == (steps[1].moved is None)
    assert (one.conversation and one.conversation.totals) == (other.conversation and other.conversation.totals)


def test_a_small_checkpoint_has_the_same_sums() -> None:
    one = recorder()
    for number in range(20):
        one.record(Exchange(HEAD, HEAD, asks(number), deepseek_usage(10, 20, 5)), at(number))
    small = Recorder.from_dict(one.to_dict(max_steps=2), CHARS)
    assert one.conversation is not None
    assert small.conversation is not None
    assert len(small.conversation.steps) == 2
    assert small.conversation.totals.billed.tokens == one.conversation.totals.billed.tokens
    assert small.record(Exchange(HEAD, HEAD, asks(1)), at(20)).number == 21


@pytest.mark.parametrize(
    ("change", "field"),
    [({"version": 7}, "version"), ({"sent": None}, "sent"), ({"model": "unheard-of"}, "entries"), ({"conversation": {"id": 4}}, "id")],
)
def test_a_stored_recorder_of_another_kind_is_refused(change: dict[str, object], field: str) -> None:
    one = recorder()
    one.record(Exchange(HEAD, HEAD, DONE), START)
    with pytest.raises(ConfigError) as error:
        Recorder.from_dict({**one.to_dict(), **change}, CHARS)
    assert error.value.field == field


def test_a_recorder_of_another_tokenizer_is_refused() -> None:
    with pytest.raises(ConfigError, match="the tokenizer that this tracker counts with"):
        Recorder.from_dict(recorder().to_dict(), FunctionCounter("words", lambda text: len(text.split())))


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"caching": "google"}, "caching"),
        ({"machine_usd_per_hour": -1}, "machine_usd_per_hour"),
        ({"machine_usd_per_hour": float("nan")}, "machine_usd_per_hour"),
        ({"machine_usd_per_hour": "1"}, "machine_usd_per_hour"),
        ({"max_steps": 0}, "max_steps"),
        ({"max_steps": True}, "max_steps"),
    ],
)
def test_impossible_settings_are_refused_by_name(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as error:
        LedgerSettings(**settings)
    assert error.value.field == field


def test_a_time_without_a_zone_is_an_error_and_leaves_no_step() -> None:
    one = recorder()
    with pytest.raises(ConfigError, match="time zone"):
        one.record(Exchange(HEAD, HEAD, DONE), START.replace(tzinfo=None))
    assert one.conversation is None


def test_a_clock_that_jumps_breaks_nothing() -> None:
    one = recorder(caching="anthropic")
    for seconds in (0, -90_000, 1e7, -1e7, 0):
        step = one.record(Exchange(HEAD, HEAD, DONE), START + timedelta(seconds=seconds))
        assert step.sent.tokens.input_tokens == sum(len(part.wire) for part in HEAD)
    assert one.conversation is not None
    assert [step.number for step in one.conversation.steps] == [1, 2, 3, 4, 5]


def test_threads_lose_no_step() -> None:
    one = recorder()
    threads = [
        threading.Thread(target=lambda: [one.record(Exchange(HEAD, HEAD, DONE), START) for _ in range(25)], daemon=True) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert one.conversation is not None
    assert [step.number for step in one.conversation.steps] == list(range(1, 101))


def test_a_file_grows_by_a_line_per_step_and_reads_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    file = LedgerFile(path)
    conversations = []
    for name in ("a", "b"):
        one = Recorder(name, "deepseek-flash", CHARS, on_step=file.append)
        for number in range(3):
            one.record(Exchange(HEAD, HEAD, DONE, deepseek_usage(5, 6, 7)), at(number))
        conversations.append(one.conversation)
    assert len(path.read_text(encoding="ascii").splitlines()) == 6
    found = read_ledger(path)
    assert found.ledger == Ledger(tuple(one for one in conversations if one))
    assert found.unreadable_lines == 0
    write_ledger(found.ledger, tmp_path / "ledger.json")
    assert read_ledger(tmp_path / "ledger.json").ledger == found.ledger


@given(SEEDS)
def test_a_line_that_a_crash_cut_short_costs_that_step_and_no_other(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "ledger.jsonl"
    one = Recorder("chat", "deepseek-flash", CHARS, on_step=LedgerFile(path).append)
    for number in range(3):
        one.record(Exchange(HEAD, HEAD, DONE), at(number))
    data = path.read_bytes()
    last = data.rstrip(b"\n").rfind(b"\n") + 1
    path.write_bytes(data[: last + 1 + seed % (len(data) - last - 2)])
    one.record(Exchange(HEAD, HEAD, DONE), at(4))
    found = read_ledger(path)
    assert [step.number for step in found.ledger.conversations[0].steps] == [1, 2, 4]
    assert found.unreadable_lines == 1


def test_a_line_of_a_later_version_is_refused_and_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"version": 2, "conversation": {}, "step": {}}\n', encoding="ascii")
    with pytest.raises(ConfigError, match="version=2"):
        read_ledger(path)
    path.write_bytes(b"\x00\xff not a ledger")
    with pytest.raises(ConfigError, match="a ledger: JSON, or JSON lines"):
        read_ledger(path)
    path.write_bytes(b"")
    assert read_ledger(path).ledger == Ledger()


def test_contradictory_lines_of_one_step_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    conversation = recorded([500])
    file = LedgerFile(path)
    for step in (*conversation.steps, replace(conversation.steps[0], scorer_ms=9.0)):
        file.append(conversation, step)
    with pytest.raises(ConfigError, match=r"chat.steps=1"):
        read_ledger(path)


def test_a_file_that_cannot_be_written_stops_no_agent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = Recorder("chat", "deepseek-flash", CHARS, on_step=LedgerFile(tmp_path).append)
    with caplog.at_level(logging.WARNING):
        step = one.record(Exchange(HEAD, HEAD, DONE), START)
    assert step.number == 1
    assert "ledger record lost" in caplog.text
