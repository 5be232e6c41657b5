"""Conversations that the middleware takes up where it left them: only where the state says so, and to the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from specprefill_agents import Compressor, Segment
from specprefill_agents.session import Session, Turn
from specprefill_langchain import SpecPrefillMiddleware
from specprefill_langchain.remembering import Remembered, Replay


@pytest.fixture
def read_back(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The conversations whose sessions were made from state."""
    names: list[str] = []
    from_dict = Session.from_dict

    def watched(cls: type[Session], data: Any, compressor: Compressor) -> Session:
        names.append(data["conversation_id"])
        return from_dict(data, compressor)

    monkeypatch.setattr(Session, "from_dict", classmethod(watched))
    return names


def ask(question: str) -> dict[str, Any]:
    return {"messages": [HumanMessage(question)]}


def test_the_steps_of_one_process_do_not_read_their_session_back(
    make_agent: Any, model: Any, compressor: Compressor, question: str, read_back: list[str]
) -> None:
    agent = make_agent(compressor, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "a"}}
    for _ in range(2):
        agent.invoke(ask(question), config)
    assert len(model.requests) == 10
    assert read_back == []


def test_another_process_reads_it_back_once_and_sends_the_same(
    make_agent: Any, model: Any, lexical: Callable[..., Compressor], question: str, read_back: list[str]
) -> None:
    saver, config = InMemorySaver(), {"configurable": {"thread_id": "a"}}
    for _ in range(2):
        make_agent(SpecPrefillMiddleware(lexical(keep_ratio=0.3)), checkpointer=saver).invoke(ask(question), config)
    assert read_back == ["a"]
    first, second = model.requests[4], model.requests[5]
    assert [message.content for message in second[: len(first)]] == [message.content for message in first]


def test_a_step_back_in_time_is_made_from_the_state_of_then(
    make_agent: Any, model: Any, compressor: Compressor, question: str, read_back: list[str]
) -> None:
    agent = make_agent(compressor, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "a"}}
    agent.invoke(ask(question), config)
    earlier = [snapshot for snapshot in agent.get_state_history(config) if snapshot.next == ("model",)][1]
    before = len(model.requests)
    agent.invoke(None, earlier.config)
    assert read_back == ["a"]
    again = [[message.content for message in request] for request in model.requests[before:]]
    assert again == [[message.content for message in request] for request in model.requests[before - len(again) : before]]


def test_a_step_with_nothing_new_is_not_worked_out_again(compressor: Compressor, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    steps = Session.steps
    monkeypatch.setattr(Session, "steps", lambda self, turns: made.append(len(turns)) or steps(self, turns))
    replay = Replay(compressor.session("a"))
    turns = [Turn((Segment("\n".join(f"line {n} of many" for n in range(60)), id="1"),), "line 7")]
    first, again = replay.steps(turns), replay.steps(list(turns))
    assert made == [1]
    assert again[0].segments == first[0].segments
    assert first[0].usage.scorer_ms > 0
    assert (again[0].usage.scorer_ms, again[0].usage.cache_hits) == (0, 0)
    assert again == replay.session.steps(turns)
    more = [*turns, Turn((Segment("short", id="2"),), "line 7")]
    assert [len(result.segments) for result in replay.steps(more)] == [1, 1]
    assert made == [1, 1, 2]


def test_a_step_that_raised_is_tried_again(lexical: Callable[..., Compressor], monkeypatch: pytest.MonkeyPatch) -> None:
    compressor = lexical(on_error="raise")
    turns = [Turn((Segment("\n".join(f"line {n}" for n in range(60)), id="1"),), "line 7")]
    replay = Replay(compressor.session("a"))
    with monkeypatch.context() as patch:
        patch.setattr(Session, "_decide", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            replay.steps(turns)
    assert replay.steps(turns)[0].segments[0].outcome == "compressed"


def test_only_what_the_state_holds_is_taken_up_and_by_one_step_at_a_time(compressor: Compressor) -> None:
    remembered = Remembered(limit=2)
    left = {"version": 4, "decisions": {"k": [1, 2]}}
    replays = {name: Replay(compressor.session(name)) for name in "abc"}
    assert remembered.take("a", {}) is None
    remembered.keep("a", replays["a"], left)
    assert remembered.take("a", {**left, "run": "r"}) is replays["a"]
    assert remembered.take("a", left) is None
    remembered.keep("a", replays["a"], left)
    assert remembered.take("a", {**left, "decisions": {}}) is None
    for name, replay in replays.items():
        remembered.keep(name, replay, left)
    assert [remembered.take(name, left) for name in "abc"] == [None, replays["b"], replays["c"]]


@pytest.mark.prefix_moves(reason="the history is edited")
def test_a_conversation_whose_history_was_edited_gets_what_fits_it(
    compressor: Compressor, make_agent: Any, model: Any, question: str
) -> None:
    agent = make_agent(compressor, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "a"}}
    messages: list[BaseMessage] = agent.invoke(ask(question), config)["messages"]
    output = next(message for message in messages if message.type == "tool")
    agent.update_state(config, {"messages": [output.model_copy(update={"content": f"{output.content}\nraise AnEntirelyNewError"})]})
    agent.invoke(ask("What next?"), config)
    sent = [next(message.content for message in request if message.id == output.id) for request in (model.requests[1], model.requests[-1])]
    assert ["AnEntirelyNewError" in content for content in sent] == [False, True]
    assert len(sent[1]) < 0.5 * len(str(output.content))
