"""The prefix cache hits what DeepSeek's rule says it hits, in whole stored units only."""

from __future__ import annotations

import pytest

from specprefill_agents.accounting.prefix import PrefixCache, PrefixUse, wire_text
from specprefill_agents.accounting.tokens import FunctionCounter


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
