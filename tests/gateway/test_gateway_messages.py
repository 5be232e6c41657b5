"""From messages to messages: the same bytes as in LangChain, and no byte changed that need not be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import BaseMessage, ToolMessage, convert_to_openai_messages

from specprefill_agents import CompressedSegment, Compressor
from specprefill_agents.gateway.access import Caller
from specprefill_agents.gateway.compressing import BodyCompressor
from specprefill_agents.gateway.messages import opening_of, part_of, put_back, rounds
from specprefill_agents.gateway.respelling import respelled
from specprefill_agents.gateway.settings import GatewaySettings
from specprefill_langchain import PromptCompressor
from tests.conversations import CONVERSATIONS
from tests.gateway.running import lexical
from tests.gateway.timetables import called, conversation, timetable

ANYBODY = Caller("tenant", None, None)


@pytest.fixture(scope="module")
def compressor() -> Compressor:
    return lexical(keep_ratio=0.3)


@given(conversation=CONVERSATIONS)
@settings(max_examples=40)
def test_the_same_conversation_is_the_same_bytes_as_in_langchain(compressor: Compressor, conversation: list[BaseMessage]) -> None:
    # What went wrong is not told on the wire.
    told = [one.model_copy(update={"status": "success"}) if isinstance(one, ToolMessage) else one for one in conversation]
    there = convert_to_openai_messages(PromptCompressor(compressor).invoke(told))
    bodies = BodyCompressor(compressor, GatewaySettings("http://127.0.0.1"))
    data = json.dumps({"messages": convert_to_openai_messages(told)}).encode()
    assert json.loads(bodies.prepare(data, ANYBODY).body)["messages"] == there


@given(conversation=CONVERSATIONS, data=st.data())
@settings(max_examples=25)
def test_what_was_sent_is_the_beginning_of_what_is_sent_later(
    compressor: Compressor, conversation: list[BaseMessage], data: st.DataObject
) -> None:
    messages = convert_to_openai_messages(conversation)
    end = data.draw(st.integers(0, len(messages)))
    bodies = BodyCompressor(compressor, GatewaySettings("http://127.0.0.1"))

    def sent(some: Any) -> bytes:
        return bodies.prepare(b'{"messages": ' + json.dumps(some).encode() + b"}", ANYBODY).body

    # Unless the output of a call is cut off in its round, whose parts share a budget.
    if end == len(messages) or not isinstance(conversation[end], ToolMessage):
        assert sent(messages).startswith(sent(messages[:end]).removesuffix(b"]}"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(value=JSON, other=JSON, indent=st.sampled_from([None, 0, 3]), ascii_only=st.booleans(), data=st.data())
def test_a_text_reads_as_the_new_value_and_differs_only_where_that_does(
    value: Any, other: Any, indent: int | None, ascii_only: bool, data: st.DataObject
) -> None:
    text = json.dumps({"a": value, "b": [1.50, value, "é"], "c": {"d": other}}, indent=indent, ensure_ascii=ascii_only)
    old = json.loads(text)
    assert respelled(text, old, dict(old)) == text
    place = data.draw(st.sampled_from(["a", "b", "c"]))
    new = {**old}
    if place == "a":
        new["a"] = other
    elif place == "b":
        new["b"] = [old["b"][0], other, old["b"][2]]
    else:
        new["c"] = {"d": value}
    made = respelled(text, old, new)
    assert json.loads(made) == new
    before = text[: text.index('"b"')] if place != "a" else ""
    assert made.startswith(before)
    after = text[text.rindex('"c"') :] if place != "c" else "}"
    assert made.endswith(after)


ROLES = st.sampled_from(["system", "user", "assistant", "tool", "developer"])
PARTS = st.fixed_dictionaries({"type": st.just("text") | JSON, "text": st.text(max_size=300) | JSON})
CALLS = st.fixed_dictionaries(
    {"id": st.just("a") | JSON, "function": st.fixed_dictionaries({"name": st.text() | JSON, "arguments": JSON}) | JSON}
)
MESSAGES = JSON | st.fixed_dictionaries(
    {"role": ROLES | JSON},
    optional={
        "content": st.text(max_size=300) | st.lists(PARTS | JSON, max_size=3) | JSON,
        "tool_calls": st.lists(CALLS | JSON, max_size=2) | JSON,
        "tool_call_id": st.just("a") | JSON,
        "name": st.text() | JSON,
        "reasoning_content": st.text() | JSON,
    },
)


def without_tool_texts(message: Any) -> Any:
    if not isinstance(message, dict) or message.get("role") != "tool":
        return message
    content = message.get("content")
    if isinstance(content, list):
        return {
            **message,
            "content": [{**one, "text": ""} if isinstance(one, dict) and one.get("type") == "text" else one for one in content],
        }
    return {**message, "content": ""}


@given(
    messages=st.lists(MESSAGES, max_size=6) | JSON,
    others=st.dictionaries(st.text(), JSON, max_size=2),
    tools=st.lists(JSON, max_size=2) | JSON,
)
@settings(max_examples=150)
def test_whatever_a_request_holds_all_but_tool_texts_comes_out_as_it_was(
    compressor: Compressor, messages: Any, others: Any, tools: Any
) -> None:
    request = {**others, "messages": messages, "tools": tools}
    made = BodyCompressor(compressor, GatewaySettings("http://127.0.0.1")).prepare(json.dumps(request).encode(), ANYBODY)
    sent = json.loads(made.body)
    assert list(sent) == list(request)
    assert {**sent, "messages": None} == {**request, "messages": None}
    if isinstance(messages, list):
        assert list(map(without_tool_texts, sent["messages"])) == list(map(without_tool_texts, messages))
        assert len([part_of(message).wire for message in made.report.sent]) == len(messages)
    else:
        assert sent["messages"] == messages
    assert made.report.result.usage.fallback_reason is None


def test_of_a_key_that_stands_twice_the_last_is_changed() -> None:
    text = '{"a": "x", "b" : [ {"c":"one" , "c" :\n"two"}, 1e2 ] ,"a":"y"}'
    old = json.loads(text)
    new = {"a": "z", "b": [{"c": "three"}, old["b"][1]]}
    assert respelled(text, old, new) == '{"a": "x", "b" : [ {"c":"one" , "c" :\n"three"}, 1e2 ] ,"a":"z"}'


def test_each_round_is_read_with_the_query_of_its_own_time() -> None:
    later = [{"role": "assistant", "content": "At 1:30."}, {"role": "user", "content": [{"type": "text", "text": "And to Chur?"}]}]
    messages = [*conversation(2), *later, called("c", page=9, town="Chur"), {"role": "tool", "tool_call_id": "c", "content": "x"}]
    question, said = "When does the train to Basel leave?", "I look it up – “Zürich”."
    assert [part.query.splitlines() for part in rounds(messages)] == [
        [question, said, "0", "Basel"],
        [question, said, "1", "Basel"],
        ["And to Chur?", said, "9", "Chur"],
    ]
    assert rounds(messages[:4]) == rounds(messages)[:1]
    slots = [slot for part in rounds(messages) for slot in part.slots]
    assert [(slot.segment.name, slot.segment.id, slot.segment.call) for slot in slots][:1] == [
        ("timetable", "Basel-0", 'timetable(0, "Basel")')
    ]
    unchanged = put_back(messages, slots, [CompressedSegment(slot.segment.text, (), "passthrough", 1, 1) for slot in slots])
    assert all(now is was for now, was in zip(unchanged, messages, strict=True))


def test_answers_of_an_expand_tool_of_the_clients_own_pass_whole(compressor: Compressor) -> None:
    call = {"id": "e", "type": "function", "function": {"name": "expand", "arguments": '{"id": "sp-aaaaaaaa"}'}}
    output = {"role": "tool", "tool_call_id": "e", "content": timetable(1, "Basel")}
    body = json.dumps({"messages": [*conversation(0), {"role": "assistant", "content": None, "tool_calls": [call]}, output]}).encode()
    assert BodyCompressor(compressor, GatewaySettings("http://127.0.0.1")).prepare(body, ANYBODY).body == body


def test_no_mark_names_an_id_that_nobody_could_be_asked_for(compressor: Compressor) -> None:
    body = json.dumps({"messages": conversation(3)}).encode()
    sent = BodyCompressor(compressor, GatewaySettings("http://127.0.0.1")).prepare(body, ANYBODY).body
    assert len(sent) < 0.6 * len(body)
    assert b"expand(" not in sent


def test_a_conversation_is_known_by_what_follows_the_system_prompt() -> None:
    first = opening_of(conversation(1))
    assert first == opening_of([{"role": "developer", "content": "Another prompt."}, *conversation(1)[1:]])
    assert first != opening_of(conversation(1, "Chur"))
    assert opening_of([]) == opening_of([{"role": "system", "content": "Alone."}]) == opening_of([None]) == ""


def test_parts_of_a_request_differ_where_the_provider_sees_a_difference() -> None:
    message = called("a", page=1)
    same = [message, {**message, "ignored": 1}]
    others = [
        {**message, "content": None},
        {**message, "reasoning_content": "Otherwise."},
        {**message, "tool_calls": called("b", page=1)["tool_calls"]},
        {**message, "content": [{"type": "text", "text": message["content"]}, {"type": "image_url"}]},
        {**message, "role": "user"},
        None,
    ]
    assert len({part_of(one).wire for one in same}) == 1
    assert len({part_of(one).wire for one in [message, *others]}) == 7
