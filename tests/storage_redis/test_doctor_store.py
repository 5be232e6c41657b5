"""`specprefill doctor` about a shared store: whether it answers, and never a password."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.store_faults.server import LocalServer
from specprefill_agents.cli import doctor


@pytest.fixture
def stated(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What doctor says of the store."""
    monkeypatch.setattr(doctor, "_draft", lambda name: doctor.Finding("draft", name))  # no model is looked at here

    def run(*arguments: str) -> str:
        outcome = command("doctor", *arguments)
        assert outcome.status == 0, "everything works without a store"
        assert "secret" not in outcome.text + outcome.err
        return "\n".join(line for line in outcome.text.splitlines() if line.startswith("shared store"))

    return run


def test_a_store_that_answers_is_named(stated: Callable[..., str], own: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"{own.url} answers: " in stated("--store", own.url)
    monkeypatch.setenv("SPECPREFILL_STORE", own.url)
    assert "noeviction" in stated()


def test_a_store_that_does_not_answer_says_why(stated: Callable[..., str]) -> None:
    assert "redis://127.0.0.1:1/0 does not answer: ConnectionError" in stated("--store", "redis://me:secret@127.0.0.1:1/0")
    assert "allowed: redis://host:port/db" in stated("--store", "http://me:secret@127.0.0.1:1/0")


def test_without_a_store_nothing_is_said_of_one(stated: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPECPREFILL_STORE", raising=False)
    assert stated() == ""


def test_without_the_client_it_names_the_pip_command(stated: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    assert "pip install 'specprefill-agents[redis]'" in stated("--store", "redis://127.0.0.1:1")
