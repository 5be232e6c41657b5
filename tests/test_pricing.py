"""Prices change at the minute the provider says, and what is unknown has no price."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest

from specprefill_agents import ConfigError
from specprefill_agents.accounting.pricing import TARIFFS, Price, Tariff, price_for

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
