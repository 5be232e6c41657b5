"""What the configuration says of single tools holds in an agent, parallel calls of one turn included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool

from specprefill_agents import Compressor
from specprefill_langchain import SpecPrefillMiddleware
from tests.langchain.conftest import ScriptedModel

TOOLS = ("search", "fetch", "secrets")


def lines(topic: str, count: int = 80) -> str:
    """An output of which one line in eight is about the question."""
    return "\n".join(
        f"{topic} {n}: {'a train leaves for Basel' if n % 8 == 0 else 'nothing of interest happens'} at {n}" for n in range(count)
    )


def made(name: str) -> Any:
    """A tool of that name."""

    def call(topic: str) -> str:
        return lines(topic)

    return tool(name, description=f"{name} a topic")(call)


@pytest.fixture
def sent_shares(lexical: Callable[..., Compressor]) -> Callable[..., dict[str, float]]:
    """Runs an agent that calls every tool in one turn; by call the share of tokens that is sent, the question's own included."""

    def run(repeated: bool = False, **settings: Any) -> dict[str, float]:
        names = [*TOOLS, *(TOOLS if repeated else ())]
        calls = [{"name": name, "args": {"topic": f"{name} {n}"}, "id": f"{name}-{n}"} for n, name in enumerate(names)]
        model = ScriptedModel(answers=[AIMessage("", tool_calls=calls), AIMessage("done")])
        compressor = lexical(repeats=False, recall_tokens=0, **settings)
        agent: Any = create_agent(model, [made(name) for name in TOOLS], middleware=[SpecPrefillMiddleware(compressor)])
        state = agent.invoke({"messages": [HumanMessage("When does a train leave for Basel?")]})
        count = compressor.counter.count
        whole, sent = (
            {message.tool_call_id: count(str(message.content)) for message in messages if message.type == "tool"}
            for messages in (state["messages"], model.requests[-1])
        )
        assert list(sent) == [call["id"] for call in calls]
        return {call: sent[call] / whole[call] for call in whole}

    return run


def test_each_tool_of_a_turn_has_its_own_ratio_and_the_others_the_common_one(sent_shares: Callable[..., dict[str, float]]) -> None:
    plain = sent_shares(keep_ratio=0.3)
    assert 0.15 < sum(plain.values()) / len(plain) <= 0.3
    shares = sent_shares(keep_ratio=0.3, tool_keep_ratio={"search": 0.1, "secrets": 0.8})
    assert 0.02 < shares["search-0"] <= 0.1
    assert 0.15 < shares["fetch-1"] <= 0.3
    assert 0.5 < shares["secrets-2"] <= 0.8


def test_a_ratio_of_one_and_exclusion_pass_a_tool_whole_among_others(sent_shares: Callable[..., dict[str, float]]) -> None:
    for settings in ({"tool_keep_ratio": {"secrets": 1}}, {"exclude_tools": ["secrets"]}):
        shares = sent_shares(keep_ratio=0.2, **settings)
        assert shares["secrets-2"] == 1
        assert shares["search-0"] + shares["fetch-1"] <= 0.4


def test_calls_of_one_tool_in_a_turn_share_its_budget(sent_shares: Callable[..., dict[str, float]]) -> None:
    shares = sent_shares(repeated=True, keep_ratio=0.5, tool_keep_ratio={"search": 0.1})
    assert shares["search-0"] + shares["search-3"] <= 0.2
    assert shares["fetch-1"] + shares["fetch-4"] > 0.6


def test_a_tool_that_nobody_has_changes_nothing(sent_shares: Callable[..., dict[str, float]]) -> None:
    assert sent_shares(keep_ratio=0.3, tool_keep_ratio={"nobody": 0.9}, exclude_tools=["no one"]) == sent_shares(keep_ratio=0.3)
