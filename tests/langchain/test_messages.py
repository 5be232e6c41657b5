"""Messages to rounds of segments and back: nothing but the text of tool outputs ever changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from specprefill_agents import CompressedSegment, CompressionConfig, Compressor
from specprefill_langchain.messages import put_back, rounds
from specprefill_langchain.step import compress_step


def call(call_id: str | None, name: str = "search", **arguments: Any) -> dict[str, Any]:
    return {"id": call_id, "name": name, "args": arguments}


def decided(text: str) -> CompressedSegment:
    return CompressedSegment(text, (), "compressed", 1, 1)


def segments_of(messages: Sequence[BaseMessage]) -> list[tuple[str, str, str | None, str | None]]:
    return [(s.segment.text, s.segment.kind, s.segment.name, s.segment.id) for part in rounds(messages) for s in part.slots]


def test_a_tool_output_is_named_by_itself_or_else_by_its_call() -> None:
    history = [
        AIMessage("", tool_calls=[call("a", "search"), call("b", "search")]),
        ToolMessage("one", tool_call_id="a"),
        ToolMessage("two", tool_call_id="b", name="browse"),
        ToolMessage("three", tool_call_id="nobody asked"),
    ]
    assert segments_of(history) == [
        ("one", "tool_result", "search", "a"),
        ("two", "tool_result", "browse", "b"),
        ("three", "tool_result", None, "nobody asked"),
    ]


def test_errors_and_expanded_originals_are_segments_of_protected_kinds() -> None:
    history = [
        ToolMessage("no such file", tool_call_id="a", status="error"),
        AIMessage("", tool_calls=[call("b", "expand")]),
        ToolMessage("the original", tool_call_id="b"),
    ]
    assert [kind for _, kind, _, _ in segments_of(history)] == ["tool_error", "expanded"]


def test_only_the_texts_of_list_content_are_segments() -> None:
    blocks: list[str | dict[str, Any]] = [
        "bare",
        {"type": "text", "text": "block"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "text", "text": None},
        {"text": "of no type"},
    ]
    assert [text for text, *_ in segments_of([ToolMessage(blocks, tool_call_id="a")])] == ["bare", "block"]


def test_texts_go_back_into_their_own_blocks() -> None:
    blocks: list[str | dict[str, Any]] = ["bare", {"type": "image"}, {"type": "text", "text": "block", "id": 7}]
    history = [HumanMessage("hello"), ToolMessage(blocks, tool_call_id="a", artifact={"rows": 3}, id="m")]
    (part,) = rounds(history)
    same, changed = put_back(history, part.slots, [decided("BARE"), decided("BLOCK")])
    assert same is history[0]
    assert changed.content == ["BARE", {"type": "image"}, {"type": "text", "text": "BLOCK", "id": 7}]
    assert blocks == ["bare", {"type": "image"}, {"type": "text", "text": "block", "id": 7}]
    assert changed.model_dump(exclude={"content"}) == history[1].model_dump(exclude={"content"})


def test_each_round_is_read_with_the_question_and_the_calls_of_its_time() -> None:
    history = [
        HumanMessage("Which trains run?"),
        AIMessage("First the timetable.", tool_calls=[call("a", city="Bern"), call("b", city="Basel")]),
        ToolMessage("1", tool_call_id="a"),
        ToolMessage("2", tool_call_id="b"),
        AIMessage("Many."),
        HumanMessage([{"type": "text", "text": "And buses?"}]),
        AIMessage("", tool_calls=[call("c", line=12)]),
        ToolMessage("3", tool_call_id="c"),
    ]
    queries = [part.query for part in rounds(history)]
    assert queries == ["Which trains run?\nFirst the timetable.\nBern\nBasel", "And buses?\n12"]
    assert [part.query for part in rounds(history[:4])] == queries[:1]
    assert [part.query for part in rounds(history, "fixed")] == ["fixed", "fixed"]


def test_calls_without_ids_and_unknown_messages_do_not_disturb() -> None:
    history = [
        ChatMessage("hm", role="narrator"),
        AIMessage([{"type": "reasoning", "reasoning": "long"}, {"type": "text", "text": "Let me see."}], tool_calls=[call(None)]),
        ToolMessage("found", tool_call_id=""),
    ]
    (part,) = rounds(history)
    assert part.query == ""
    assert put_back(history, part.slots, [decided("less")])[2].content == "less"


texts = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.sampled_from(["The train leaves at noon. ", "Nothing here.\n", "row 1 | row 2\n", "多字节的文字。", "[… 3 lines omitted]\n"]),
        max_size=60,
    ).map("".join),
)
blocks = st.lists(
    st.one_of(
        texts,
        st.builds(lambda text: {"type": "text", "text": text}, texts),
        st.just({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}),
        st.just({"type": "text"}),
    ),
    max_size=4,
)
ids = st.sampled_from(["a", "b", "c", "d"])
tool_calls = st.lists(st.builds(call, ids | st.none(), st.sampled_from(["search", "expand", "kept"]), text=texts), max_size=3)
messages = st.one_of(
    st.builds(HumanMessage, texts | blocks),
    st.builds(SystemMessage, texts),
    st.builds(AIMessage, texts, tool_calls=tool_calls, id=st.none() | st.just("ai")),
    st.builds(
        ToolMessage,
        texts | blocks,
        tool_call_id=ids,
        status=st.sampled_from(["success", "error"]),
        name=st.none() | st.sampled_from(["search", "expand", "kept"]),
        artifact=st.none() | st.just({"rows": 1}),
    ),
)
histories = st.lists(messages, max_size=12)


@pytest.fixture(scope="module")
def compressor() -> Compressor:
    """One for all examples: sessions are what holds state."""
    settings = CompressionConfig(scorer="bm25", min_tokens=0, target_tokenizer="o200k_base", exclude_tools=("kept",))
    return Compressor(config=settings)


@given(histories)
def test_putting_every_text_back_gives_the_identical_messages(history: list[BaseMessage]) -> None:
    slots = [slot for part in rounds(history) for slot in part.slots]
    returned = put_back(history, slots, [decided(slot.segment.text) for slot in slots])
    assert all(now is was for now, was in zip(returned, history, strict=True))


@given(histories)
def test_only_the_text_of_results_changes_in_any_history(compressor: Compressor, history: list[BaseMessage]) -> None:
    before = [message.model_dump_json() for message in history]
    sent = compress_step(compressor, compressor.session("x"), history).sent
    assert [message.model_dump_json() for message in history] == before
    for was, now in zip(history, sent, strict=True):
        if now is was:
            continue
        assert isinstance(was, ToolMessage)
        assert was.status == "success"
        assert was.name not in ("expand", "kept")
        assert now.model_dump(exclude={"content"}) == was.model_dump(exclude={"content"})
        assert type(now.content) is type(was.content)
        for block_was, block_now in zip(was.content, now.content, strict=True) if isinstance(was.content, list) else ():
            assert type(block_now) is type(block_was)
            if isinstance(block_was, dict) and block_was.get("type") != "text":
                assert block_now == block_was


@given(histories)
def test_what_is_sent_for_a_history_begins_what_is_sent_for_a_longer_one(compressor: Compressor, history: list[BaseMessage]) -> None:
    whole = compress_step(compressor, compressor.session("x"), history).sent
    for end, message in enumerate(history):
        if isinstance(message, AIMessage):  # it was asked with everything before it
            alone = compress_step(compressor, compressor.session("y"), history[:end]).sent
            assert list(alone) == list(whole[:end])


@pytest.mark.parametrize(
    ("notice", "rest", "is_notice"),
    [
        ('Changed. Executed instead: grep with arguments {"a": "}."}.\n\nTool response:', "\n1\n2", True),
        ('Executed instead: grep with arguments {"a": 1}.', "", True),
        ('Executed instead: grep with arguments {"a": 1}.', " And more that a tool said", False),
        ("x" * 5_000 + ' Executed instead: grep with arguments {"a": 1}.\n\nTool response:', "\n1", False),
        ("Tool response:", "\nnothing", False),
    ],
)
def test_the_notice_of_a_reviewer_must_be_kept_of_an_output(notice: str, rest: str, is_notice: bool) -> None:
    (part,) = rounds([HumanMessage("?"), ToolMessage(notice + rest, tool_call_id="1")])
    assert [slot.segment.keep for slot in part.slots] == [((0, len(notice)),) if is_notice else ()]


def test_what_no_tool_wrote_is_no_segment() -> None:
    cleared = ToolMessage("[cleared]", tool_call_id="1", response_metadata={"context_editing": {"cleared": True}})
    answered = ToolMessage("I know it.", tool_call_id="2", additional_kwargs={"lc_source": "hitl_interrupt_decision"})
    other = ToolMessage("6:30", tool_call_id="3", response_metadata={"context_editing": "?"}, additional_kwargs={"lc_source": "other"})
    (part,) = rounds([HumanMessage("?"), cleared, answered, other])
    assert [slot.segment.id for slot in part.slots] == ["3"]
    assert rounds([HumanMessage("?"), cleared, answered]) == []
