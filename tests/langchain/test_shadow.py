"""Shadow comparison: a sampled share of steps asks the model a second time, with everything it could have read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from specprefill_agents import CompressionConfig, Compressor, Guard, Guardrails
from specprefill_agents.guardrails.settings import DriftSettings
from specprefill_langchain.shadow import next_action

FLOOR = DriftSettings(share=1.0, scorer="random", action_floor=0.9, min_samples=2)


def guarded(drift: DriftSettings, alerts: list[Any] | None = None) -> Compressor:
    guard = Guard(Guardrails(id="shadow", version=1, drift=drift), on_alert=alerts.append if alerts is not None else None)
    config = CompressionConfig(scorer="bm25", min_tokens=0, target_tokenizer="o200k_base")
    return Compressor(config=config, cache="memory", guardrails=guard)


def play(make_agent: Callable[..., Any], compressor: Compressor, question: str, asynchronous: bool = False) -> Any:
    agent = make_agent(compressor)
    asked = {"messages": [HumanMessage(question)]}
    return asyncio.run(agent.ainvoke(asked)) if asynchronous else agent.invoke(asked)


def lengths(messages: list[Any]) -> int:
    return sum(len(str(message.content)) for message in messages)


@pytest.mark.prefix_moves(reason="the second call of a sampled step is uncompressed")
@pytest.mark.parametrize("asynchronous", [False, True])
def test_each_compressed_step_is_asked_again_uncompressed_and_the_first_answer_counts(
    make_agent: Callable[..., Any], model: Any, question: str, asynchronous: bool
) -> None:
    compressor = guarded(FLOOR)
    state = play(make_agent, compressor, question, asynchronous)
    first, *rest = model.requests
    pairs = list(zip(rest[::2], rest[1::2], strict=True))
    assert first[-1].type == "human", "before any tool output there is nothing to compare"
    assert pairs
    assert all([m.type for m in sent] == [m.type for m in plain] and lengths(sent) < lengths(plain) for sent, plain in pairs)
    assert compressor.guard.drift is not None
    seen = compressor.guard.drift.metrics()
    assert (seen["action_observed"], seen["action_mean"]) == (len(pairs), 1.0)
    assert len([message for message in state["messages"] if message.type == "ai"]) == 1 + len(pairs)


@pytest.mark.prefix_moves(reason="the second call of a sampled step is uncompressed")
def test_an_agent_that_acts_otherwise_uncompressed_raises_an_alert(make_agent: Callable[..., Any], model: Any, question: str) -> None:
    alerts: list[Any] = []
    usual = type(model)._generate

    def contrary(self: Any, messages: list[Any], *args: Any, **kwargs: Any) -> Any:
        result = usual(self, messages, *args, **kwargs)
        if len(self.requests) > 1 and len(self.requests) % 2 == 1:
            result.generations[0].message = AIMessage("I would stop here.")
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model), "_generate", contrary)
        play(make_agent, guarded(FLOOR, alerts), question)
    (alert,) = alerts
    assert (alert.measure, alert.guardrails_id) == ("action", "shadow")
    assert alert.mean < 0.9


@pytest.mark.parametrize("drift", [DriftSettings(), DriftSettings(share=1.0, scorer="random")])
def test_without_an_action_floor_nothing_is_asked_twice(
    make_agent: Callable[..., Any], model: Any, question: str, drift: DriftSettings
) -> None:
    state = play(make_agent, guarded(drift), question)
    assert len(model.requests) == len([message for message in state["messages"] if message.type == "ai"])


@pytest.mark.prefix_moves(reason="the second call of a sampled step is uncompressed")
def test_a_second_call_that_fails_is_recorded_and_stops_nothing(
    make_agent: Callable[..., Any], model: Any, question: str, caplog: pytest.LogCaptureFixture
) -> None:
    usual = type(model)._generate

    def fails(self: Any, messages: list[Any], *args: Any, **kwargs: Any) -> Any:
        result = usual(self, messages, *args, **kwargs)
        if len(self.requests) > 1 and len(self.requests) % 2 == 1:
            raise RuntimeError("overloaded")
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model), "_generate", fails)
        state = play(make_agent, guarded(FLOOR), question)
    assert state["messages"][-1].type == "ai"
    assert "the shadow comparison failed: RuntimeError" in caplog.text


def test_actions_are_equal_whatever_the_order_of_calls_and_arguments_and_their_ids() -> None:
    one = AIMessage("", tool_calls=[{"name": "a", "args": {"x": 1, "y": 2}, "id": "1"}, {"name": "b", "args": {}, "id": "2"}])
    other = AIMessage("hm", tool_calls=[{"name": "b", "args": {}, "id": "3"}, {"name": "a", "args": {"y": 2, "x": 1}, "id": "4"}])
    assert next_action([one]) == next_action([other])
    assert next_action([one]) != next_action([AIMessage("", tool_calls=[{"name": "b", "args": {}, "id": "2"}])])
    assert next_action([AIMessage("Yes.")]) == next_action([AIMessage("No.")]) == []
