"""History is rewritten only where that pays, or where somebody asks for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone

import pytest

from specprefill_agents import Compressor, ConfigError, Segment, Session
from specprefill_agents.accounting.pricing import price_for
from specprefill_agents.session import CacheState

TEXTS = ["\n".join(f"Record {n}: the value of entry {n} of list {which} is {n * which}." for n in range(60)) for which in range(1, 4)]
SEGMENTS = [Segment(text, id=str(index)) for index, text in enumerate(TEXTS)]
FLASH = price_for("deepseek-flash", datetime(2026, 11, 28, tzinfo=timezone.utc))


@pytest.fixture
def session(lexical: Callable[..., Compressor]) -> Session:
    """A conversation that has sent its texts whole, since each of them was short for itself."""
    made = lexical(min_tokens=2_000, keep_ratio=0.2, recall_tokens=0).session("c")
    for end in range(1, len(SEGMENTS) + 1):
        assert all(one.outcome != "compressed" for one in made.step(SEGMENTS[:end], "entry 7").segments)
    return made


def texts(session: Session, query: str = "entry 9") -> list[str]:
    return [one.text for one in session.step(SEGMENTS, query).segments]


@pytest.mark.parametrize(
    "state",
    [
        CacheState(),
        CacheState(idle_s=290, lifetime_s=300),
        CacheState(idle_s=9_000, lifetime_s=None),
        CacheState(price=FLASH, requests=10),
        CacheState(price=None, requests=10_000),
        CacheState(price=FLASH, requests=60, other_tokens=200_000),
    ],
)
def test_a_cache_that_may_be_warm_is_left_alone(session: Session, state: CacheState) -> None:
    assert session.recompact(SEGMENTS, "entry 9 of list 2", state) is None
    assert texts(session) == TEXTS
    assert session.generation == 0


@pytest.mark.parametrize("state", [CacheState(idle_s=301, lifetime_s=300), CacheState(price=FLASH, requests=60)])
def test_a_cold_cache_or_many_requests_to_come_pay_and_the_new_decisions_are_frozen(session: Session, state: CacheState) -> None:
    done = session.recompact(SEGMENTS, "entry 9 of list 2", state)
    assert done is not None
    assert done.result.usage.kept_tokens <= 0.2 * done.result.usage.original_tokens
    shown = [one.text for one in done.result.segments]
    assert "entry 9 of list 2" in shown[1]
    assert texts(session, "entry 50 of list 3") == shown
    again = Session.from_dict(json.loads(json.dumps(session.to_dict())), session._compressor)
    assert (texts(again), again.generation) == (shown, 1)


def test_nothing_is_rewritten_for_a_result_that_is_no_shorter(lexical: Callable[..., Compressor]) -> None:
    made = lexical(keep_ratio=0.2).session("c")
    sent = [one.text for one in made.step(SEGMENTS, "entry 7 of list 1").segments]
    assert made.recompact(SEGMENTS, "entry 7 of list 1", CacheState(idle_s=1e6, lifetime_s=1)) is None
    assert texts(made) == sent


def test_whoever_asks_for_it_gets_it(session: Session) -> None:
    done = session.recompact(SEGMENTS, "entry 9 of list 2", CacheState(), force=True)
    assert done is not None
    assert done.reason == "asked for"
    assert texts(session) == [one.text for one in done.result.segments]


@pytest.mark.parametrize(("field", "value"), [("idle_s", -1.0), ("lifetime_s", float("nan")), ("requests", 0), ("other_tokens", -1)])
def test_a_state_that_cannot_be_is_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        CacheState(**{field: value})  # type: ignore[arg-type]
