"""Values at risk: what an agent writes that only a tool's result had shown, and whether it could be read by then."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents.config import CompressionConfig
from specprefill_agents.gateway.messages import rounds
from specprefill_agents.prompt.rounds import Slot
from specprefill_agents.trial.messages import uniform
from specprefill_agents.trial.values import SHORTEST, UsedValue, said_in, used_values
from specprefill_agents.trial.visibility import Shown
from specprefill_agents.types import CompressedSegment, Recalled
from tests.trial.logs import call

Message = dict[str, Any]


def slots_of(messages: list[Message]) -> list[Slot]:
    return [slot for part in rounds(uniform(messages)) for slot in part.slots]


def used_in(messages: list[Message]) -> list[UsedValue]:
    return used_values(uniform(messages), slots_of(messages))


def run(result: str, *answers: Message, asked: str = "Go.") -> list[Message]:
    """A question, one result, and what the agent wrote after it."""
    first = {"role": "assistant", "content": "", "tool_calls": [call(1, "look", at="it")]}
    return [{"role": "user", "content": asked}, first, {"role": "tool", "tool_call_id": "c1", "content": result}, *answers]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("I open src/app/main.py now.", "src/app/main.py"),
        ("The bug is at setup.py:1475.", "setup.py"),
        ("It costs 1,204.50 in all.", "1,204.50"),
        ("See https://example.org/a/b.", "https://example.org/a/b"),
        ("I write to `jo lee`, as asked.", "jo lee"),
        ("I call total_seconds and then stop.", "total_seconds"),
        ("It is called HttpServer here.", "HttpServer"),
        ("Mail ann@zoo.org about it.", "ann@zoo.org"),
        ("我打开src/app/main.py看看。", "src/app/main.py"),
        ("名为“海边的图书馆”的书。", "海边的图书馆"),
        ('名为"海边的图书馆"的书。', "海边的图书馆"),
        ("「海辺の図書館」という本", "海辺の図書館"),
    ],
)
def test_what_only_a_result_had_shown_is_a_value(text: str, value: str) -> None:
    messages = run(f"first line\nhere stands {value} among others\n", {"role": "assistant", "content": text})
    assert [(one.value, one.used_in, one.source) for one in used_in(messages)] == [(value, 3, 0)]


def test_arguments_count_as_whole_even_where_they_are_plain_words() -> None:
    answer = {"role": "assistant", "content": "", "tool_calls": [call(2, "pay", to="Grace Hopper", amount=1204.5, note="abc")]}
    assert {one.value for one in used_in(run("Grace Hopper is owed 1204.5, says abc", answer))} == {"Grace Hopper", "1204.5"}


@pytest.mark.parametrize("asked", ["Read /etc/ZOO/app.toml.", 'The file "/etc/zoo/app.toml" is wrong.'])
def test_what_a_user_said_before_is_none(asked: str) -> None:
    answer = {"role": "assistant", "content": "It is in /etc/zoo/app.toml."}
    assert used_in(run("found /etc/zoo/app.toml", answer, asked=asked)) == []


def test_a_value_counts_at_its_first_use_alone_and_part_of_a_word_is_none() -> None:
    twice = [{"role": "assistant", "content": "It is main.py."}, {"role": "assistant", "content": "Yes, main.py."}]
    assert [one.used_in for one in used_in(run("main.py", *twice))] == [3]
    assert used_in(run("xmain.pyc and 214750", {"role": "assistant", "content": "It is main.py, 1475."})) == []


words = st.sampled_from(
    ["src/app.py", "total_count", "4711", "Grace Hopper", "zoo", "and", "ok", "x1y2", "ann@zoo.org", "'red fox'", '"blue"']
)
lines = st.lists(words, max_size=6).map(" ".join)


@st.composite
def histories(draw: st.DrawFn) -> list[Message]:
    messages: list[Message] = [{"role": "user", "content": draw(lines)}]
    for number in range(draw(st.integers(1, 4))):
        messages.append({"role": "assistant", "content": draw(lines), "tool_calls": [call(number, "look", at=draw(lines))]})
        messages.append({"role": "tool", "tool_call_id": f"c{number}", "content": draw(lines)})
    return [*messages, {"role": "assistant", "content": draw(lines)}]


@given(histories())
def test_every_value_stands_in_an_earlier_result_and_nowhere_else_before(messages: list[Message]) -> None:
    slots, whole = slots_of(messages), uniform(messages)
    found = used_values(whole, slots)
    assert len({one.value for one in found}) == len(found)
    for one in found:
        assert len(one.value) >= SHORTEST
        assert one.value in said_in(whole[one.used_in])
        for slot, start in one.places:
            assert slots[slot].message < one.used_in
            assert slots[slot].segment.text[start:].startswith(one.value)
        before = [said_in(message) for message in whole[: one.used_in] if message["role"] != "tool"]
        assert not any(one.value.casefold() in text.casefold() for text in before)


@given(histories(), st.data())
def test_a_value_is_hidden_exactly_when_no_kept_span_holds_one_of_its_places(messages: list[Message], data: st.DataObject) -> None:
    slots = slots_of(messages)
    decided = []
    for slot in slots:
        size = len(slot.segment.text)
        cuts = sorted(data.draw(st.lists(st.integers(0, size), min_size=2, max_size=4, unique=True))) if size > 3 else [0, size]
        spans = tuple(pair for pair in zip(cuts[::2], cuts[1::2], strict=False) if pair[0] < pair[1])
        decided.append(CompressedSegment("", spans, "compressed", 9, 5, original_id="sp-abc"))
    shown = Shown(CompressionConfig(), slots, decided)
    for one in used_values(uniform(messages), slots):
        kept = [set().union(*(range(*span) for span in each.spans)) for each in decided]
        is_readable = any(set(range(start, start + len(one.value))) <= kept[slot] for slot, start in one.places)
        gap = shown.gap_of(one)
        assert (gap is None) == is_readable
        if gap:
            assert gap.start <= gap.at + len(one.value)
            assert gap.at < gap.end
            assert one.value in slots[gap.slot].segment.text[gap.at :]


def test_what_was_brought_back_by_then_can_be_read_and_its_heading_cannot() -> None:
    messages = run("alpha\nserver_4711\n", {"role": "assistant", "content": "", "tool_calls": [call(2, "look", at="more")]})
    messages += [
        {"role": "tool", "tool_call_id": "c2", "content": "beta"},
        {"role": "assistant", "content": "It is server_4711, not lines_9999."},
    ]
    first = CompressedSegment("[…]", (), "compressed", 9, 1)
    heading = "[left out of lines_9999]"
    tail = CompressedSegment(
        f"beta\n{heading}\nserver_4711", ((0, 4),), "protected", 1, 5, recalled=(Recalled("one", heading, ((6, 17),)),)
    )
    shown = Shown(CompressionConfig(), slots_of(messages), [first, tail])
    (used,) = used_in(messages)
    assert used.value == "server_4711"
    assert shown.gap_of(used) is None
    assert shown.gap_of(UsedValue("lines_9999", 5, ((0, 0),))) is not None
