"""keep_ratio="auto": as much as stands out, between bounds, and nothing cut where nothing does."""

from __future__ import annotations

import numpy as np
import pytest

from specprefill_agents import CompressionConfig, Compressor, Segment
from specprefill_agents.selection.adaptive import GREATEST_SHARE, LEAST_SHARE, LEAST_SHARES, adaptive_budget, wanted_share

TEN = np.full(100, 10)
LINES = [f"worker {n} started with {n * 7} tasks and nothing to report about it\n" for n in range(90)]
LOG = "".join([*LINES[:30], "metrics server listens on port 9187\n", *LINES[30:]])


def compressor(**settings: object) -> Compressor:
    config = {"keep_ratio": "auto", "scorer": "bm25", "min_tokens": 0, "min_result_tokens": 0, "on_error": "raise", **settings}
    return Compressor(config=CompressionConfig.from_dict(config), cache="memory")


def standing_out(count: int, height: float = 1.0) -> np.ndarray:
    values = np.zeros(100)
    values[:count] = height
    return values


def test_the_wanted_share_is_that_of_the_units_which_hold_most_of_the_mass() -> None:
    assert wanted_share(standing_out(10), TEN) == pytest.approx(0.08)
    assert wanted_share(standing_out(10, 3.0), TEN) == pytest.approx(0.08), "beyond the best unit's 1 height adds nothing"
    assert wanted_share(np.zeros(100), TEN) == 1.0
    assert wanted_share(np.full(100, 0.05), TEN) == 1.0, "below the background nothing stands out"
    assert wanted_share(np.zeros(0), np.zeros(0, dtype=np.int64)) == 1.0


def test_the_budget_lies_between_the_least_and_the_greatest_share() -> None:
    assert adaptive_budget([standing_out(1)], [TEN], ["prose"], [1000]) == int(LEAST_SHARE * 1000)
    assert adaptive_budget([standing_out(50)], [TEN], ["prose"], [1000]) == 400
    assert adaptive_budget([standing_out(85)], [TEN], ["prose"], [1000]) == int(GREATEST_SHARE * 1000)


def test_code_has_a_floor_of_its_own() -> None:
    assert LEAST_SHARES["code"] > LEAST_SHARE
    assert adaptive_budget([standing_out(1)], [TEN], ["code"], [1000]) == int(LEAST_SHARES["code"] * 1000)
    mixed = adaptive_budget([standing_out(1), np.zeros(100)], [TEN, TEN], ["code", "prose"], [1000, 3000])
    assert mixed == int(LEAST_SHARES["code"] * 1000 + LEAST_SHARE * 3000)


def test_what_is_flat_or_dense_passes_whole() -> None:
    assert adaptive_budget([np.full(100, 0.8)], [TEN], ["prose"], [1000]) is None
    assert adaptive_budget([np.zeros(100)], [TEN], ["prose"], [1000]) is None


def test_a_question_about_one_line_keeps_little_and_has_the_line() -> None:
    result = compressor().compress([Segment(LOG)], "which port does the metrics server use?")
    assert "port 9187" in result.segments[0].text
    assert result.usage.kept_tokens <= 0.2 * result.usage.original_tokens


def test_a_question_that_no_part_answers_better_than_another_leaves_the_text_whole() -> None:
    result = compressor().compress([Segment(LOG)], "zebras?")
    assert result.segments[0].text == LOG
    assert result.segments[0].reason.startswith("auto: ")


def test_a_question_about_all_of_a_text_keeps_the_greatest_share() -> None:
    result = compressor().compress([Segment(LOG)], "how many workers started?")
    assert 0.5 * result.usage.original_tokens < result.usage.kept_tokens <= GREATEST_SHARE * result.usage.original_tokens
    assert result.usage.note is not None


def test_auto_is_part_of_the_fingerprint() -> None:
    assert CompressionConfig(keep_ratio="auto").fingerprint() != CompressionConfig().fingerprint()
