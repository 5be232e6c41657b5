"""A conversation is read once: the next step reads what is new, branches find what they share, and memory stays bounded."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace

import pytest

from specprefill_agents import ConfigError
from specprefill_agents.targets.chat_template import ChatTurn
from specprefill_agents.targets.kept_readings import KeptReadings
from specprefill_agents.targets.local import LocalTarget
from specprefill_agents.targets.reading import Reading
from specprefill_agents.targets.sampling import Sampling

SHORT = Sampling(max_new_tokens=6)


def remembering(target: LocalTarget, limit: int = 1 << 24) -> LocalTarget:
    return replace(target, readings=KeptReadings(limit))


def conversation(target: LocalTarget, steps: int, ending: str = "") -> list[list[ChatTurn]]:
    """The requests of an agent, each of which begins with the one before and its answer."""
    turns = [ChatTurn("user", f"How many ships are there{ending}?")]
    requests = []
    for number in range(steps):
        requests.append(list(turns))
        answer = target.generate(turns, SHORT).text
        turns += [ChatTurn("assistant", answer), ChatTurn("user", f"And in harbour {number}{ending}?")]
    return requests


def test_each_step_reads_only_what_is_new_and_answers_the_same(target: LocalTarget) -> None:
    kept = remembering(target)
    requests = conversation(target, 4)
    plain = [target.generate(request, SHORT) for request in requests]
    found = [kept.generate(request, SHORT) for request in requests]
    assert [one.token_ids for one in found] == [one.token_ids for one in plain]
    assert found[0].cached_tokens == 0
    for earlier, later in itertools.pairwise(found):
        assert later.cached_tokens >= earlier.prompt_tokens
        assert later.prompt_tokens - later.cached_tokens < 80


def test_the_same_prompt_again_is_read_but_for_its_last_token(target: LocalTarget) -> None:
    kept = remembering(target)
    first, second = (kept.generate([ChatTurn("user", "How many ships?")], SHORT) for _ in range(2))
    assert second.token_ids == first.token_ids
    assert second.cached_tokens == second.prompt_tokens - 1


def test_branches_of_a_conversation_do_not_disturb_each_other(target: LocalTarget) -> None:
    kept = remembering(target)
    trunk = conversation(target, 2)[-1]
    branches = [[*trunk, ChatTurn("assistant", "Many."), ChatTurn("user", text)] for text in ("Large ones?", "Small ones?")] * 2
    kept.generate(trunk, SHORT)
    found = [kept.generate(branch, SHORT) for branch in branches]
    assert [one.token_ids for one in found] == [target.generate(branch, SHORT).token_ids for branch in branches]
    assert all(one.cached_tokens > 0 for one in found)


def test_a_changed_beginning_is_read_again(target: LocalTarget) -> None:
    kept = remembering(target)
    kept.generate([ChatTurn("user", "ships " * 20)], SHORT)
    changed = [ChatTurn("user", "boats " + "ships " * 19)]
    answer = kept.generate(changed, SHORT)
    assert answer.token_ids == target.generate(changed, SHORT).token_ids
    assert answer.cached_tokens < 20


def test_memory_stays_within_the_limit_and_the_oldest_conversation_goes_first(target: LocalTarget) -> None:
    one = Reading(target.model, threading.Lock())
    one.read(range(3, 103), range(100))
    kept = remembering(target, limit=int(2.5 * one.nbytes))
    for name in ("a", "b", "c"):
        kept.generate([ChatTurn("user", name * 60)], SHORT)
        assert kept.readings.nbytes <= 2.5 * one.nbytes
    cached = {name: kept.generate([ChatTurn("user", name * 60)], SHORT).cached_tokens for name in ("c", "b", "a")}
    assert cached["c"] > 60
    assert cached["b"] > 60
    assert cached["a"] < 60


def test_a_stream_that_is_closed_leaves_what_it_read(target: LocalTarget) -> None:
    kept = remembering(target)
    stream = kept.stream([ChatTurn("user", "How many ships?")])
    next(stream)
    stream.close()
    assert kept.generate([ChatTurn("user", "How many ships?")], SHORT).cached_tokens > 0


def test_what_is_too_large_by_itself_displaces_nothing_and_is_said_once(target: LocalTarget, caplog: pytest.LogCaptureFixture) -> None:
    one = Reading(target.model, threading.Lock())
    one.read(range(3, 203), range(200))
    kept = remembering(target, limit=one.nbytes)
    small, large = [ChatTurn("user", "a" * 60)], [ChatTurn("user", "b" * 400)]
    kept.generate(small, SHORT)
    assert [kept.generate(large, SHORT).cached_tokens < 60 for _ in range(2)] == [True, True]
    again = kept.generate(small, SHORT)
    assert again.cached_tokens == again.prompt_tokens - 1
    (warned,) = [record.getMessage() for record in caplog.records if record.name == "specprefill_agents.targets"]
    assert f"is more than cache_bytes={one.nbytes} holds" in warned


def test_nothing_is_kept_without_bytes_for_it(target: LocalTarget, caplog: pytest.LogCaptureFixture) -> None:
    kept = remembering(target, limit=0)
    assert [kept.generate([ChatTurn("user", "x")], SHORT).cached_tokens for _ in range(2)] == [0, 0]
    assert kept.readings.nbytes == 0
    assert not caplog.records
    with pytest.raises(ConfigError, match="cache_bytes"):
        KeptReadings(-1)


def test_conversations_at_the_same_time_answer_as_alone(target: LocalTarget) -> None:
    kept = remembering(target)
    requests = [request for name in "abcd" for request in conversation(target, 2, name)]
    alone = [target.generate(request, SHORT).token_ids for request in requests]
    found: dict[int, tuple[int, ...]] = {}
    work = [
        threading.Thread(target=lambda i=i, request=request: found.update({i: kept.generate(request, SHORT).token_ids}))
        for i, request in enumerate(requests)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert [found[index] for index in range(len(requests))] == alone
