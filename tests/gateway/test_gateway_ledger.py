"""What a gateway's ledger says of the calls that go through it."""

from __future__ import annotations

import itertools
import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from specprefill_agents.accounting.ledger_file import LedgerFile, read_ledger
from specprefill_agents.gateway.answers import Held, read_answer
from tests.gateway.running import lexical, running
from tests.gateway.test_gateway_failures import Records
from tests.gateway.timetables import TOOLS, conversation
from tests.openai_server import ANSWER, Recorded


def post(url: str, messages: list[dict[str, Any]], key: str = "key-1", **others: Any) -> dict[str, Any]:
    body = {"model": "deepseek-flash", "messages": messages, **others}
    told = httpx.post(f"{url}/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}, timeout=30)
    assert told.status_code == 200
    return {} if others.get("stream") else told.json()  # type: ignore[no-any-return]


@pytest.mark.parametrize("streams", [False, True])
def test_each_answered_call_is_a_step_with_what_was_billed_and_what_would_have_been(
    tmp_path: Path, upstream: Recorded, streams: bool
) -> None:
    path = tmp_path / "ledger.jsonl"
    with running(upstream.url, on_step=LedgerFile(path).append) as url:
        for end in (2, 4, 6):
            post(url, conversation(2)[:end], tools=TOOLS, stream=streams, stream_options={"include_usage": True})
    (kept,) = read_ledger(path).ledger.conversations
    assert [step.model for step in kept.steps] == ["deepseek-flash"] * 3
    assert [step.billed.tokens.input_tokens for step in kept.steps] == [len(body) // 4 for body in upstream.bodies]
    assert all(step.billed.unread == 0 and step.billed.known_usd > 0 for step in kept.steps)
    first, *later = kept.steps
    assert first.sent.tokens == first.plain.tokens
    assert all(step.sent.tokens.input_tokens < 0.6 * step.plain.tokens.input_tokens for step in later)
    assert all(step.moved is None for step in kept.steps)
    assert [step.first_chunk_ms is not None for step in kept.steps] == [streams] * 3


def test_a_named_conversation_has_its_name_and_each_key_its_own(upstream: Recorded) -> None:
    ids: list[str] = []
    with running(upstream.url, on_step=lambda conversation, step: ids.append(conversation.id)) as url:
        for key, name in (("one", "mine"), ("two", "mine"), ("one", "mine"), ("one", None), ("two", None)):
            headers = {"authorization": f"Bearer {key}", **({"x-specprefill-session": name} if name else {})}
            httpx.post(f"{url}/chat/completions", json={"model": "m", "messages": conversation(1)}, headers=headers)
    assert [one.endswith("/mine") for one in ids] == [True, True, True, False, False]
    assert ids[0] == ids[2]
    assert len(set(ids)) == 4


def test_a_stream_without_usage_and_an_error_of_the_upstream_cost_what_is_known(upstream: Recorded) -> None:
    flags: list[Any] = []
    with running(upstream.url, on_step=lambda conversation, step: flags.append(step.flags)) as url:
        post(url, conversation(0), stream=True)
        refused = httpx.post(f"{url}/chat/completions", json={"model": "m", "messages": conversation(1)[:3]})
    assert refused.status_code == 400
    assert len(flags) == 1
    assert "no usage was reported" in flags[0]


def test_concurrent_conversations_each_have_their_steps_and_their_bytes(upstream: Recorded) -> None:
    steps: list[str] = []
    towns = ["Basel", "Chur", "Genf", "Thun", "Zug", "Bern", "Olten", "Visp"]
    with running(upstream.url, on_step=lambda conversation, step: steps.append(conversation.id)) as url:

        def talk(town: str) -> None:
            for end in (2, 4, 6):
                post(url, conversation(2, town)[:end])

        threads = [threading.Thread(target=talk, args=(town,)) for town in towns]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(steps.count(one) for one in set(steps)) == [3] * len(towns)
    by_town: dict[str, list[Any]] = {}
    for request in upstream.requests:
        by_town.setdefault(request["messages"][1]["content"], []).append(request["messages"])
    for requests in by_town.values():
        for earlier, later in itertools.pairwise(requests):
            assert later[: len(earlier)] == earlier


def test_a_ledger_that_fails_or_an_answer_that_cannot_be_read_leaves_the_call_alone(upstream: Recorded) -> None:
    def fails(*_: Any) -> None:
        raise OSError("disk full")

    records = Records()
    with running(upstream.url, lexical(records), fails) as url:
        assert post(url, conversation(1))["choices"][0]["message"]["content"] == ANSWER
    assert records.reasons == ["gateway: the ledger failed: OSError"]


def test_a_stream_is_put_together_as_the_message_that_it_is() -> None:
    function = {"name": "grep", "arguments": ""}
    deltas: list[Any] = [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Hm. "},
        {"reasoning_content": "So."},
        {"content": "I "},
        {"content": "look."},
        {"tool_calls": [{"index": 1, "id": "b", "function": function}, {"index": 0, "id": "a", "function": function}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"x":'}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}, {"index": 0, "function": {"arguments": " 1}"}}]},
        None,
    ]
    events = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    other = {"choices": [{"index": 1, "delta": {"content": "another choice"}}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 3}}
    lines = [f"data: {json.dumps(event)}\r\n\r\n" for event in (*events, other, usage)]
    answer = read_answer((": keep-alive\n\n" + "".join(lines) + "data: [DONE]\n\n").encode(), "text/event-stream; charset=utf-8")
    assert answer.usage == {"prompt_tokens": 3}
    assert (answer.message["content"], answer.message["reasoning_content"]) == ("I look.", "Hm. So.")
    assert [(call["id"], call["function"]["arguments"]) for call in answer.message["tool_calls"]] == [("a", '{"x": 1}'), ("b", "{}")]


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"choices": []}', b'{"choices": [{"message": 3}]}', b"\xff"])
def test_an_answer_in_no_known_form_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="the answer "):
        read_answer(data, "application/json")


def test_of_an_answer_beyond_the_limit_nothing_is_held() -> None:
    for limit, is_whole in ((10, True), (9, False), (0, False)):
        held = Held(limit)
        held.add(b"12345")
        held.add(b"67890")
        assert not held.is_whole
        held.ends()
        assert held.is_whole is is_whole
        assert held.data == (b"1234567890" if is_whole else b"")
    stream = Held(100)
    for piece in (b"data: {}\n\nda", b"ta: [DO", b"NE]\n\n"):
        assert not stream.is_whole
        stream.add(piece)
    assert stream.is_whole
