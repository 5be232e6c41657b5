"""Who is sampled, and who is in which arm, is the same in every process, independent of the rest, and of the stated share."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents import ConfigError
from specprefill_agents.guardrails.arms import arm_of
from specprefill_agents.guardrails.sampling import is_chosen
from specprefill_agents.guardrails.settings import AbSettings, Guardrails

PARTS = st.lists(st.text(), max_size=3)


def guardrails(share: float, salt: str = "", version: int = 1) -> Guardrails:
    """With this experiment."""
    return Guardrails(id="g", version=version, ab=AbSettings(control_share=share, salt=salt))


@given(PARTS)
def test_none_is_chosen_at_0_and_all_are_at_1(parts: list[str]) -> None:
    assert not is_chosen(0.0, *parts)
    assert is_chosen(1.0, *parts)
    assert is_chosen(1, *parts)


@given(PARTS, st.floats(0, 1), st.floats(0, 1))
def test_what_is_chosen_at_a_share_is_chosen_at_every_larger_one(parts: list[str], one: float, other: float) -> None:
    assert is_chosen(min(one, other), *parts) <= is_chosen(max(one, other), *parts)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_the_share_chosen_is_the_share_asked_for(share: float) -> None:
    chosen = sum(is_chosen(share, "step", str(index)) for index in range(20_000)) / 20_000
    assert chosen == pytest.approx(share, abs=0.015)


def test_the_choice_is_the_same_in_another_process() -> None:
    names = [f"conversation-{index}" for index in range(64)]
    program = (
        "from specprefill_agents.guardrails.sampling import is_chosen\n"
        f"print([is_chosen(0.5, 'arm', name) for name in {names!r}])"
    )  # fmt: skip
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str([is_chosen(0.5, "arm", name) for name in names])


def test_parts_are_kept_apart() -> None:
    choices = {tuple(is_chosen(0.5, *parts, str(n)) for n in range(64)) for parts in (("ab", "c"), ("a", "bc"), ("abc",), ("1:a", "b"))}
    assert len(choices) == 4


@pytest.mark.parametrize("share", [-0.1, 1.1, True, "0.5", None, float("nan")])
def test_what_is_no_share_is_refused(share: Any) -> None:
    with pytest.raises(ConfigError) as error:
        is_chosen(share, "x")
    assert error.value.field == "share"


def test_without_an_experiment_every_conversation_is_treated() -> None:
    assert {arm_of(str(n), guardrails(0)) for n in range(100)} == {"treated"}
    assert {arm_of(str(n), guardrails(1)) for n in range(100)} == {"control"}


def test_a_conversation_keeps_its_arm_when_the_version_changes() -> None:
    first, second = ([arm_of(str(n), guardrails(0.5, version=version)) for n in range(200)] for version in (1, 2))
    assert first == second
    assert set(first) == {"control", "treated"}


def test_another_salt_chooses_other_conversations() -> None:
    first, second = ([arm_of(str(n), guardrails(0.5, salt)) for n in range(200)] for salt in ("a", "b"))
    assert 60 < sum(one != other for one, other in zip(first, second, strict=True)) < 140
