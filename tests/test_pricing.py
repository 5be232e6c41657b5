"""Prices change at the minute the provider says, and what is unknown has no price."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents import ConfigError
from specprefill_agents.accounting.amounts import Tokens
from specprefill_agents.accounting.caching import RULES
from specprefill_agents.accounting.pricing import CACHE_FACTORS, TARIFFS, Price, PriceTable, Tariff, price_by_factors, price_for

MONDAY = datetime(2026, 11, 23, tzinfo=timezone.utc)
SATURDAY = MONDAY - timedelta(days=2)


@pytest.mark.parametrize(
    ("hour", "minute", "window"),
    [
        (0, 0, "off-peak"),
        (0, 59, "off-peak"),
        (1, 0, "peak"),
        (3, 59, "peak"),
        (4, 0, "off-peak"),
        (5, 59, "off-peak"),
        (6, 0, "peak"),
        (9, 59, "peak"),
        (10, 0, "off-peak"),
        (23, 59, "off-peak"),
    ],
)
def test_the_price_changes_at_the_minute(hour: int, minute: int, window: str) -> None:
    price = price_for("deepseek-flash", MONDAY.replace(hour=hour, minute=minute))
    assert price is not None
    assert price.window == window


@pytest.mark.parametrize(("day", "window"), [(0, "peak"), (4, "peak"), (5, "off-peak"), (6, "off-peak")])
def test_weekends_have_no_peak(day: int, window: str) -> None:
    price = price_for("deepseek-v4-pro", MONDAY.replace(hour=2) + timedelta(days=day))
    assert price is not None
    assert price.window == window


def test_another_time_zone_is_read_as_utc() -> None:
    beijing = timezone(timedelta(hours=8))
    assert price_for("deepseek-flash", datetime(2026, 11, 23, 9, 0, tzinfo=beijing)) == price_for("deepseek-flash", MONDAY.replace(hour=1))


@pytest.mark.parametrize(
    ("model", "at", "expected"),
    [
        ("deepseek-flash", SATURDAY, (0.003, 0.15, 0.60)),
        ("deepseek-flash", MONDAY.replace(hour=2), (0.006, 0.30, 1.20)),
        ("deepseek-v4-pro", SATURDAY, (0.022, 0.66, 1.98)),
        ("deepseek-v4-pro", MONDAY.replace(hour=2), (0.044, 1.32, 3.96)),
        ("deepseek-v4-flash", SATURDAY, (0.003, 0.15, 0.60)),
    ],
)
def test_prices_are_the_published_ones(model: str, at: datetime, expected: tuple[float, float, float]) -> None:
    price = price_for(model, at)
    assert price is not None
    assert (price.input_hit, price.input_miss, price.output) == expected


def test_an_unknown_model_has_no_price() -> None:
    assert price_for("some-other-model", MONDAY) is None


def test_before_its_first_tariff_a_model_has_no_price() -> None:
    first = datetime(2026, 8, 16, tzinfo=timezone.utc)
    assert price_for("deepseek-flash", first) is not None
    assert price_for("deepseek-flash", first - timedelta(minutes=1)) is None


def test_a_time_without_a_zone_is_an_error() -> None:
    with pytest.raises(ConfigError, match="time zone"):
        price_for("deepseek-flash", datetime(2026, 11, 23))


def test_own_prices_win_over_shipped_ones_of_the_same_day() -> None:
    mine = Tariff("deepseek-flash", date(2026, 8, 16), Price(1, 2, 3))
    assert price_for("deepseek-flash", MONDAY, [mine, *TARIFFS]) == Price(1, 2, 3)


def test_the_newest_tariff_in_force_holds() -> None:
    later = Tariff("deepseek-flash", date(2026, 12, 1), Price(1, 2, 3))
    assert price_for("deepseek-flash", MONDAY, [*TARIFFS, later]) == price_for("deepseek-flash", MONDAY)
    assert price_for("deepseek-flash", MONDAY + timedelta(days=30), [*TARIFFS, later]) == Price(1, 2, 3)


def test_holidays_have_no_peak() -> None:
    tariff = Tariff("m", date(2026, 1, 1), Price(1, 1, 1), Price(2, 2, 2, "peak"), TARIFFS[0].peak_hours, frozenset({MONDAY.date()}))
    assert price_for("m", MONDAY.replace(hour=2), [tariff]) == Price(1, 1, 1)


def test_cost_adds_hits_misses_and_output() -> None:
    assert Price(0.003, 0.15, 0.60).cost_usd(1_000_000, 2_000_000, 500_000) == pytest.approx(0.003 + 0.30 + 0.30)


def test_written_input_costs_what_writing_costs() -> None:
    price = price_by_factors("anthropic", 3.0, 15.0)
    million = 1_000_000
    assert price.usd_of(Tokens(million, million, million, million, 0, million)) == pytest.approx(0.3 + 3.0 + 3.75 + 6.0 + 15.0)


def test_writing_without_a_price_of_its_own_costs_as_other_input() -> None:
    assert Price(0.1, 1.0, 4.0).usd_of(Tokens(write_tokens=500_000, long_write_tokens=500_000)) == pytest.approx(1.0)


def test_input_of_which_the_hits_are_unknown_has_no_cost_unless_all_input_costs_the_same() -> None:
    unknown = Tokens(unsplit_tokens=1_000_000)
    assert Price(0.1, 1.0, 4.0).usd_of(unknown) is None
    assert Price(1.0, 1.0, 4.0).usd_of(unknown) == pytest.approx(1.0)
    assert Price(1.0, 1.0, 4.0, input_write=1.25).usd_of(unknown) is None


@given(st.lists(st.integers(0, 10**7), min_size=6, max_size=6), st.integers(0, 5), st.integers(0, 10**6))
def test_more_tokens_never_cost_less(counts: list[int], which: int, more: int) -> None:
    counts[4] = 0
    price = price_by_factors("anthropic", 3.0, 15.0)
    grown = [count + (more if index == which != 4 else 0) for index, count in enumerate(counts)]
    one, other = (price.usd_of(Tokens(*values)) for values in (counts, grown))
    assert one is not None
    assert other is not None
    assert other >= one


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_hit_never_costs_more_than_a_miss(hit: int, rest: int) -> None:
    for tariff in TARIFFS:
        for price in filter(None, (tariff.off_peak, tariff.peak)):
            assert price.cost_usd(hit, rest, 0) <= price.cost_usd(0, hit + rest, 0)


def test_factors_exist_only_for_providers_that_state_them() -> None:
    assert price_by_factors("openai", 2.0, 8.0) == Price(0.2, 2.0, 8.0)
    with pytest.raises(ConfigError, match="openai, anthropic, anthropic-1h"):
        price_by_factors("deepseek", 1.0, 1.0)


def test_a_table_finds_a_model_under_its_other_names_and_prefers_its_own() -> None:
    own = Tariff("deepseek-v4-flash", date(2026, 8, 16), Price(9, 9, 9))
    assert PriceTable().price("deepseek-v4-flash", SATURDAY) == PriceTable().price("deepseek-flash", SATURDAY)
    assert PriceTable((own, *TARIFFS)).price("deepseek-v4-flash", SATURDAY) == Price(9, 9, 9)
    assert PriceTable().caching("deepseek-v4-flash") == "deepseek"
    assert PriceTable(aliases={}).price("deepseek-v4-flash", SATURDAY) is None
    assert "deepseek-v4-flash" in PriceTable().models


def test_every_shipped_tariff_says_where_it_is_from_and_which_cache_rule_holds() -> None:
    for tariff in TARIFFS:
        assert tariff.source
        assert tariff.caching in RULES
    assert set(CACHE_FACTORS) <= set(RULES)
