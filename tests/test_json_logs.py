"""Logs as JSON lines: what this library says itself stays, what a message quotes goes, unless asked for."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from specprefill_agents import CompressionConfig, Compressor, ScoringError, Segment
from specprefill_agents.observe.audit import LoggingAudit
from specprefill_agents.observe.json_logs import REDACTED, JsonFormatter
from tests.audited import RECORDS, SETTINGS, WORDS, Broken

Read = Callable[[], list[dict[str, Any]]]


@pytest.fixture(params=[False, True], ids=["without text", "with text"])
def include_text(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def read(include_text: bool) -> Iterator[Read]:
    """What the package's loggers have written as JSON lines."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(include_text=include_text))
    logger = logging.getLogger("specprefill_agents")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def test_an_audit_record_is_written_as_fields(read: Read) -> None:
    made = Compressor(config=CompressionConfig.from_dict(SETTINGS), audit=LoggingAudit(), cache="memory")
    made.session("c").step([Segment(RECORDS, name="read_file", id="call-1")], "zebra")
    found = {row["message"]: row for row in read() if row["logger"] == "specprefill_agents.audit"}
    assert found["decision"]["audit"]["tool_call_id"] == "call-1"
    assert found["compress"]["audit"]["cache_misses"] == 1
    assert found["compress"]["level"] == "DEBUG"
    assert [word for word in WORDS if word in json.dumps(found)] == []


def test_of_another_s_error_only_the_type_and_the_place_are_said(read: Read, include_text: bool) -> None:
    made = Compressor(config=CompressionConfig.from_dict(SETTINGS), scorer=Broken(), audit=LoggingAudit(), cache="memory")
    made.compress([Segment(RECORDS)], "zebra")
    (row,) = [row for row in read() if row["message"] == "a call failed"]
    assert row["error"] == "RuntimeError"
    assert row["error_at"].startswith("audited.py:")
    assert ("Record 0" in json.dumps(read())) == include_text


def test_strings_that_a_message_quotes_are_left_out_and_what_is_our_own_stays(read: Read, include_text: bool) -> None:
    log = logging.getLogger("specprefill_agents.some")
    log.warning("%s in %s: %s after %.1f s, %r", "zebra", Path("scores/cache"), ScoringError("not finite"), 2.25, "walrus")
    log.warning("all said")
    log.warning("%(name)s", {"name": "zebra"})
    first, second, third = (row["message"] for row in read())
    quoted = ("zebra", "'walrus'", "zebra") if include_text else (REDACTED, REDACTED, "%(name)s")
    assert first == f"{quoted[0]} in scores/cache: not finite after 2.2 s, {quoted[1]}"
    assert second == "all said"
    assert third == quoted[2]
