"""Frozen decisions of one conversation."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest

from specprefill_agents import Compressor, ConfigError, Segment, Session

TEXT = "\n".join(f"Record {n}: the value of entry {n} is {n * n}." for n in range(80))


def test_a_step_scores_only_what_is_new(lexical: Callable[..., Compressor]) -> None:
    session = lexical().session("c")
    first = session.step([Segment(TEXT, id="a")], "entry 7")
    second = session.step([Segment(TEXT, id="a"), Segment(TEXT + "!", id="b")], "entry 60")
    assert second.segments[0] == first.segments[0]
    assert session.step([Segment(TEXT, id="a")], "entry 60").usage.scorer_ms == 0


def test_decisions_follow_content_not_position(lexical: Callable[..., Compressor]) -> None:
    session = lexical(repeats=False).session("c")
    one, two = Segment(TEXT, id="a"), Segment(TEXT + "?", id="b")
    first = session.step([one, two], "entry 7")
    turned = session.step([two, one], "entry 3")
    assert turned.segments == first.segments[::-1]


def test_the_same_text_from_two_calls_is_decided_twice(lexical: Callable[..., Compressor]) -> None:
    session = lexical(keep_ratio=0.1).session("c")
    first = session.step([Segment(TEXT, id="a")], "entry 7 value").segments[0]
    second = session.step([Segment(TEXT, id="b")], "entry 60 value").segments[0]
    assert first.text != second.text


def test_a_saved_session_is_plain_json_without_text_and_continues(lexical: Callable[..., Compressor]) -> None:
    made = lexical()
    session = made.session("c")
    sent = session.step([Segment(TEXT, id="a")], "entry 7").segments
    saved = json.dumps(session.to_dict())
    assert "Record" not in saved
    assert Session.from_dict(json.loads(saved), made).step([Segment(TEXT, id="a")], "x").segments == sent


def test_a_session_of_other_settings_or_another_version_is_refused(lexical: Callable[..., Compressor]) -> None:
    saved = lexical().session("c").to_dict()
    with pytest.raises(ConfigError, match="fingerprint"):
        Session.from_dict(saved, lexical(keep_ratio=0.9))
    with pytest.raises(ConfigError, match="version"):
        Session.from_dict({**saved, "version": 99}, lexical())


def test_concurrent_steps_of_one_session_agree(lexical: Callable[..., Compressor]) -> None:
    session = lexical(keep_ratio=0.1).session("c")
    seen: list[str] = []
    threads = [
        threading.Thread(target=lambda q=f"entry {n}": seen.append(session.step([Segment(TEXT, id="a")], q).segments[0].text))  # type: ignore[misc]
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda row: row[:3],
        lambda row: [*row[:1], "shortened", *row[2:]],
        lambda row: [*row[:6], [[9, 3]], *row[7:]],
        lambda row: [*row[:6], [["a", "b"]], *row[7:]],
        lambda row: [*row[:9], ["other", "read()", [0]], *row[10:]],
    ],
)
def test_a_session_that_was_damaged_is_refused_with_the_decision_named(
    lexical: Callable[..., Compressor], damage: Callable[[list[object]], list[object]]
) -> None:
    made = lexical()
    session = made.session("c")
    session.step([Segment(TEXT, id="a")], "entry 7")
    saved = json.loads(json.dumps(session.to_dict()))
    saved["decisions"] = {name: damage(row) for name, row in saved["decisions"].items()}
    with pytest.raises(ConfigError, match="decisions"):
        Session.from_dict(saved, made)


def test_a_session_forgets_what_was_not_in_view_for_long_and_nothing_that_is(
    lexical: Callable[..., Compressor],
) -> None:
    session = lexical(recall_tokens=0, repeats=False).session("c")
    session._decisions._limit = 5
    segments = [Segment(f"{number} {TEXT}", id=str(number)) for number in range(12)]
    seen = [session.step([segment], "entry 7").segments[0] for segment in segments]
    assert len(session.to_dict()["decisions"]) == 5
    assert [one.text for one in session.step(segments[-5:], "entry 60").segments] == [one.text for one in seen[-5:]]
    assert len(session.step(segments, "entry 7").segments) == 12
    assert len(session.to_dict()["decisions"]) == 12, "what is in view is never forgotten"


def test_different_conversations_do_not_wait_for_each_other(lexical: Callable[..., Compressor]) -> None:
    made = lexical()
    first, second = made.session("a"), made.session("b")
    with first._lock:
        assert second.step([Segment(TEXT, id="a")], "entry 7").segments[0].outcome == "compressed"
