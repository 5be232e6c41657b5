"""Own prices are checked before any is used: every mistake is named with its place, its value and what is allowed."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timezone
from pathlib import Path
from typing import Any

import pytest

from specprefill_agents import ConfigError
from specprefill_agents.accounting import price_file
from specprefill_agents.accounting.price_file import load_prices, prices_from
from specprefill_agents.accounting.pricing import Price

MONDAY = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
ROW: dict[str, Any] = {"model": "m", "since": "2026-11-01", "input_hit": 0.1, "input_miss": 1.0, "output": 4.0}
TOML = """
[aliases]
"team-large" = "claude-of-ours"

[[tariffs]]
model = "claude-of-ours"
since = 2026-11-01
caching = "anthropic"
input_miss = 3.0
output = 15.0
source = "price list of November"

[[tariffs]]
model = "deepseek-flash"
since = 2026-08-16
caching = "deepseek"
input_hit = 0.002
input_miss = 0.1
output = 0.5
peak = { input_hit = 0.6, input_miss = 6, output = 30, hours = [["22:00", "02:00"], [06:00:00, 07:00:00]], holidays = [2026-11-24] }
"""


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(TOML, encoding="utf-8")
    return path


def test_a_file_s_prices_go_before_the_shipped_ones(toml: Path) -> None:
    prices = load_prices(toml)
    assert prices.price("deepseek-flash", MONDAY) == Price(0.002, 0.1, 0.5)
    assert prices.price("deepseek-v4-flash", MONDAY) == Price(0.002, 0.1, 0.5), "aliases that are shipped still hold"
    assert prices.price("deepseek-v4-pro", MONDAY) == Price(0.022, 0.66, 1.98)
    assert prices.price("nobody", MONDAY) is None
    assert prices.caching("nobody") is None


def test_what_caching_costs_follows_from_the_list_price(toml: Path) -> None:
    prices = load_prices(toml)
    price = prices.price("team-large", MONDAY)
    assert price is not None
    assert (price.input_hit, price.input_miss, price.output) == (pytest.approx(0.3), 3.0, 15.0)
    assert (price.input_write, price.input_write_1h) == (pytest.approx(3.75), pytest.approx(6.0))
    assert prices.caching("team-large") == "anthropic"


def test_given_rates_win_over_those_that_follow() -> None:
    price = prices_from({"tariffs": [{**ROW, "caching": "anthropic", "input_write": 2.5}]}).price("m", MONDAY)
    assert price == Price(0.1, 1.0, 4.0, input_write=2.5, input_write_1h=2.0)


def test_without_a_cache_all_input_costs_the_same() -> None:
    row = {name: value for name, value in ROW.items() if name != "input_hit"}
    price = prices_from({"tariffs": [row]}).price("m", MONDAY)
    assert price == Price(1.0, 1.0, 4.0)
    assert price.is_flat


@pytest.mark.parametrize(
    ("day", "hour", "window"),
    [(23, 22, "peak"), (23, 23, "peak"), (23, 1, "peak"), (23, 2, "off-peak"), (23, 6, "peak"), (23, 7, "off-peak"), (24, 23, "off-peak")],
)
def test_hours_may_go_past_midnight_and_holidays_have_none(toml: Path, day: int, hour: int, window: str) -> None:
    price = load_prices(toml).price("deepseek-flash", datetime(2026, 11, day, hour, tzinfo=timezone.utc))
    assert price is not None
    assert price.window == window


def test_json_says_the_same_as_toml(toml: Path, tmp_path: Path) -> None:
    def plain(value: object) -> Any:
        if isinstance(value, (date, time)):
            return value.isoformat(timespec="minutes") if isinstance(value, time) else value.isoformat()
        if isinstance(value, dict):
            return {name: plain(inner) for name, inner in value.items()}
        return [plain(inner) for inner in value] if isinstance(value, list) else value

    path = tmp_path / "prices.json"
    path.write_text(json.dumps(plain(price_file.tomllib.loads(TOML))), encoding="utf-8")
    assert load_prices(path) == load_prices(toml)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ([], "prices"),
        ({"tarifs": []}, "prices.tarifs"),
        ({"tariffs": {}}, "tariffs"),
        ({"tariffs": [5]}, "tariffs[0]"),
        ({"tariffs": [ROW, {**ROW, "price": 3}]}, "tariffs[1].price"),
        ({"tariffs": [{**ROW, "model": " "}]}, "tariffs[0].model"),
        ({"tariffs": [{**ROW, "since": "November"}]}, "tariffs[0].since"),
        ({"tariffs": [{**ROW, "since": None}]}, "tariffs[0].since"),
        ({"tariffs": [{**ROW, "since": datetime(2026, 11, 1)}]}, "tariffs[0].since"),
        ({"tariffs": [{**ROW, "caching": "google"}]}, "tariffs[0].caching"),
        ({"tariffs": [{**ROW, "input_miss": "1.0"}]}, "tariffs[0].input_miss"),
        ({"tariffs": [{**ROW, "input_miss": True}]}, "tariffs[0].input_miss"),
        ({"tariffs": [{**ROW, "output": -1}]}, "tariffs[0].output"),
        ({"tariffs": [{**ROW, "output": float("nan")}]}, "tariffs[0].output"),
        ({"tariffs": [{**ROW, "output": float("inf")}]}, "tariffs[0].output"),
        ({"tariffs": [{**ROW, "output": 4e-6}]}, "tariffs[0].output"),
        ({"tariffs": [{name: ROW[name] for name in ("model", "since", "input_miss")}]}, "tariffs[0].output"),
        ({"tariffs": [{**{k: v for k, v in ROW.items() if k != "input_hit"}, "caching": "deepseek"}]}, "tariffs[0].input_hit"),
        ({"tariffs": [{**ROW, "peak": {"input_miss": 2, "output": 8}}]}, "tariffs[0].peak.hours"),
        ({"tariffs": [{**ROW, "peak": {**ROW, "hours": []}}]}, "tariffs[0].peak.model"),
        ({"tariffs": [{**ROW, "peak": {"input_miss": 2, "output": 8, "hours": [["1", "2"]]}}]}, "tariffs[0].peak.hours"),
        ({"tariffs": [{**ROW, "peak": {"input_miss": 2, "output": 8, "hours": [["24:00", "02:00"]]}}]}, "tariffs[0].peak.hours"),
        ({"tariffs": [{**ROW, "peak": {"input_miss": 2, "output": 8, "hours": ["01:00"]}}]}, "tariffs[0].peak.hours"),
        (
            {"tariffs": [{**ROW, "peak": {"input_miss": 2, "output": 8, "hours": [["01:00", "02:00"]], "holidays": "x"}}]},
            "tariffs[0].peak.holidays",
        ),
        ({"aliases": {"a": 5}}, "aliases.a"),
        ({"aliases": {"a": "unheard-of"}}, "aliases.a"),
    ],
)
def test_every_mistake_is_named_with_its_place(values: object, field: str) -> None:
    with pytest.raises(ConfigError) as error:
        prices_from(values)
    assert error.value.field == field
    assert error.value.allowed


def test_a_price_per_token_is_refused_with_the_unit() -> None:
    with pytest.raises(ConfigError, match=r"USD per 1M tokens: 0, or from 0\.0001 to 10,000"):
        prices_from({"tariffs": [{**ROW, "input_miss": 0.00000015}]})


@pytest.mark.parametrize(("name", "text"), [("p.toml", "[[tariffs"), ("p.json", "{"), ("p.toml", "\x00"), ("p.json", "[" * 100_000)])
def test_a_file_that_is_none_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"a file of valid (TOML|JSON)"):
        load_prices(tmp_path / name)


def test_bytes_that_are_no_text_are_named_too(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="a file of valid TOML"):
        load_prices(tmp_path / "p.toml")


def test_the_example_file_prices_models_of_two_other_providers(repository: Path) -> None:
    table = load_prices(repository / "examples" / "prices.toml")
    now = datetime(2026, 11, 26, tzinfo=timezone.utc)
    sonnet, other = table.price("claude-sonnet-4-0", now), table.price("gpt-4.1", now)
    assert sonnet is not None
    assert other is not None
    assert (sonnet.input_hit, sonnet.input_write, sonnet.input_write_1h) == pytest.approx((0.3, 3.75, 6.0))
    assert (other.input_hit, other.input_miss, other.output) == (0.5, 2.0, 8.0)
    assert (table.caching("claude-sonnet-4"), table.caching("gpt-4.1")) == ("anthropic", "openai")
    assert table.price("deepseek-flash", now) is not None, "the shipped prices stay"
