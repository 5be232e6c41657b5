"""Conversations that several processes step: what one of them froze is frozen for all, byte for byte."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from benchmarks.store_faults.server import LocalServer
from specprefill_agents import Originals, Segment, Session
from specprefill_agents.session import CacheState
from specprefill_agents.session.merging import contradictions, merged
from specprefill_agents.session.shared import SessionStore
from specprefill_agents.storage.redis_server import PAUSE_S, RedisServer
from tests.storage_redis.shared_stores import SECRET, Clock, Log, compressor, outputs, steps

Connect = Callable[..., RedisServer]
Opened = Callable[..., SessionStore]
NAME = "conversation"


@pytest.fixture
def opened(raw: Redis, running: LocalServer, connect: Connect) -> Opened:
    """Opens the store, each time as another process would."""

    def make(url: str = running.url, *, tenant: str = "", secret: bytes = SECRET, **settings: Any) -> SessionStore:
        server = connect(url)
        originals = Originals.on_redis(server, secret=secret, tenant=tenant)
        return SessionStore(server, compressor(originals, **settings), secret=secret, tenant=tenant)

    return make


def sent_by(session: Any, segments: list[Segment], query: str) -> list[str]:
    return [one.text for one in session.step(segments, query).segments]


def test_another_process_goes_on_with_the_same_bytes_whatever_it_asks(opened: Opened) -> None:
    first, second = opened(), opened()
    sent = steps(first.session(NAME), outputs(4), "host")
    alone = sent_by(second.compressor.session(NAME), outputs(4), "job 900 of worker 7")
    assert alone != sent, "by itself it would decide otherwise"
    assert sent_by(second.session(NAME), outputs(4), "job 900 of worker 7") == sent
    assert sent_by(first.session(NAME), outputs(5), "x")[:4] == sent


def test_processes_that_take_turns_send_what_one_would(opened: Opened) -> None:
    stores = [opened() for _ in range(3)]
    sessions, alone = [store.session(NAME) for store in stores], compressor(Originals.in_memory(secret=SECRET)).session(NAME)
    for number in range(1, 10):
        query = f"code of host {number}"
        assert sent_by(sessions[number % 3], outputs(number), query) == sent_by(alone, outputs(number), query)
    assert sessions[0].to_dict() == alone.to_dict()


def test_what_is_saved_is_a_session_as_a_checkpointer_has_it(opened: Opened) -> None:
    store = opened()
    session = store.session(NAME)
    sent = steps(session, outputs(3), "host")
    found = store.load(NAME)
    assert found is not None
    assert found.value == session.to_dict() == json.loads(json.dumps(found.value))
    assert sent_by(Session.from_dict(found.value, compressor(Originals.in_memory(secret=SECRET))), outputs(3), "x") == sent


def test_who_comes_second_adopts_what_the_first_decided(opened: Opened) -> None:
    first, second = opened(), opened()
    late = second.session(NAME)
    save = second.save
    ahead: list[list[str]] = []

    def overtaken(*arguments: Any) -> bytes | None:
        if not ahead:  # between its decision and its save
            ahead.append(sent_by(first.session(NAME), outputs(1), "host 0"))
        return save(*arguments)

    second.save = overtaken  # type: ignore[method-assign]
    assert sent_by(late, outputs(1), "worker 7 finished job") == ahead[0]
    assert ahead[0] != sent_by(second.compressor.session(NAME), outputs(1), "worker 7 finished job")
    assert late.to_dict()["decisions"] == first.session(NAME).to_dict()["decisions"] | late.to_dict()["decisions"]


def test_of_a_decision_that_was_never_sent_there_is_no_record(opened: Opened, raw: Redis) -> None:
    log = Log()
    second = opened()
    store = SessionStore(second.rows.server, compressor(audit=log), secret=SECRET)
    first, save, tries = opened(), store.save, []

    def overtaken(*arguments: Any) -> bytes | None:
        tries.append(arguments)
        if len(tries) == 1:
            sent_by(first.session(NAME), outputs(1), "host 0")
        return save(*arguments)

    store.save = overtaken  # type: ignore[method-assign]
    sent_by(store.session(NAME), outputs(2), "host 1")
    assert len(tries) == 2
    assert len([1 for event, _ in log.rows if event == "decision"]) == 1, "the first output was decided elsewhere"


def test_threads_that_step_one_conversation_at_once_send_the_same(opened: Opened) -> None:
    stores = [opened() for _ in range(6)]
    together, sent = threading.Barrier(6), []

    def run(number: int) -> None:
        session = stores[number].session(NAME)
        for count in range(1, 6):
            together.wait()
            sent.append((count, tuple(sent_by(session, outputs(count), f"worker {number} finished job {number * 97}"))))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sent) == 30
    last = next(texts for count, texts in sent if count == 5)
    assert {texts for _, texts in sent} == {last[:count] for count in range(1, 6)}


def test_no_tenant_and_no_secret_reads_or_hits_another_conversation(opened: Opened, raw: Redis) -> None:
    us, them, strangers = opened(tenant="us"), opened(tenant="them"), opened(tenant="us", secret=SECRET[::-1])
    steps(us.session(NAME), outputs(2), "host")
    ours = set(raw.keys("specprefill:decisions:*"))
    for other in (them, strangers):
        found = other.load(NAME)
        assert found is not None
        assert (found.value, found.head) == (None, b"")
        other.session(NAME).step(outputs(2), "host")
    theirs = set(raw.keys("specprefill:decisions:*")) - ours
    assert (len(ours), len(theirs)) == (1, 2)
    for key in theirs:
        raw.set(key, raw.get(next(iter(ours))))
    assert [found.value for other in (them, strangers) if (found := other.load(NAME))] == [None, None]


def test_other_settings_are_another_conversation(opened: Opened) -> None:
    first, second = opened(), opened(keep_ratio=0.9)
    assert sent_by(first.session(NAME), outputs(1), "host 0") != sent_by(second.session(NAME), outputs(1), "host 0")
    assert [len(store.session(NAME)._store.load(NAME).value["decisions"]) for store in (first, second)] == [1, 1]  # type: ignore[union-attr, index]


@pytest.mark.parametrize("value", [b"", b"SPFR", b"x" * 40, b"x" * 2_000_000, None])
def test_what_is_no_session_is_replaced_and_a_running_one_goes_on(opened: Opened, raw: Redis, value: bytes | None) -> None:
    store = opened()
    session = store.session(NAME)
    sent = steps(session, outputs(2), "host")
    (key,) = raw.keys("specprefill:decisions:*")
    raw.delete(key)
    if value is None:
        raw.rpush(key, "a list")
    elif value:
        raw.set(key, value)
    assert sent_by(session, outputs(2), "x") == sent
    assert sent_by(opened().session(NAME), outputs(2), "y") == sent


def test_a_row_with_its_head_and_another_body_is_replaced(opened: Opened, raw: Redis) -> None:
    session = opened().session(NAME)
    sent = steps(session, outputs(2), "host")
    (key,) = raw.keys("specprefill:decisions:*")
    raw.setrange(key, raw.strlen(key) - 3, b"odd")
    assert sent_by(session, outputs(2), "x") == sent
    assert sent_by(opened().session(NAME), outputs(2), "y") == sent


def test_a_session_that_is_signed_and_unusable_is_begun_anew_with_a_record(raw: Redis, running: LocalServer, connect: Connect) -> None:
    log = Log()
    store = SessionStore(connect(running.url), compressor(audit=log), secret=SECRET)
    for data in ({}, {**store.compressor.session(NAME).to_dict(), "decisions": {"name": [1]}}):
        assert store.save(NAME, data, b"")
        assert sent_by(store.session(NAME), outputs(1), "host 0")[0]
        assert log.of("session")[-1].startswith("what was saved is unusable: ")
        raw.flushall()


def test_a_server_that_forgets_all_is_told_again(opened: Opened, raw: Redis) -> None:
    session = opened().session(NAME)
    sent = steps(session, outputs(3), "host")
    raw.flushall()
    assert sent_by(session, outputs(3), "x") == sent
    assert sent_by(opened().session(NAME), outputs(3), "y") == sent


def test_decisions_survive_a_restart_of_server_and_process(opened: Opened, own: LocalServer) -> None:
    sent = steps(opened(own.url).session(NAME), outputs(3), "host")
    own.kill()
    own.start()
    assert sent_by(opened(own.url).session(NAME), outputs(3), "job 900 of worker 7") == sent


def test_what_was_decided_without_a_store_is_saved_when_it_is_back(opened: Opened, own: LocalServer, clock: Clock) -> None:
    session, other = opened(own.url).session(NAME), opened(own.url)
    sent_by(session, outputs(1), "host 0")
    own.kill()
    sent = sent_by(session, outputs(2), "host 1")
    own.start()
    clock.now += PAUSE_S
    assert sent_by(session, outputs(2), "x") == sent
    assert sent_by(other.session(NAME), outputs(2), "job 900 of worker 7") == sent


@pytest.mark.prefix_moves(reason="two processes that could not know of each other sent different bytes; from then on one gives in")
def test_after_a_split_both_go_on_with_what_was_saved_first(own: LocalServer, connect: Connect, clock: Clock) -> None:
    log = Log()
    stores = [SessionStore(connect(own.url), compressor(audit=log), secret=SECRET) for _ in range(2)]
    first, second = (store.session(NAME) for store in stores)
    own.kill()
    sent = sent_by(first, outputs(1), "host 0"), sent_by(second, outputs(1), "worker 7 finished job")
    assert sent[0] != sent[1]
    own.start()
    clock.now += PAUSE_S
    assert sent_by(first, outputs(2), "host 1")[:1] == sent[0]
    both = sent_by(second, outputs(2), "host 1")
    assert both == sent_by(first, outputs(2), "host 1")
    assert both[:1] == sent[0]
    assert log.of("session") == ["1 decisions made without the store give way to those of another process"]


def test_a_lost_answer_to_a_save_does_no_harm(opened: Opened, own: LocalServer, clock: Clock) -> None:
    store = opened(own.url)
    session, swap = store.session(NAME), store.rows.swap
    store.rows.swap = lambda *arguments: swap(*arguments) and None  # type: ignore[method-assign, func-returns-value]
    sent = sent_by(session, outputs(1), "host 0")
    store.rows.swap = swap  # type: ignore[method-assign]
    assert sent_by(session, outputs(2), "host 1")[:1] == sent
    assert sent_by(opened(own.url).session(NAME), outputs(1), "x") == sent


def test_a_step_that_always_comes_second_ends(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    store = SessionStore(opened().rows.server, compressor(audit=log), secret=SECRET)
    monkeypatch.setattr(store, "save", lambda *arguments: b"")
    assert sent_by(store.session(NAME), outputs(1), "host 0")[0]
    assert log.of("session") == ["not saved in 64 tries"]


def test_an_error_of_a_step_comes_out_where_it_is_to_and_the_session_goes_on(opened: Opened) -> None:
    store = opened(on_error="raise")
    session = store.session(NAME)
    with pytest.raises(AttributeError):
        session.step([None], "host")  # type: ignore[list-item]
    assert sent_by(session, outputs(1), "host 0") == sent_by(opened(on_error="raise").session(NAME), outputs(1), "x")


def test_a_rewritten_history_is_rewritten_for_all(opened: Opened) -> None:
    first, second = (store.session(NAME) for store in (opened(), opened()))
    sent = [sent_by(session, outputs(2), "host 0") for session in (first, second)]
    assert sent[0] == sent[1]
    rewritten = first.recompact(outputs(2), "worker 7 finished job", CacheState(), force=True)
    assert rewritten is not None
    assert sent_by(second, outputs(2), "x") == [one.text for one in rewritten.result.segments] != sent[0]
    assert second.generation == second.to_dict()["generation"] == 1


def test_a_session_too_large_for_the_store_goes_on_here(raw: Redis, running: LocalServer, connect: Connect) -> None:
    store = SessionStore(connect(running.url, max_value_bytes=100), compressor(), secret=SECRET)
    session = store.session(NAME)
    sent = steps(session, outputs(3), "host")
    assert sent_by(session, outputs(3), "x") == sent
    assert raw.keys() == []


def row(number: int, kept: int) -> list[Any]:
    return [number, "compressed", 10, kept]


def test_of_two_sessions_the_first_holds_and_the_rest_comes_behind_it() -> None:
    first = {"generation": 0, "decisions": {"a": row(1, 5), "b": row(4, 5)}}
    second = {"generation": 0, "decisions": {"d": row(3, 6), "a": row(1, 7), "c": row(2, 6), "b": row(9, 5)}}
    both = {"generation": 0, "decisions": {"a": row(1, 5), "b": row(4, 5), "c": row(5, 6), "d": row(6, 6)}}
    assert merged(first, second) == both
    assert contradictions(first, second) == 1
    assert merged(first, {"generation": 1, "decisions": {}}) == {"generation": 1, "decisions": {}}
    assert merged(both, first) == both
    assert first["decisions"] == {"a": row(1, 5), "b": row(4, 5)}, "neither is changed"
