"""A request stays within `max_target_tokens`: tool outputs are cut further to fit, and nothing that was sent changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from specprefill_agents import CompressionConfig, Compressor, ConfigError, Segment, TargetError, Turn
from specprefill_agents.session.stepping import limits_of
from specprefill_langchain import ChatLocal, ChatSpecPrefill, PromptCompressor, SpecPrefillMiddleware
from specprefill_langchain.messages import rounds
from specprefill_langchain.parts import part_of

QUESTION = "Which harbour has the red ship?"


def output(number: int, lines: int = 80) -> str:
    rows = [f"harbour {number}-{row} has a grey ship and nothing else to be told of" for row in range(lines)]
    rows[lines // 2] = f"harbour {number}-{lines // 2} has the red ship"
    return "\n".join(rows)


def conversation(steps: int) -> list[BaseMessage]:
    messages: list[BaseMessage] = [SystemMessage("You know harbours."), HumanMessage(QUESTION)]
    for step in range(steps):
        messages.append(AIMessage("", tool_calls=[{"name": "look", "args": {"at": step}, "id": f"c{step}"}]))
        messages.append(ToolMessage(output(step), tool_call_id=f"c{step}", name="look"))
    return messages


def tokens_of(compressor: Compressor, messages: Any) -> int:
    return sum(compressor.counter.count(str(message.text)) for message in messages)


@pytest.mark.parametrize("keep_ratio", [0.8, "auto"])
def test_what_would_be_too_long_is_cut_to_fit_and_the_answer_stays(lexical: Callable[..., Compressor], keep_ratio: Any) -> None:
    compressor = lexical(keep_ratio=keep_ratio)
    segments = [Segment(output(1)), Segment(output(2))]
    result = compressor.compress(segments, QUESTION, most_tokens=300)
    assert result.usage.kept_tokens <= 300
    assert all("has the red ship" in one.text for one in result.segments)
    assert "300 tokens that there is room for" in (result.usage.note or "")
    assert compressor.compress(segments, QUESTION, most_tokens=10**6).segments == compressor.compress(segments, QUESTION).segments


def test_what_is_too_short_to_be_cut_is_cut_where_there_is_no_room(lexical: Callable[..., Compressor]) -> None:
    compressor = lexical(keep_ratio=0.5, min_tokens=10_000)
    assert compressor.compress([Segment(output(1))], QUESTION).segments[0].outcome == "protected"
    assert compressor.compress([Segment(output(1))], QUESTION, most_tokens=200).usage.kept_tokens <= 200


def test_without_any_room_nothing_is_sent_of_what_may_be_cut(lexical: Callable[..., Compressor]) -> None:
    kept = lexical().compress([Segment(output(1)), Segment("stays", kind="tool_error")], QUESTION, most_tokens=-5).segments
    assert [one.text for one in kept] == ["", "stays"]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=5), st.integers(50, 1500))
def test_a_session_never_shows_more_than_it_may(sizes: list[int], most: int) -> None:
    config = CompressionConfig(keep_ratio=0.9, scorer="bm25", min_tokens=0, min_result_tokens=0, target_tokenizer="o200k_base")
    compressor = Compressor(config=config, cache="memory")
    turns = [Turn((Segment(output(n, size), id=str(n)),), QUESTION, most) for n, size in enumerate(sizes)]
    session = compressor.session("s")
    before: list[str] = []
    for length in range(1, len(turns) + 1):
        results = session.steps(turns[:length])
        assert sum(result.usage.kept_tokens for result in results) <= most
        shown = [segment.text for result in results for segment in result.segments]
        assert shown[: len(before)] == before
        before = shown


def test_everything_that_is_sent_counts(lexical: Callable[..., Compressor]) -> None:
    compressor = lexical(max_target_tokens=1000)
    found = rounds(conversation(2))
    first, second = limits_of(compressor, found, [], part_of)
    assert first is not None
    assert second is not None
    assert second < first < 1000
    assert limits_of(compressor, found, ["tools " * 100], part_of) == [first - 109, second - 109]
    assert limits_of(lexical(), found, [], part_of) == [None, None]


def test_a_request_of_an_agent_stays_within_the_limit_and_extends_the_one_before(lexical: Callable[..., Compressor]) -> None:
    compressor = lexical(keep_ratio=0.9, max_target_tokens=1200)
    runnable = PromptCompressor(compressor)
    before: list[BaseMessage] = []
    for steps in (1, 2, 3):
        sent: Any = runnable.invoke(conversation(steps))
        assert tokens_of(compressor, sent) <= 1200
        assert sent[: len(before)] == before
        assert "has the red ship" in sent[3].text
        before = sent
    assert tokens_of(compressor, conversation(3)) > 3000


def test_a_prompt_of_four_times_the_window_is_answered(tiny_draft: str, lexical: Callable[..., Compressor]) -> None:
    model = ChatLocal(model=tiny_draft, max_tokens=4, device="cpu", dtype="float32")
    compressor = lexical(keep_ratio=0.9, target_tokenizer=tiny_draft, max_target_tokens=3500)
    messages = conversation(4)
    assert tokens_of(compressor, messages) > 4 * 4096
    with pytest.raises(TargetError, match="reads at most 4095"):
        model.invoke(messages)
    answer = ChatSpecPrefill(inner=model, compressor=compressor).invoke(messages)
    assert answer.usage_metadata
    assert 1500 < answer.usage_metadata["input_tokens"] < 4096
    create_agent(model, [], middleware=[SpecPrefillMiddleware(compressor)]).invoke({"messages": messages})


def test_what_must_pass_whole_and_does_not_fit_is_an_error_that_says_so(tiny_draft: str, lexical: Callable[..., Compressor]) -> None:
    model = ChatLocal(model=tiny_draft, max_tokens=4, device="cpu", dtype="float32")
    compressor = lexical(target_tokenizer=tiny_draft, max_target_tokens=3500)
    messages = [HumanMessage("ship " * 1000), *conversation(1)[1:]]
    with pytest.raises(TargetError, match=r"reads at most 4095: compress more, or drop messages"):
        ChatSpecPrefill(inner=model, compressor=compressor).invoke(messages)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "many"])
def test_a_limit_is_a_number_of_tokens(value: Any) -> None:
    with pytest.raises(ConfigError, match="max_target_tokens"):
        CompressionConfig(max_target_tokens=value)
