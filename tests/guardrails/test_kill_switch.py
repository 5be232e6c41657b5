"""The kill switch works at once, and a value that nobody can read stops compression rather than not."""

from __future__ import annotations

import logging

import pytest

from specprefill_agents.guardrails import kill_switch
from specprefill_agents.guardrails.kill_switch import VARIABLE, is_killed


@pytest.mark.parametrize("value", ["1", "true", "TRUE", "Yes", "on", " on "])
def test_yes_stops_compression(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, value)
    assert is_killed()


@pytest.mark.parametrize("value", ["", "0", "false", "No", "OFF", "  "])
def test_no_does_not(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, value)
    assert not is_killed()


def test_it_is_read_at_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPECPREFILL_DISABLED", raising=False)
    seen = [is_killed()]
    monkeypatch.setenv("SPECPREFILL_DISABLED", "1")
    seen.append(is_killed())
    monkeypatch.delenv("SPECPREFILL_DISABLED")
    seen.append(is_killed())
    assert seen == [False, True, False]


def test_what_is_neither_counts_as_yes_and_is_warned_of_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(kill_switch, "_warning", kill_switch._Once())
    with caplog.at_level(logging.WARNING):
        for value in ("ture", "ture", "2", "\udcff"):
            monkeypatch.setenv(VARIABLE, value)
            assert is_killed()
    assert [record.getMessage() for record in caplog.records] == [
        "SPECPREFILL_DISABLED='ture' is neither yes (1, true, yes, on) nor no (0, false, no, off): compression is off"
    ]
