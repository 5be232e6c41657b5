"""SpecPrefillMiddleware beside LangChain's own middleware: what each order sends, and why it stands last."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    ClearToolUsesEdit,
    ContextEditingMiddleware,
    HumanInTheLoopMiddleware,
    LLMToolSelectorMiddleware,
    SummarizationMiddleware,
    TodoListMiddleware,
)
from langchain_core.language_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from specprefill_agents import Compressor
from specprefill_langchain import SpecPrefillMiddleware, StepReport
from tests.langchain.conftest import ScriptedModel, scripted_answers

Wire = Callable[[Sequence[BaseMessage]], bytes]

THREAD: Any = {"configurable": {"thread_id": "a"}}
LAST, FIRST = slice(None, None, 1), slice(None, None, -1)


def ask(question: str) -> dict[str, Any]:
    return {"messages": [HumanMessage(question)]}


def outputs(messages: Sequence[BaseMessage]) -> dict[str, Any]:
    """The contents of the tool messages by call."""
    return {message.tool_call_id: message.content for message in messages if message.type == "tool"}


def are_paired(messages: Sequence[BaseMessage]) -> bool:
    """Whether every call is answered before the assistant speaks again, and nothing else is."""
    open_calls: set[str | None] = set()
    for message in messages:
        if isinstance(message, AIMessage):
            if open_calls:
                return False
            open_calls = {call["id"] for call in message.tool_calls}
        elif isinstance(message, ToolMessage):
            if message.tool_call_id not in open_calls:
                return False
            open_calls.discard(message.tool_call_id)
    return not open_calls


class Stepwise(ScriptedModel):
    """Goes on with its script whatever is left of the history."""

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self._requests.append(list(messages))
        answer = self.answers[min(len(self._requests), len(self.answers)) - 1]
        return ChatResult(generations=[ChatGeneration(message=answer.model_copy())])


@pytest.fixture
def model() -> ScriptedModel:
    return Stepwise(answers=scripted_answers())


@pytest.fixture
def agent(model: Any, tools: Any, lexical: Callable[..., Compressor]) -> Callable[..., Any]:
    """Makes an agent of another middleware and this project's, which stands last or first, and tells `on_step`."""

    def make(other: AgentMiddleware[Any, Any, Any] | None, order: slice = LAST, on_step: Any = None, answers: Any = None) -> Any:
        if answers:
            model.answers = answers
        # Without recall, so that each output's text is a matter of its round alone, unless it repeats another.
        stack: list[Any] = [*filter(None, [other]), SpecPrefillMiddleware(lexical(recall_tokens=0), on_step=on_step)]
        return create_agent(model, tools, middleware=stack[order], system_prompt="You read code.", checkpointer=InMemorySaver())

    return make


def clearing() -> ContextEditingMiddleware[Any, Any]:
    return ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=100, keep=3)])


@pytest.mark.prefix_moves(reason="results are cleared")
def test_cleared_results_stay_cleared_and_the_others_as_they_were_sent(agent: Any, model: Any, question: str) -> None:
    agent(None).invoke(ask(question), THREAD)
    undisturbed = outputs(model.requests[-1])
    model.requests.clear()
    reports: list[StepReport] = []
    agent(clearing(), on_step=reports.append).invoke(ask(question), THREAD)
    cleared: set[str] = set()
    for request, report in zip(model.requests, reports, strict=True):
        assert are_paired(request)
        sent = outputs(request)
        gone = {call for call, content in sent.items() if content == "[cleared]"}
        assert gone >= cleared
        assert {call: content for call, content in sent.items() if call not in gone} == {
            call: undisturbed[call] for call in sent if call not in gone
        }
        assert list(report.sent) == request[1:], "where it stands last it reports what is sent"
        cleared = gone
    assert len(cleared) == 3


def read_again() -> list[AIMessage]:
    """The same file twice, then other things, after which the first reading is cleared."""
    files = ["textwrap.py", "textwrap.py", "json/encoder.py", "json/decoder.py"]
    calls = [[{"name": "read_file", "args": {"file": file, "last": 120}, "id": f"read-{n}"}] for n, file in enumerate(files)]
    return [*(AIMessage("", tool_calls=call) for call in calls), AIMessage("That is all.")]


@pytest.mark.prefix_moves(reason="results are cleared")
def test_a_result_that_refers_to_one_that_is_cleared_speaks_for_itself_again(agent: Any, model: Any, question: str) -> None:
    agent(clearing(), answers=read_again()).invoke(ask(question), THREAD)
    before, after = (outputs(request) for request in model.requests[-2:])
    assert "above]" in before["read-1"]
    assert after["read-0"] == "[cleared]"
    assert "above]" not in after["read-1"]
    assert len(after["read-1"]) > len(before["read-1"])


@pytest.mark.prefix_moves(reason="results are cleared")
def test_standing_first_it_would_refer_to_what_is_not_there_and_report_what_is_not_sent(agent: Any, model: Any, question: str) -> None:
    # What is compressed counts less, so the trigger comes later.
    other = ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=10, keep=3)])
    reports: list[StepReport] = []
    agent(other, FIRST, reports.append, read_again()).invoke(ask(question), THREAD)
    sent = outputs(model.requests[-1])
    assert sent["read-0"] == "[cleared]"
    assert "above]" in sent["read-1"]
    assert list(reports[-1].sent) != model.requests[-1][1:]


def test_a_placeholder_is_sent_as_it_is_however_long(agent: Any, model: Any, question: str) -> None:
    placeholder = "This output was removed to save room.\n" * 20
    edit = ClearToolUsesEdit(trigger=100, keep=0, placeholder=placeholder)
    agent(ContextEditingMiddleware(edits=[edit])).invoke(ask(question), THREAD)
    assert set(outputs(model.requests[-1]).values()) == {placeholder}


@pytest.mark.parametrize("order", [LAST, FIRST], ids=["last", "first"])
def test_after_a_summary_what_is_left_is_sent_as_it_was_in_either_order(
    agent: Any, model: Any, question: str, wire: Wire, order: Any
) -> None:
    agent(None).invoke(ask(question), THREAD)
    undisturbed = outputs(model.requests[-1])
    model.requests.clear()
    writer = FakeMessagesListChatModel(responses=[AIMessage("It looked for errors. " * 60)])
    summing = SummarizationMiddleware(writer, trigger=("messages", 9), keep=("messages", 3))
    agent(summing, order).invoke(ask(question), THREAD)
    *_, first, second = model.requests
    assert first[1].content == f"Here is a summary of the conversation to date:\n\n{writer.responses[0].content}".strip()
    assert [list(outputs(request)) for request in (first, second)] == [["call-2-0", "call-2-1"], ["call-2-0", "call-2-1", "call-3-0"]]
    assert outputs(second) == {call: undisturbed[call] for call in outputs(second)}
    assert are_paired(second)
    assert wire(second).startswith(wire(first))


DECISIONS: list[dict[str, Any]] = [
    {"type": "edit", "edited_action": {"name": "grep", "args": {"pattern": "raise", "file": "argparse.py"}}},
    {"type": "approve"},
    {"type": "reject", "message": "Not this file, please. " * 60},
    {"type": "approve"},
    {"type": "respond", "message": "I looked myself, and there is nothing in it. " * 60},
]
"""On the calls of the script in turn; nobody is asked about pictures."""


@pytest.mark.parametrize("order", [LAST, FIRST], ids=["last", "first"])
def test_what_a_reviewer_decides_is_read_whole_and_moves_no_prefix(agent: Any, model: Any, question: str, wire: Wire, order: Any) -> None:
    review: HumanInTheLoopMiddleware[Any, Any, Any] = HumanInTheLoopMiddleware({"grep": True, "read_file": True})
    reviewed, decisions = agent(review, order), iter(DECISIONS)
    state = reviewed.invoke(ask(question), THREAD)
    while pending := reviewed.get_state(THREAD).interrupts:
        asked = pending[0].value["action_requests"]
        state = reviewed.invoke(Command(resume={"decisions": list(itertools.islice(decisions, len(asked)))}), THREAD)
    assert len(model.requests) == 5
    for before, after in itertools.pairwise(model.requests):
        assert wire(after).startswith(wire(before))
        assert are_paired(after)
    sent, whole = outputs(model.requests[-1]), outputs(state["messages"])
    notice, edited = whole["call-0-0"].split("Tool response:")
    assert sent["call-0-0"].startswith(f"{notice}Tool response:")
    assert len(sent["call-0-0"]) < len(notice) + 0.5 * len(edited)
    assert sent["call-1-1"] == whole["call-1-1"]
    assert "Not this file, please." in sent["call-1-1"]
    assert sent["call-2-1"] == DECISIONS[-1]["message"]
    assert len(sent["call-1-0"]) < len(whole["call-1-0"])


@tool
def clock() -> str:
    """What time it is."""
    raise AssertionError("never called")


class Injecting(AgentMiddleware[Any, Any, Any]):
    """Gives the model one tool more with each call."""

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        return handler(request.override(tools=[*request.tools, clock]))

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        return handler(request)


@pytest.mark.parametrize(("order", "is_seen"), [(LAST, True), (FIRST, False)], ids=["last", "first"])
def test_tools_and_prompts_that_others_add_are_seen_from_the_last_place_only(
    agent: Any, model: Any, question: str, order: Any, is_seen: bool
) -> None:
    for other, name in ((Injecting(), "clock"), (TodoListMiddleware(), "write_todos")):
        reports: list[StepReport] = []
        model.requests.clear()
        agent(other, order, reports.append).invoke(ask(question), THREAD)
        assert len(reports) == 5
        assert outputs(model.requests[-1]) == outputs(reports[-1].sent), "the messages are the same from either place"
        if name == "clock":
            assert all(("clock" in [getattr(one, "name", "") for one in report.tools]) is is_seen for report in reports)
        else:
            assert all((report.system == model.requests[0][0]) is is_seen for report in reports)


class Selector(ScriptedModel):
    """Finds that one tool is enough."""

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Runnable[Any, Any]:
        return RunnableLambda(lambda _: {"tools": ["grep"]})


@pytest.mark.parametrize(("always", "shown"), [(["expand"], ["grep", "expand"]), (None, ["grep"])], ids=["with expand", "without"])
def test_a_selector_of_tools_leaves_expand_out_unless_told_to_include_it(
    agent: Any, model: Any, question: str, always: list[str] | None, shown: list[str]
) -> None:
    agent(None).invoke(ask(question), THREAD)
    undisturbed = outputs(model.requests[-1])
    model.requests.clear()
    reports: list[StepReport] = []
    selecting: LLMToolSelectorMiddleware[Any] = LLMToolSelectorMiddleware(model=Selector(answers=[]), always_include=always)
    agent(selecting, on_step=reports.append).invoke(ask(question), THREAD)
    assert [[getattr(one, "name", "") for one in report.tools] for report in reports] == [shown] * 5
    assert outputs(model.requests[-1]) == undisturbed, "what is compressed does not depend on the tools"
