"""Break-even follows the formulas of prefix-cache economics: the published thresholds, and the simulation, come out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents import ConfigError
from specprefill_agents.accounting.break_even import AtEntry, ExtraTurns, Rewrite, pays, requests_to_pay_off, rho
from specprefill_agents.accounting.pricing import Price, price_by_factors, price_for
from tests.ledgers import START

FLASH, PRO = (price_for(name, START) or Price(0, 0, 0) for name in ("deepseek-flash", "deepseek-v4-pro"))
OPENAI, ANTHROPIC = price_by_factors("openai", 2.0, 8.0), price_by_factors("anthropic", 3.0, 15.0)


@pytest.mark.parametrize(("price", "threshold"), [(FLASH, 49), (PRO, 29), (OPENAI, 9), (ANTHROPIC, 11.5)])
def test_rewriting_pays_only_beyond_the_threshold_of_each_provider(price: Price, threshold: float) -> None:
    assert rho(price) - 1 == pytest.approx(threshold)
    for factor, is_worth_it in ((0.99, False), (1.01, True)):
        verdict = pays(Rewrite(removed_tokens=1000 * threshold * factor / 10, tail_tokens=1000, requests=10), price)
        assert verdict is not None
        assert verdict.pays == is_worth_it


@pytest.mark.parametrize(
    ("price", "keep", "further"), [(FLASH, 0.2, 11), (FLASH, 0.3, 20), (FLASH, 0.5, 48), (PRO, 0.2, 6), (PRO, 0.3, 11), (PRO, 0.5, 28)]
)
def test_a_block_at_the_very_end_pays_after_so_many_further_requests(price: Price, keep: float, further: int) -> None:
    level = requests_to_pay_off(removed_tokens=(1 - keep) * 1000, tail_tokens=keep * 1000, price=price)
    assert int(level - 1 + 1e-9) == further


def test_an_extra_turn_on_flash_costs_as_much_as_2000_misses_or_100000_hits() -> None:
    turn = ExtraTurns(1, output_tokens=500).usd(FLASH)
    assert turn == pytest.approx(0.0003)
    assert turn == pytest.approx(2000 * FLASH.input_miss / 1e6) == pytest.approx(100_000 * FLASH.input_hit / 1e6)


COUNTS = st.integers(0, 100_000)
PRICES = st.builds(
    lambda hit, miss, output: Price(min(hit, miss), max(hit, miss), output), st.floats(0, 10), st.floats(0.001, 20), st.floats(0, 50)
)


@given(COUNTS, st.integers(1, 200), PRICES)
def test_shortening_at_entry_never_costs_input(removed: int, requests: int, price: Price) -> None:
    verdict = pays(AtEntry(removed, requests), price)
    assert verdict is not None
    assert verdict.cost_usd == 0
    assert verdict.saved_usd >= 0
    assert verdict.pays == (verdict.saved_usd > 0)


@given(COUNTS, COUNTS, st.integers(1, 200), PRICES)
def test_a_rewrite_is_the_difference_of_two_bills(removed: int, tail: int, requests: int, price: Price) -> None:
    untouched = (removed + tail) * price.input_hit * requests
    rewritten = tail * (price.fresh + price.input_hit * (requests - 1))
    verdict = pays(Rewrite(removed, tail, requests), price)
    assert verdict is not None
    assert verdict.saved_usd - verdict.cost_usd == pytest.approx((untouched - rewritten) / 1e6, abs=1e-9)


@given(COUNTS, COUNTS, st.integers(1, 200), PRICES)
def test_a_cold_cache_makes_a_rewrite_as_good_as_an_entry(removed: int, tail: int, requests: int, price: Price) -> None:
    assert pays(Rewrite(removed, tail, requests, is_cold=True), price) == pays(AtEntry(removed, requests), price)


def test_scorer_and_extra_turns_can_turn_the_balance() -> None:
    entry = AtEntry(removed_tokens=1500, requests=10)
    saved = 1500 * (0.15 + 9 * 0.003) / 1e6
    alone = pays(entry, FLASH)
    assert alone is not None
    assert alone.pays
    assert alone.saved_usd == pytest.approx(saved)
    assert not _pays(entry, scorer_usd=saved)
    assert not _pays(entry, extra=ExtraTurns(1, output_tokens=500))
    assert _pays(entry, extra=ExtraTurns(0.5, output_tokens=500))
    assert not _pays(entry, extra=ExtraTurns(0.5, output_tokens=500, cached_tokens=60_000, fresh_tokens=500))
    assert str(alone).startswith("pays: saves $0.000266")


def _pays(entry: AtEntry, scorer_usd: float = 0.0, extra: ExtraTurns | None = None) -> bool:
    verdict = pays(entry, FLASH, scorer_usd, extra)
    return verdict is not None and verdict.pays


def test_without_a_price_there_is_no_verdict() -> None:
    assert pays(AtEntry(1000, 5), None) is None


def test_a_written_token_counts_at_what_writing_costs() -> None:
    verdict = pays(AtEntry(1_000_000, 1), ANTHROPIC)
    assert verdict is not None
    assert verdict.saved_usd == pytest.approx(3.75)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: AtEntry(-1, 1), "removed_tokens"),
        (lambda: AtEntry(1, 0), "requests"),
        (lambda: Rewrite(1, -1, 1), "tail_tokens"),
        (lambda: Rewrite(1, 1, float("nan")), "requests"),
        (lambda: ExtraTurns(-0.1, 5), "count"),
        (lambda: ExtraTurns(1, float("inf")), "output_tokens"),
    ],
)
def test_impossible_numbers_are_refused_by_name(make: object, field: str) -> None:
    assert callable(make)
    with pytest.raises(ConfigError) as error:
        make()
    assert error.value.field == field


def test_free_hits_and_empty_edits_have_no_division_by_zero() -> None:
    free = Price(0.0, 1.0, 1.0)
    assert rho(free) == float("inf")
    assert requests_to_pay_off(10, 0, free) == 0
    assert requests_to_pay_off(0, 10, FLASH) == float("inf")
