"""Compression is skipped where measured speed and dated prices say that it does not pay, once for each text, and with the reason."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from specprefill_agents import ConfigError
from specprefill_agents.accounting.pricing import Price, PriceTable, Tariff
from specprefill_agents.guardrails import pay_guard
from specprefill_agents.guardrails.pay_guard import PayGuard
from specprefill_agents.guardrails.settings import BreakEvenSettings, Guardrails
from tests.ledgers import START

PEAK = START + timedelta(days=2, hours=-10)
"""Monday, 02:00 UTC, when DeepSeek charges twice as much."""
TABLE = PriceTable(
    (Tariff("dear", START.date(), Price(0.3, 3.0, 15.0)), Tariff("free", START.date(), Price(0.0, 0.0, 0.0)), *PriceTable().tariffs)
)


def guard(ms_per_1000: float | None = 100.0, **settings: Any) -> PayGuard:
    """One that has measured this speed of scoring."""
    made = PayGuard(Guardrails(id="g", version=1, break_even=BreakEvenSettings(**settings)), TABLE)
    if ms_per_1000 is not None:
        made.observe(2000, 2 * ms_per_1000, cached=False)
    return made


def reason(made: PayGuard, tokens: int = 1000, kept: int = 300, now: datetime = START) -> str:
    return made.why_not(tokens, kept, now, f"{tokens}-{kept}-{now}")


def test_where_nothing_is_configured_nothing_is_weighed() -> None:
    assert reason(guard(ms_per_1000=1e9)) == ""


def test_before_the_first_measurement_compression_goes_ahead() -> None:
    made = guard(None, model="deepseek-flash", machine_usd_per_hour=1000, target_prefill_tokens_per_s=1e9)
    assert made.ms_per_1000_tokens is None
    assert reason(made) == ""


def test_money_weighs_the_machine_against_the_tokens_left_out() -> None:
    # 700 tokens at $0.15 per 1M are $0.000105; 0.1 s at $3.60 an hour are $0.0001.
    assert reason(guard(model="deepseek-flash", machine_usd_per_hour=3.6)) == ""
    assert reason(guard(model="deepseek-flash", machine_usd_per_hour=3.9)) == "does not pay: saves $0.000105, costs $0.000108"


def test_later_requests_count_at_the_price_of_a_cached_token() -> None:
    assert reason(guard(model="deepseek-flash", machine_usd_per_hour=3.9, expected_requests=3)) == ""


def test_the_price_is_the_one_at_the_time() -> None:
    made = guard(model="deepseek-flash", machine_usd_per_hour=5)
    assert reason(made, now=START).startswith("does not pay")
    assert reason(made, now=PEAK) == ""


def test_a_model_without_a_price_says_nothing_about_money() -> None:
    assert reason(guard(model="unheard-of", machine_usd_per_hour=10_000)) == ""
    assert reason(guard(model="dear", machine_usd_per_hour=1), now=START - timedelta(days=1)) == "", "no tariff in force yet"


def test_a_free_target_pays_for_no_machine_but_may_gain_time() -> None:
    assert reason(guard(model="free", machine_usd_per_hour=1)).startswith("does not pay: saves $0.000000")
    assert reason(guard(model="free", target_prefill_tokens_per_s=5000)) == ""


def test_where_nothing_is_left_out_the_machine_is_paid_for_nothing() -> None:
    assert reason(guard(model="dear", machine_usd_per_hour=1), kept=1000).startswith("does not pay: saves $0.000000")
    assert reason(guard(model="dear", machine_usd_per_hour=1), kept=5000).startswith("does not pay: saves $0.000000")


def test_a_local_target_that_reads_as_fast_as_the_draft_gets_the_original() -> None:
    assert reason(guard(target_prefill_tokens_per_s=6900)) == ""
    assert reason(guard(target_prefill_tokens_per_s=10_000)) == "the target reads the 700 tokens left out in 70 ms, scoring takes 100 ms"
    assert reason(guard(target_prefill_tokens_per_s=7000)) != "", "level gains nothing"
    assert reason(guard(target_prefill_tokens_per_s=1), kept=1000) != "", "nothing is left out"


def test_either_of_money_and_time_can_forbid() -> None:
    settings: dict[str, Any] = {"model": "dear", "target_prefill_tokens_per_s": 10_000}
    assert reason(guard(**settings)).startswith("the target reads")
    assert reason(guard(**settings, machine_usd_per_hour=10_000)).startswith("does not pay")


def test_speed_is_the_median_of_what_was_measured_last() -> None:
    made = guard(None)
    for ms in (20_000.0, 90.0, 110.0, 100.0, 5000.0):
        made.observe(1000, ms, cached=False)
    assert made.ms_per_1000_tokens == 110
    for _ in range(pay_guard.MEASURED):
        made.observe(500, 20, cached=False)
    assert made.ms_per_1000_tokens == 40


@pytest.mark.parametrize(
    ("tokens", "ms", "cached"),
    [(1000, 5.0, True), (0, 5.0, False), (-5, 5.0, False), (1000, -1.0, False), (1000, float("nan"), False), (1000, float("inf"), False)],
)
def test_what_tells_nothing_of_speed_is_not_learnt_from(tokens: int, ms: float, cached: bool) -> None:
    made = guard()
    made.observe(tokens, ms, cached=cached)
    assert made.ms_per_1000_tokens == 100
    made = guard(None)
    made.observe(tokens, ms, cached=cached)
    assert made.ms_per_1000_tokens is None


@pytest.mark.parametrize("ms", [None, 100.0, 300.0])
def test_a_text_never_gets_two_answers(ms: float | None) -> None:
    made = guard(ms, target_prefill_tokens_per_s=5000)
    first = made.why_not(1000, 300, START, "text")
    assert (first == "") == (ms != 300.0)
    for measured in [10_000.0, 0.0]:
        for _ in range(pay_guard.MEASURED):
            made.observe(1000, measured, cached=False)
        assert made.why_not(1000, 300, START, "text") == first
        assert (made.why_not(1000, 300, START, f"text at {measured}") == "") == (measured == 0.0)


def test_the_texts_asked_for_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pay_guard, "REMEMBERED", 3)
    made = guard(None, target_prefill_tokens_per_s=5000)
    for key in "abc":
        assert made.why_not(1000, 300, START, key) == ""
    made.observe(1000, 10_000, cached=False)
    assert made.why_not(1000, 300, START, "a") == ""
    assert made.why_not(1000, 300, START, "d") != ""
    assert [made.why_not(1000, 300, START, key) == "" for key in "acb"] == [True, True, False]
    assert len(made._verdicts) == 3


def test_a_moment_without_a_time_zone_is_refused_where_money_is_asked() -> None:
    with pytest.raises(ConfigError, match="time zone"):
        reason(guard(model="dear"), now=START.replace(tzinfo=None))


def test_threads_that_measure_and_ask_get_one_answer_for_a_text() -> None:
    made = guard(None, target_prefill_tokens_per_s=5000)

    def ask(index: int) -> tuple[int, str]:
        made.observe(1000, float(index % 400), cached=False)
        return index % 10, made.why_not(1000, 300, START, str(index % 10))

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(ask, range(2000)))
    assert len(answers) == 10


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0.01, 1e4), st.floats(1, 1e5))
def test_it_pays_in_time_exactly_when_scoring_takes_less_than_it_saves(tokens: int, kept: int, ms: float, speed: float) -> None:
    made = guard(None, target_prefill_tokens_per_s=speed)
    made.observe(1000, ms, cached=False)
    takes, saves = ms * tokens / 1000, 1000 * max(0, tokens - kept) / speed
    assume(abs(takes - saves) > 1e-9 * takes)  # level but for rounding
    is_worth_it = takes < saves
    assert (made.why_not(tokens, kept, START, "k") == "") == is_worth_it
