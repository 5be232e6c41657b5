"""Guardrails at work: in a compressor and its sessions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from specprefill_agents import CompressionConfig, Compressor, Segment
from specprefill_agents.accounting.tokens import counter_for
from specprefill_agents.errors import ScoringError
from specprefill_agents.guardrails.guard import Guard
from specprefill_agents.guardrails.settings import (
    AbSettings,
    BreakerSettings,
    BreakEvenSettings,
    DriftSettings,
    Guardrails,
    StepLimits,
    ToolSettings,
)
from specprefill_agents.types import TokenScores
from tests.invariants import LongWords, Records

LOG = "\n".join(f"Record {n}: the value of entry {n} is {n * n}." for n in range(80))
QUERY = "entry 60"


def guarded(scorer: Any = None, *, audit: Records | None = None, guard: Guard | None = None, **rules: Any) -> Compressor:
    """A compressor under these guardrails, without floors."""
    config = CompressionConfig(min_tokens=0, min_result_tokens=0, target_tokenizer="o200k_base", scorer="head_tail")
    settings = guard or Guardrails(id="test", version=7, **rules)
    return Compressor(config=config, scorer=scorer, counter=counter_for("o200k_base"), cache="memory", guardrails=settings, audit=audit)


class Failing:
    """A scorer that fails `times` times, and counts how often it was asked."""

    fingerprint = "failing"

    def __init__(self, times: int) -> None:
        self.left = times
        self.asked = 0

    def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
        self.asked += 1
        if self.left:
            self.left -= 1
            raise ScoringError("the draft is gone")
        return LongWords().score(contexts, query)


def test_the_kill_switch_stops_what_is_new_at_once_and_keeps_what_was_sent(
    lexical: Callable[..., Compressor], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = lexical()
    session = made.session("c")
    sent = session.step([Segment(LOG, id="a")], QUERY).segments[0]
    monkeypatch.setenv("SPECPREFILL_DISABLED", "1")
    frozen, new = session.step([Segment(LOG, id="a"), Segment(f"{LOG}!", id="b")], QUERY).segments
    assert frozen == sent
    assert frozen.outcome == "compressed"
    assert new.text == f"{LOG}!"
    assert "SPECPREFILL_DISABLED" in new.reason
    monkeypatch.delenv("SPECPREFILL_DISABLED")
    assert made.compress([Segment(LOG)], QUERY).segments[0].outcome == "compressed"


def test_each_tool_has_a_budget_of_its_own() -> None:
    tools = (
        ToolSettings(name="grep", keep_ratio=0.1),
        ToolSettings(name="policy", exclude=True),
        ToolSettings(name="page", keep_ratio=1.0),
    )
    made = guarded(tools=tools, compression={"keep_ratio": 0.5})
    names = ("grep", "read_file", "policy", "page")
    done = made.compress([Segment(f"{name}\n{LOG}", name=name) for name in names], QUERY).segments
    shares = [one.kept_tokens / one.original_tokens for one in done]
    assert shares[0] <= 0.1
    assert 0.4 < shares[1] <= 0.5
    assert [one.reason for one in done[2:]] == ["tool policy is excluded", "keep_ratio is 1"]


def test_a_step_with_more_tokens_than_allowed_passes_whole() -> None:
    made = guarded(limits=StepLimits(max_step_tokens=500))
    result = made.compress([Segment(LOG)], QUERY)
    assert result.segments[0].text == LOG
    assert "limits.max_step_tokens (500)" in result.segments[0].reason
    assert result.usage.fallback_reason is None


def test_what_is_not_to_be_scored_is_not_scored_for_recall_either() -> None:
    scorer = Failing(0)
    made = guarded(scorer, limits=StepLimits(max_step_tokens=2_000))
    session = made.session("c")
    first, long = Segment(LOG, id="a"), Segment(3 * LOG, id="b")
    assert session.step([first], QUERY).segments[0].outcome == "compressed"
    asked = scorer.asked
    result = session.step([first, long], "entry 7")
    assert result.segments[1].text == long.text
    assert scorer.asked == asked


def test_after_so_many_failures_in_a_row_the_scorer_is_left_alone_and_the_record_says_so() -> None:
    scorer, records = Failing(10), Records()
    made = guarded(scorer, audit=records, breaker=BreakerSettings(failures=3, cooldown_s=3600))
    results = [made.compress([Segment(f"{LOG}{n}")], QUERY) for n in range(6)]
    assert scorer.asked == 3
    assert all(result.segments[0].outcome != "compressed" for result in results)
    assert results[-1].usage.fallback_reason == "not scored after 3 failures in a row"
    assert records.rows[-1][1]["fallback_reason"] == "not scored after 3 failures in a row"


def test_a_success_between_failures_keeps_the_breaker_closed() -> None:
    scorer = Failing(2)
    made = guarded(scorer, breaker=BreakerSettings(failures=3, cooldown_s=3600))
    outcomes = []
    for n in range(6):
        outcomes.append(made.compress([Segment(f"{LOG}{n}")], QUERY).segments[0].outcome)
        scorer.left = scorer.left or (2 if n == 2 else 0)
    assert scorer.asked == 6
    assert outcomes[-1] == "compressed"


def test_what_takes_longer_to_score_than_a_local_target_to_read_passes_whole() -> None:
    made = guarded(break_even=BreakEvenSettings(target_prefill_tokens_per_s=1e9))
    first = made.compress([Segment(LOG)], QUERY).segments[0]
    again = made.compress([Segment(f"{LOG}!")], QUERY).segments[0]
    assert first.outcome == "compressed", "nothing was measured before the first call"
    assert again.text == f"{LOG}!"
    assert again.reason.startswith("the target reads the")


def test_a_machine_dearer_than_what_it_saves_is_left_idle() -> None:
    rules = BreakEvenSettings(model="deepseek-flash", machine_usd_per_hour=10_000)
    made = guarded(break_even=rules)
    made.guard.succeeded(1_000, 5_000.0, cached=False)
    assert made.compress([Segment(LOG)], QUERY).segments[0].reason.startswith("does not pay: saves $")


def test_the_version_of_the_guardrails_is_in_every_record() -> None:
    records = Records()
    guarded(audit=records).compress([Segment(LOG)], QUERY)
    assert {"guardrails_id": "test", "guardrails_version": 7}.items() <= dict(records.rows[-1][1]).items()


def test_drift_from_a_second_scorer_is_measured_beside_the_step_and_alerts(caplog: pytest.LogCaptureFixture) -> None:
    alerts: list[Any] = []
    drift = DriftSettings(share=1.0, scorer="bm25", overlap_floor=0.99, min_samples=3)
    guard = Guard(Guardrails(id="test", version=7, drift=drift), on_alert=alerts.append)
    made = guarded(guard=guard)
    with caplog.at_level(logging.WARNING, "specprefill_agents.guardrails"):
        for n in range(4):
            assert made.compress([Segment(f"{LOG}{n}")], QUERY).segments[0].outcome == "compressed"
            guard.settle()
    assert guard.drift is not None
    assert guard.drift.metrics()["overlap_observed"] == 4
    (alert,) = alerts
    assert (alert.measure, alert.guardrails_version) == ("overlap", 7)
    assert 0 < alert.mean < 0.99
    assert "below its floor" in caplog.text


def test_a_second_scorer_that_agrees_alerts_nobody_and_one_that_fails_stops_nothing() -> None:
    drift = DriftSettings(share=1.0, scorer="random", overlap_floor=0.9, min_samples=1)
    alerts: list[Any] = []
    guard = Guard(Guardrails(id="test", version=7, drift=drift), on_alert=alerts.append)
    spans = [[(0, 10)]]
    guard.second_opinion("a", spans, lambda: spans)
    guard.second_opinion("b", spans, lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    guard.settle()
    assert guard.drift is not None
    assert guard.drift.metrics()["overlap_mean"] == 1
    assert not alerts


def test_the_control_arm_runs_uncompressed_and_stays_so_and_the_other_does_not() -> None:
    made = guarded(ab=AbSettings(control_share=0.5, salt="x"))
    sessions = [made.session(f"conversation {n}") for n in range(40)]
    outcomes = {session.arm: session.step([Segment(LOG, id="a")], QUERY).segments[0] for session in sessions}
    assert set(outcomes) == {"control", "treated"}
    assert outcomes["control"].text == LOG
    assert outcomes["control"].reason == "control arm: runs uncompressed"
    assert outcomes["treated"].outcome == "compressed"
    assert [made.session(f"conversation {n}").arm for n in range(40)] == [session.arm for session in sessions]


def test_there_is_no_arm_without_an_experiment(lexical: Callable[..., Compressor]) -> None:
    assert lexical().session("c").arm == ""
