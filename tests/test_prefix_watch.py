"""The watch on prefixes that every test is under: it sees what moves, and only that, and a test must say why."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ClearToolUsesEdit, ContextEditingMiddleware
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

from specprefill_agents import Compressor, Segment, Session
from specprefill_agents.session.decisions import Decisions
from specprefill_agents.session.recompacting import CacheState
from specprefill_langchain import SpecPrefillMiddleware
from tests.demo_runs import Writer
from tests.prefix_watch import MARKER, verdict, watching

TEXT = "\n".join(f"Record {n}: the value of entry {n} is {n * n}." for n in range(80))
ONE, TWO, THREE = (Segment(f"{TEXT} {name}", id=name) for name in ("a", "b", "c"))


@pytest.mark.prefix_moves(reason="shows that the watch sees it")
def test_a_session_that_decides_anew_for_each_question_is_seen(lexical: Callable[..., Compressor]) -> None:
    with watching() as watch:
        session = lexical(keep_ratio=0.1).session("c")
        session.step([ONE], "entry 7")
        assert watch.moves == []
        session._decisions, session._shown = Decisions(), {}
        session.step([ONE, TWO], "entry 70")
    assert watch.moves == ["session 'c': segment 0 (a) is sent otherwise than before"]


@pytest.mark.prefix_moves(reason="shows that the watch sees it")
def test_a_session_that_another_process_continues_otherwise_is_seen(
    lexical: Callable[..., Compressor], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = lexical(keep_ratio=0.1)
    with watching() as watch:
        session = made.session("c")
        session.step([ONE], "entry 7")
        saved = json.loads(json.dumps(session.to_dict()))
        Session.from_dict(saved, made).step([ONE, TWO], "entry 7")
        assert watch.moves == []
        monkeypatch.setattr(Decisions, "from_dict", lambda rows: Decisions())
        Session.from_dict(saved, made).step([ONE, TWO], "entry 70")
    assert len(watch.moves) == 1


def test_growth_branches_and_other_conversations_move_nothing(lexical: Callable[..., Compressor]) -> None:
    made = lexical(keep_ratio=0.1)
    with watching() as watch:
        session = made.session("c")
        for segments in ([ONE], [ONE, TWO], [ONE, TWO], [ONE, THREE], [ONE, TWO, THREE], [TWO]):
            session.step(segments, f"entry {len(segments)}")
        made.session("c").step([ONE], "entry 70")
    assert watch.moves == []


def test_what_recompacting_changes_is_a_new_beginning(lexical: Callable[..., Compressor]) -> None:
    with watching() as watch:
        session = lexical(keep_ratio=0.1).session("c")
        before = session.step([ONE], "entry 7")
        rewritten = session.recompact([ONE], "entry 70", CacheState(), force=True)
        assert rewritten
        assert rewritten.result.segments[0].text != before.segments[0].text
        session.step([ONE, TWO], "entry 5")
    assert watch.moves == []


@tool
def look(page: int) -> str:
    """A page of records."""
    return f"Page {page}\n{TEXT}"


class Looking(Writer):
    """Looks at three pages, then answers."""

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self

    @classmethod
    def new(cls) -> Looking:
        calls = [AIMessage("", tool_calls=[{"name": "look", "args": {"page": n}, "id": f"call-{n}"}]) for n in range(3)]
        return cls(messages=iter([*calls, AIMessage("Done.")]))


@pytest.mark.prefix_moves(reason="clears old results, as some agents do")
def test_an_agent_whose_old_results_are_cleared_is_seen(lexical: Callable[..., Compressor]) -> None:
    clearing: Any = ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=1, keep=1)])
    with watching() as watch:
        agent = create_agent(Looking.new(), [look], middleware=[clearing, SpecPrefillMiddleware(lexical())])
        agent.invoke({"messages": [HumanMessage("What is entry 7?")]})
    assert watch.moves == [f"Looking: message {at} (tool) is sent otherwise than before" for at in (2, 4)]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_agent_of_ours_is_not(lexical: Callable[..., Compressor], asynchronous: bool) -> None:
    question: Any = {"messages": [HumanMessage("What is entry 7?")]}
    with watching() as watch:
        agent = create_agent(Looking.new(), [look], middleware=[SpecPrefillMiddleware(lexical())])
        state = await agent.ainvoke(question) if asynchronous else agent.invoke(question)
    assert len(state["messages"]) == 8
    assert watch.moves == []


@pytest.mark.prefix_moves(reason="shows that the watch sees it")
async def test_another_system_prompt_in_a_conversation_is_seen() -> None:
    model = Writer(messages=iter([AIMessage("one"), AIMessage("two"), AIMessage("three")]))
    with watching() as watch:
        question = HumanMessage("Well?", id="q")
        model.invoke([SystemMessage("It is Monday."), question])
        await model.ainvoke([SystemMessage("It is Monday."), question, AIMessage("one"), HumanMessage("And?")])
        assert watch.moves == []
        await model.ainvoke([SystemMessage("It is Tuesday."), question])
    assert watch.moves == ["Writer: the tools, the system prompt or the first message is sent otherwise than before"]


@pytest.mark.prefix_moves(reason="shows that the watch sees it")
async def test_what_a_model_streams_by_itself_is_seen_too() -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("one"), AIMessage("two"), AIMessage("three")]))
    question, call = HumanMessage("Well?", id="q"), AIMessage("", id="c", tool_calls=[{"name": "look", "args": {}, "id": "1"}])
    with watching() as watch:
        assert list(model.stream([question, call, ToolMessage("6:30 and 7:30", tool_call_id="1", id="t")]))
        assert [chunk async for chunk in model.astream([question, call, ToolMessage("6:30 and 7:30", tool_call_id="1", id="t")])]
        assert watch.moves == []
        assert [chunk async for chunk in model.astream([question, call, ToolMessage("6:30", tool_call_id="1", id="t")])]
    assert watch.moves == ["GenericFakeChatModel: message 2 (tool) is sent otherwise than before"]


def mark(*args: object, **kwargs: object) -> pytest.Mark:
    return pytest.Mark(MARKER, args, kwargs, _ispytest=True)


def test_a_test_fails_for_what_moved_unless_it_says_why_and_for_a_mark_without_need_or_reason() -> None:
    assert verdict([], None) == ""
    assert verdict(["session 'c': ..."], None) == "a prefix that was sent has moved:\nsession 'c': ..."
    assert verdict(["session 'c': ..."], mark(reason="it must")) == ""
    assert verdict([], mark(reason="it must")) == "marked prefix_moves, but nothing that was sent has moved"
    for bad in (mark(), mark("it must"), mark(reason=""), mark(reason="x", other=1)):
        assert verdict(["moved"], bad) == "@pytest.mark.prefix_moves needs reason=..., and nothing else"


def test_this_very_test_is_watched(request: pytest.FixtureRequest) -> None:
    assert "what_was_sent_stays_sent" in request.fixturenames
    assert Session.steps.__wrapped__.__qualname__ == "Session.steps"  # type: ignore[attr-defined]
