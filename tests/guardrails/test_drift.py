"""The drift monitor alerts once for each crossing of a floor, whoever listens, and never stops what it watches."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.guardrails.drift import DriftAlert, DriftMonitor
from specprefill_agents.guardrails.guard import Guard
from specprefill_agents.guardrails.settings import DriftSettings, Guardrails

LOGGER = "specprefill_agents.guardrails"


def guardrails(**drift: Any) -> Guardrails:
    """That watch with a short window."""
    values = {"share": 0.5, "overlap_floor": 0.5, "action_floor": 0.8, "window": 4, "min_samples": 2, **drift}
    return Guardrails(id="prod", version=7, drift=DriftSettings(**values))


def watched(values: list[float], **drift: Any) -> tuple[DriftMonitor, list[DriftAlert]]:
    """A monitor that has seen these overlaps, and its alerts."""
    alerts: list[DriftAlert] = []
    monitor = DriftMonitor(guardrails(**drift), alerts.append)
    for value in values:
        monitor.observe_overlap(value)
    return monitor, alerts


def test_an_alert_says_what_fell_how_far_and_under_which_guardrails(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, LOGGER):
        _, alerts = watched([0.6, 0.2])
    assert alerts == [DriftAlert("overlap", pytest.approx(0.4), 0.5, 2, "prod", 7)]  # type: ignore[arg-type]
    expected = "drift: mean overlap 0.400 of 2 samples is below its floor 0.5 (guardrails prod, version 7)"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("WARNING", expected)]


def test_one_alert_per_crossing_armed_again_when_the_mean_is_back() -> None:
    _, alerts = watched([0.4] * 6)
    assert len(alerts) == 1
    monitor, alerts = watched([0.4] * 6 + [1.0] * 4 + [0.0] * 4)
    assert len(alerts) == 2
    assert monitor.metrics()["overlap_alerts"] == 2


def test_no_alert_before_enough_samples() -> None:
    assert watched([0.0] * 3, min_samples=4)[1] == []
    assert len(watched([0.0] * 4, min_samples=4)[1]) == 1


def test_only_the_last_samples_count() -> None:
    monitor, alerts = watched([1.0] * 100 + [0.4] * 3)
    assert alerts == []
    monitor.observe_overlap(0.4)
    assert [alert.samples for alert in alerts] == [4]


@pytest.mark.parametrize("floor", [0.1, 0.3, 0.7, 0.9, 1.0])
def test_a_mean_at_its_floor_is_not_below_it(floor: float) -> None:
    for window in range(1, 50):
        assert watched([floor] * 100, overlap_floor=floor, window=window, min_samples=1)[1] == []


def test_without_a_floor_it_only_measures() -> None:
    monitor, alerts = watched([0.0] * 10, overlap_floor=None)
    assert alerts == []
    assert monitor.metrics()["overlap_mean"] == 0.0


def test_actions_have_a_floor_of_their_own() -> None:
    alerts: list[DriftAlert] = []
    monitor = DriftMonitor(guardrails(), alerts.append)
    for agrees in (True, True, True, False):
        monitor.observe_action(agrees)
    assert [(alert.measure, alert.mean, alert.floor) for alert in alerts] == [("action", 0.75, 0.8)]


def test_a_local_target_that_accepts_fewer_guesses_is_an_alert_at_the_floor() -> None:
    alerts: list[DriftAlert] = []
    guard = Guard(guardrails(acceptance_floor=0.5), on_alert=alerts.append)
    for guessed, accepted in ((10, 9), (10, 8), (0, 0), (10, 1), (10, 0), (10, 0)):
        guard.observe_guesses({"guessed_tokens": guessed, "accepted_tokens": accepted})
    guard.observe_guesses({})
    assert [(alert.measure, alert.floor, alert.samples) for alert in alerts] == [("acceptance", 0.5, 4)]
    assert guard.drift
    assert guard.drift.metrics()["acceptance_observed"] == 5


def test_the_acceptance_rate_is_a_gauge() -> None:
    alerts: list[DriftAlert] = []
    monitor = DriftMonitor(guardrails(), alerts.append)
    for rate in (0.5, 0.0, 0.1):
        monitor.observe_acceptance(rate)
    assert monitor.metrics()["acceptance_mean"] == pytest.approx(0.2)
    assert alerts == []


def test_metrics_are_plain_values_by_name() -> None:
    monitor, _ = watched([0.6, 0.2, 0.3, 0.4, 0.5])
    monitor.observe_action(True)
    assert monitor.metrics() == {
        "overlap_mean": pytest.approx(0.35),
        "overlap_samples": 4,
        "overlap_low": 1,
        "overlap_observed": 5,
        "overlap_alerts": 1,
        "action_mean": 1.0,
        "action_samples": 1,
        "action_low": 0,
        "action_observed": 1,
        "action_alerts": 0,
        "acceptance_mean": None,
        "acceptance_samples": 0,
        "acceptance_low": 0,
        "acceptance_observed": 0,
        "acceptance_alerts": 0,
        "refused": 0,
    }


def test_a_callback_that_raises_is_logged_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(alert: DriftAlert) -> None:
        raise RuntimeError("pager is down")

    monitor = DriftMonitor(guardrails(), broken)
    with caplog.at_level(logging.WARNING, LOGGER):
        for value in (0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0):
            monitor.observe_overlap(value)
    assert monitor.metrics()["overlap_alerts"] == 2
    assert [record.getMessage() for record in caplog.records if "callback" in record.getMessage()] == [
        "drift: the alert's callback failed (RuntimeError)"
    ] * 2


def test_a_callback_may_read_the_metrics() -> None:
    seen: list[object] = []
    monitor = DriftMonitor(guardrails(), lambda alert: seen.append(monitor.metrics()["overlap_alerts"]))
    monitor.observe_overlap(0.0)
    monitor.observe_overlap(0.0)
    assert seen == [1]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1, True, "0.5"])
def test_what_is_no_share_is_left_out_and_counted(value: Any, caplog: pytest.LogCaptureFixture) -> None:
    monitor, _ = watched([0.6])
    with caplog.at_level(logging.WARNING, LOGGER):
        monitor.observe_overlap(value)
        monitor.observe_acceptance(value)
    assert {name: monitor.metrics()[name] for name in ("overlap_mean", "overlap_observed", "refused")} == {
        "overlap_mean": 0.6,
        "overlap_observed": 1,
        "refused": 2,
    }
    assert "is not in [0, 1] and was left out" in caplog.text


def test_nothing_to_compare_is_no_sample() -> None:
    monitor, _ = watched([0.6])
    monitor.observe_overlap(None)
    assert (monitor.metrics()["overlap_observed"], monitor.metrics()["refused"]) == (1, 0)


def test_which_steps_are_sampled_follows_from_the_share_alone() -> None:
    assert not any(DriftMonitor(guardrails(share=0.0, overlap_floor=None, action_floor=None)).is_sampled("c", str(n)) for n in range(50))
    assert all(DriftMonitor(guardrails(share=1.0)).is_sampled("c", str(n)) for n in range(50))
    one, other = (DriftMonitor(guardrails()) for _ in range(2))
    chosen = [one.is_sampled("c", str(n)) for n in range(50)]
    assert chosen == [other.is_sampled("c", str(n)) for n in range(50)]
    assert {True, False} == set(chosen)


@given(st.lists(st.floats(0, 1), max_size=60), st.floats(0, 1), st.integers(1, 6), st.data())
def test_alerts_are_the_crossings_of_the_rolling_mean(values: list[float], floor: float, window: int, data: st.DataObject) -> None:
    least = data.draw(st.integers(1, window))
    expected, was_low = 0, False
    for end in range(1, len(values) + 1):
        last = values[max(0, end - window) : end]
        if len(last) >= least:
            is_low = sum(last) / len(last) < floor - 1e-9
            expected += is_low and not was_low
            was_low = is_low
    assert len(watched(values, overlap_floor=floor, window=window, min_samples=least)[1]) == expected


def test_no_sample_and_no_alert_is_lost_or_told_twice_between_threads() -> None:
    alerts: list[DriftAlert] = []
    monitor = DriftMonitor(guardrails(window=50, min_samples=50), alerts.append)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(monitor.observe_overlap, [0.0] * 2000))
        list(pool.map(monitor.observe_action, [True] * 2000))
    metrics = monitor.metrics()
    assert (metrics["overlap_observed"], metrics["action_observed"], metrics["overlap_samples"]) == (2000, 2000, 50)
    assert len(alerts) == 1
