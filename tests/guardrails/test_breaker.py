"""The circuit breaker opens after failures in a row, lets one call try, and never stays open for ever."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents import ConfigError
from specprefill_agents.scoring.breaker import CircuitBreaker


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(clock: Clock, failures: int = 3, cooldown_s: float = 60) -> CircuitBreaker:
    """A breaker that has just opened."""
    breaker = CircuitBreaker(failures, cooldown_s, clock)
    for _ in range(failures):
        assert breaker.allows()
        breaker.failed()
    return breaker


def test_it_opens_after_so_many_failures_in_a_row(clock: Clock) -> None:
    breaker = CircuitBreaker(3, 60, clock)
    states = []
    for _ in range(3):
        states.append((breaker.state, breaker.allows()))
        breaker.failed()
    assert states == [("closed", True)] * 3
    assert (breaker.state, breaker.allows()) == ("open", False)


def test_a_success_between_failures_starts_the_count_anew(clock: Clock) -> None:
    breaker = CircuitBreaker(2, 60, clock)
    for _ in range(5):
        breaker.failed()
        breaker.succeeded()
    assert breaker.state == "closed"


def test_after_the_cooldown_exactly_one_call_may_try(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now += 59.9
    assert (breaker.state, breaker.allows()) == ("open", False)
    clock.now += 0.1
    assert breaker.state == "half-open"
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    assert breaker.state == "half-open"


def test_a_try_that_goes_well_closes_it_with_a_clean_record(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now += 60
    assert breaker.allows()
    breaker.succeeded()
    assert breaker.state == "closed"
    breaker.failed()
    breaker.failed()
    assert breaker.allows(), "two failures of three"
    breaker.failed()
    assert not breaker.allows()


def test_a_try_that_fails_opens_it_for_another_cooldown(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now += 100
    assert breaker.allows()
    breaker.failed()
    assert breaker.state == "open"
    clock.now += 59
    assert not breaker.allows()
    clock.now += 1
    assert breaker.allows()


def test_a_try_of_which_nothing_is_heard_is_given_up(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now += 60
    assert breaker.allows()
    clock.now += 59
    assert not breaker.allows()
    clock.now += 1
    assert [breaker.allows(), breaker.allows()] == [True, False]


def test_late_reports_of_earlier_calls_change_nothing_while_it_is_open(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now += 30
    breaker.failed()
    breaker.succeeded()
    assert breaker.state == "open"
    clock.now += 30
    assert breaker.state == "half-open", "a late failure did not start the cooldown anew"


@pytest.mark.parametrize("is_tried", [False, True])
def test_a_clock_that_jumps_back_starts_the_wait_anew_at_most(clock: Clock, is_tried: bool) -> None:
    breaker = opened(clock)
    if is_tried:
        clock.now += 60
        assert breaker.allows()
    clock.now -= 500
    assert not breaker.allows()
    clock.now += 60
    assert breaker.allows()


def test_looking_at_the_state_takes_no_try_away(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now += 60
    assert {breaker.state for _ in range(5)} == {"half-open"}
    assert breaker.allows()


EVENTS = st.lists(st.one_of(st.sampled_from(["allows", "failed", "succeeded", "state"]), st.floats(-1e6, 1e6)), max_size=40)


@given(st.integers(1, 4), EVENTS)
def test_whatever_happened_it_lets_one_call_try_after_a_quiet_cooldown(failures: int, events: list[Any]) -> None:
    clock = Clock()
    breaker = CircuitBreaker(failures, 60, clock)
    for event in events:
        if isinstance(event, float):
            clock.now += event
        elif event == "state":
            assert breaker.state in ("closed", "open", "half-open")
        else:
            getattr(breaker, event)()
    was_closed = breaker.state == "closed"
    clock.now = round(clock.now) + 61
    assert breaker.allows()
    assert breaker.allows() is was_closed
    breaker.succeeded()
    assert breaker.state == "closed"


def test_of_many_threads_one_tries(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now += 60
    barrier = threading.Barrier(8)

    def ask() -> bool:
        barrier.wait()
        return breaker.allows()

    with ThreadPoolExecutor(8) as pool:
        answers = [future.result() for future in [pool.submit(ask) for _ in range(8)]]
    assert answers.count(True) == 1


def test_no_failure_is_lost_between_threads(clock: Clock) -> None:
    breaker = CircuitBreaker(4000, 60, clock)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: breaker.failed(), range(3999)))
    assert breaker.state == "closed"
    breaker.failed()
    assert breaker.state == "open"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_forked_while_the_lock_is_held_starts_closed(clock: Clock) -> None:
    breaker = opened(clock)
    with breaker._lock:
        child = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(0 if breaker.allows() else 1))
        child.start()
        child.join(60)
    assert child.exitcode == 0
    assert breaker.state == "open"


@pytest.mark.parametrize(("failures", "cooldown_s", "field"), [(0, 60, "failures"), (True, 60, "failures"), (1, 0, "cooldown_s")])
def test_impossible_settings_are_refused_by_name(failures: int, cooldown_s: float, field: str) -> None:
    with pytest.raises(ConfigError) as error:
        CircuitBreaker(failures, cooldown_s)
    assert error.value.field == f"breaker.{field}"
