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
    session = lexical().session("c")
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
