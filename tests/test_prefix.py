"""The prefix cache hits what DeepSeek's rule says it hits, in whole stored units only; a prefix that moved says where and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given

from specprefill_agents.accounting.changes import Moved, first_change, shared_prefix
from specprefill_agents.accounting.prefix import PrefixCache, PrefixUse, wire_text
from specprefill_agents.accounting.tokens import FunctionCounter
from specprefill_agents.accounting.wire import Measurer, Part, Request, message_part, tools_part
from tests.ledgers import CHARS, HEAD, HISTORIES, asks, result


class Counted(FunctionCounter):
    """Counts words, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__("words", lambda text: self.asked.append(text) or len(text.split()))  # type: ignore[func-returns-value]
        self.asked: list[str] = []


@pytest.fixture
def counter() -> Counted:
    return Counted()


@pytest.fixture
def cache(counter: Counted) -> PrefixCache:
    return PrefixCache(counter)


def test_the_first_request_misses_everything(cache: PrefixCache) -> None:
    assert cache.request(["a b", "c"]) == PrefixUse(hit_tokens=0, miss_tokens=3, common_tokens=0, previous_tokens=0)


def test_a_request_that_extends_the_one_before_hits_all_of_it(cache: PrefixCache) -> None:
    cache.request(["a b", "c"])
    use = cache.request(["a b", "c", "d e f"])
    assert (use.hit_tokens, use.miss_tokens) == (3, 3)
    assert use.extends_previous


def test_an_answer_sent_back_unchanged_is_hit_too(cache: PrefixCache) -> None:
    cache.request(["a b"])
    assert cache.answer("c d e") == 3
    assert cache.request(["a b", "c d e", "f"]).hit_tokens == 5


def test_an_answer_that_was_changed_is_not(cache: PrefixCache) -> None:
    cache.request(["a b"])
    cache.answer("c d e")
    assert cache.request(["a b", "c d", "f"]).hit_tokens == 2


def test_a_shared_beginning_is_hit_from_the_third_request_on(cache: PrefixCache) -> None:
    # A+B, then A+C misses entirely, and A+D hits A: the provider's own example.
    assert cache.request(["a a a", "b"]).hit_tokens == 0
    assert cache.request(["a a a", "c"]).hit_tokens == 0
    assert cache.request(["a a a", "d"]).hit_tokens == 3


def test_rewriting_an_old_message_loses_everything_after_it(cache: PrefixCache) -> None:
    cache.request(["system", "x y z", "tail"])
    use = cache.request(["system", "x", "tail", "new"])
    assert (use.hit_tokens, use.common_tokens, use.previous_tokens) == (0, 1, 5)
    assert not use.extends_previous


def test_a_shorter_request_does_not_extend_a_longer_one(cache: PrefixCache) -> None:
    cache.request(["a", "b"])
    use = cache.request(["a"])
    assert use.common_tokens == 1
    assert not use.extends_previous


def test_a_text_is_counted_once(cache: PrefixCache, counter: Counted) -> None:
    for size in range(1, 6):
        cache.request([f"message {n}" for n in range(size)])
    assert counter.asked == [f"message {n}" for n in range(5)]


def test_wire_texts_differ_where_messages_do() -> None:
    call = {"id": "1", "name": "grep", "args": {"p": "x"}}
    texts = {
        wire_text("user", "x"),
        wire_text("tool", "x"),
        wire_text("tool", "x", tool_call_id="1"),
        wire_text("assistant", "x"),
        wire_text("assistant", "x", [call]),
        wire_text("assistant", "x", [{**call, "args": {"p": "y"}}]),
        wire_text("assistant", "x", [{**call, "id": "2"}]),
    }
    assert len(texts) == 7


def test_texts_that_are_not_valid_unicode_have_a_place_too(cache: PrefixCache) -> None:
    cache.request(["\ud800"])
    assert cache.request(["\ud800", "b"]).extends_previous


def measured(parts: Sequence[Part]) -> Request:
    return Measurer(CHARS).request(parts)


BEFORE = [*HEAD, asks(1), result(1, 400), asks(2), result(2, 300)]
HEAD_BYTES = sum(len(part.wire) for part in HEAD)


def edited(parts: list[Part]) -> list[Part]:
    return [*parts[:4], message_part("tool", parts[4].text[:100] + "é", tool_call_id="call-1"), *parts[5:]]


def with_new_arguments(parts: list[Part]) -> list[Part]:
    return [*parts[:3], message_part("assistant", "", [{"id": "call-1", "name": "grep", "args": {"p": "x9"}}]), *parts[4:]]


@pytest.mark.parametrize(
    ("change", "cause", "message", "role", "call"),
    [
        (lambda p: [tools_part([]), *p[1:]], "tools", None, "", ""),
        (lambda p: p[1:], "tools", None, "", ""),
        (lambda p: [p[0], message_part("system", "be long"), *p[2:]], "system", None, "", ""),
        (lambda p: [p[0], *p[2:]], "system", None, "", ""),
        (edited, "content", 2, "tool", "call-1"),
        (with_new_arguments, "content", 1, "assistant", ""),
        (lambda p: [*p[:4], *p[5:]], "deleted", 2, "tool", "call-1"),
        (lambda p: p[:-2], "replaced", 3, "assistant", ""),
        (lambda p: [*p[:3], message_part("user", "wait"), *p[3:]], "inserted", 1, "user", ""),
        (lambda p: [*p[:3], *p[5:], *p[3:5]], "reordered", 1, "assistant", ""),
        (lambda p: [*p[:4], message_part("user", "never mind")], "replaced", 2, "tool", "call-1"),
    ],
)
def test_what_moved_a_prefix_is_named(
    change: Callable[[list[Part]], list[Part]], cause: str, message: int | None, role: str, call: str
) -> None:
    moved = first_change(measured(BEFORE), measured([*change(BEFORE), result(3, 50)]))
    assert moved is not None
    assert (moved.cause, moved.message, moved.role, moved.tool_call_id) == (cause, message, role, call)


def test_messages_gone_from_the_end_are_deleted_ones() -> None:
    moved = first_change(measured(BEFORE), measured(BEFORE[:-1]))
    assert moved is not None
    assert (moved.cause, moved.message, moved.tool_call_id) == ("deleted", 4, "call-2")


def test_the_first_byte_that_moved_is_counted_from_the_start_of_the_request() -> None:
    moved = first_change(measured(BEFORE), measured(edited(BEFORE)))
    inside = len("tool\x1ecall-1\x1e") + 100
    assert moved == Moved("content", HEAD_BYTES + len(asks(1).wire) + inside, "message", 2, "tool", "call-1")
    assert str(moved) == f"message 2 (tool) call-1: content changed at byte {moved.byte:,}"
    assert str(Moved("tools", 7, "tools")) == "tools changed at byte 7"


@given(HISTORIES)
def test_the_common_prefix_is_the_longest_and_ends_where_the_report_says(requests: list[list[Part]]) -> None:
    for old, new in pairwise(requests):
        previous, current = measured(old), measured(new)
        shared, moved = shared_prefix(previous, current), first_change(previous, current)
        assert (moved is None) == (new[: len(old)] == old)
        assert moved is None or moved.byte == shared.bytes
        before, after = ([part.wire.encode() for part in parts] for parts in (old, new))
        whole = sum(map(len, before[: shared.parts]))
        assert before[: shared.parts] == after[: shared.parts]
        rest = [b"".join(parts[shared.parts : shared.parts + 1]) for parts in (before, after)]
        inside = shared.bytes - whole
        assert rest[0][:inside] == rest[1][:inside]
        assert rest[0][inside : inside + 1] != rest[1][inside : inside + 1] or rest[0][inside : inside + 1] == b""


def test_a_message_is_told_apart_by_its_reasoning_too() -> None:
    assert message_part("assistant", "x").wire != message_part("assistant", "x", reasoning="because").wire
