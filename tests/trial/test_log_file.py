"""Logs are read as they come: every form of a line, old calls, request logs that grow, and what is wrong by its line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from specprefill_agents.trial.log_file import NothingReadError, read_log
from tests.trial.logs import conversation, request, write_log


def test_objects_lists_requests_and_batch_lines_are_all_conversations(tmp_path: Path) -> None:
    texts = [conversation(question=f"Question {index}?") for index in range(4)]
    lines = [{"id": "a", "messages": texts[0]}, texts[1], request(texts[2]), {"custom_id": "d", "body": request(texts[3])}]
    for name in ("log.jsonl", "log.jsonl.gz"):
        log = read_log(write_log(tmp_path / name, lines))
        assert [one.id for one in log.conversations] == ["a", "line 2", "line 3", "d"]
        assert [len(one.messages) for one in log.conversations] == [7, 7, 7, 7]
        assert [len(one.tools) for one in log.conversations] == [0, 0, 1, 1]
        assert [one.model for one in log.conversations] == ["", "", "gpt-4o", "gpt-4o"]
        assert log.bad == ()


def test_a_log_of_requests_counts_a_growing_conversation_once(tmp_path: Path) -> None:
    whole, other = conversation(), conversation(question="What about the ape?")
    log = read_log(write_log(tmp_path / "log.jsonl", [request(whole[:2]), request(other[:2]), request(whole[:4]), request(whole[:6])]))
    assert [(one.line, len(one.messages)) for one in log.conversations] == [(2, 2), (4, 6)]
    assert log.continued == 2


def test_equal_conversations_of_different_ids_are_both_kept(tmp_path: Path) -> None:
    lines = [{"id": name, "messages": conversation()} for name in ("a", "b", "a")]
    assert [one.id for one in read_log(write_log(tmp_path / "log.jsonl", lines)).conversations] == ["a", "b"]


def test_calls_of_the_old_form_are_read_as_those_of_today(tmp_path: Path) -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": '{"city": "Ulm"}'}},
        {"role": "function", "name": "weather", "content": "rain"},
        {"role": "assistant", "content": "Rain."},
    ]
    (read,) = read_log(write_log(tmp_path / "log.jsonl", [messages])).conversations
    (made,) = read.messages[1]["tool_calls"]
    assert made["function"] == {"name": "weather", "arguments": '{"city": "Ulm"}'}
    assert (read.messages[2]["role"], read.messages[2]["tool_call_id"]) == ("tool", made["id"])
    assert read.messages[1]["content"] == ""


def test_results_without_ids_answer_the_open_calls_in_order(tmp_path: Path) -> None:
    messages = [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "tool_calls": [{"function": {"name": name, "arguments": {"n": 1}}} for name in ("first", "second")]},
        {"role": "tool", "content": "1"},
        {"role": "tool", "content": "2"},
    ]
    (read,) = read_log(write_log(tmp_path / "log.jsonl", [messages])).conversations
    assert [one["tool_call_id"] for one in read.messages[2:]] == [made["id"] for made in read.messages[1]["tool_calls"]]
    assert read.messages[1]["tool_calls"][0]["function"]["arguments"] == '{"n": 1}'


USER = {"role": "user", "content": "hello"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"messages": [', "not JSON"),
        (b'{"id": "\xff"}', "not UTF-8 (byte 9)"),
        ("[" * 100_000, "not JSON that can be read: RecursionError"),
        ("7", "neither an object nor a list"),
        ([], "there is no message"),
        ({"prompt": "hello"}, 'without "messages"; it has prompt'),
        ({"messages": {"role": "user"}}, '"messages" is not a list'),
        ([[USER], [USER]], "a list of conversations"),
        ([{"messages": [USER]}], "a list of conversations"),
        (["hello"], "message 0 is not an object"),
        ([USER, {"role": "bot", "content": ""}], "message 1 has the role 'bot'"),
        ([{"role": "user", "content": 7}], "neither text nor a list of parts"),
        ([{"role": "user", "content": ["hello"]}], "a part that is not an object"),
        ([{"role": "user", "content": [{"type": "tool_result", "content": "x"}]}], "Anthropic's form (a part of type tool_result)"),
        ({"system": "You help.", "messages": [USER]}, 'Anthropic\'s form ("system"'),
        ([{"role": "assistant", "tool_calls": "none"}], "that are not a list"),
        ([{"role": "assistant", "tool_calls": [{"function": {}}]}], "calls a tool without a name"),
    ],
)
def test_a_bad_line_is_named_and_the_rest_goes_on(tmp_path: Path, line: object, said: str) -> None:
    log = read_log(write_log(tmp_path / "log.jsonl", [conversation(), "", line, [USER]]))
    assert [one.line for one in log.conversations] == [1, 4]
    ((number, reason),) = [(one.line, one.reason) for one in log.bad]
    assert number == 3
    assert said in reason


def test_a_packed_file_that_breaks_off_gives_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl.gz"
    noise = [[{"role": "user", "content": f"{index * 7919 % 104729} {index}"}] for index in range(20_000)]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, noise)).encode())[:-9_000])
    log = read_log(path)
    assert 0 < len(log.conversations) < 20_000
    assert log.bad[-1].reason.startswith("the gzip data are damaged or break off here")


@pytest.mark.parametrize(("lines", "said"), [([], "the file is empty"), (["{"], "line 1: not JSON")])
def test_a_file_without_a_conversation_is_an_error_that_says_why(tmp_path: Path, lines: list[object], said: str) -> None:
    with pytest.raises(NothingReadError, match=said):
        read_log(write_log(tmp_path / "log.jsonl", lines))
