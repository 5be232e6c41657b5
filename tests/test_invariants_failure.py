"""Invariant 9: whatever part fails, and however, the original goes on byte for byte and a record of it is left.

By hand with 50,000 examples each: `pytest --hypothesis-profile=thorough tests/test_invariants_failure.py`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import BaseMessage
from llama_index.core.schema import NodeWithScore, TextNode

from specprefill_agents import CompressionConfig, CompressionResult, Compressor, Segment, Session
from specprefill_agents.observe.audit import without_quotes
from specprefill_langchain import PromptCompressor
from specprefill_llamaindex import SpecPrefillPostprocessor
from tests.conversations import CONVERSATIONS
from tests.faults import METHODS, RECORDED, Fault
from tests.invariants import FEW, MANY, SOME, Records, compressor
from tests.kinds import SEEDS
from tests.strategies import CHARACTERS, SIZES, any_query, long_text

RATIO = 0.6
STORE = tuple(part for part, (name, _) in METHODS.items() if name == "shelf")


@pytest.fixture(scope="module", autouse=True)
def quiet_logs() -> Iterator[None]:
    """Thousands of failures leave thousands of log lines, which pytest would keep."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def texts(result: CompressionResult) -> list[str]:
    return [segment.text for segment in result.segments]


def segments_of(source: Random, part: str, characters: str) -> list[Segment]:
    """Two candidates and a user's text; long enough for marks with an id where the store of originals is to fail."""
    text = long_text(source, 600 if METHODS[part][0] == "shelf" else 1)
    return [Segment(text + characters), Segment(any_query(source, characters), "document"), Segment(text, "user")]


@MANY
@given(SEEDS, CHARACTERS, st.sampled_from(RECORDED))
def test_invariant_9_a_failing_part_forwards_the_original_and_leaves_a_record(seed: int, characters: str, part: str) -> None:
    source = Random(seed)
    segments = segments_of(source, part, characters)
    with Fault(part, source, RATIO) as fault:
        session = fault.compressor.session("c") if source.random() < 0.5 else None
        result = session.step(segments, characters) if session else fault.compressor.compress(segments, characters)
        if not fault.has_struck:
            healthy = compressor(RATIO)
            usual = healthy.session("d").step(segments, characters) if session else healthy.compress(segments, characters)
            assert texts(result) == texts(usual)
            return
        assert texts(result) == [segment.text for segment in segments]
        assert result.usage.fallback_reason
        *_, fields = (fields for event, fields in fault.records.rows if event == "compress")
        assert fields["fallback_reason"] == without_quotes(result.usage.fallback_reason)
        assert json.dumps(fault.records.rows)
        if session:
            assert texts(session.step(segments, "again")) == texts(result), "what was sent stays sent"


@SOME
@given(SEEDS, CHARACTERS)
def test_invariant_9_a_failing_audit_log_stops_nothing(seed: int, characters: str) -> None:
    source = Random(seed)
    segments = segments_of(source, "audit", characters)
    with Fault("audit", source, RATIO) as fault:
        sent = texts(fault.compressor.compress(segments, characters))
    assert sent in (texts(compressor(RATIO).compress(segments, characters)), [segment.text for segment in segments])


@FEW
@given(SEEDS, st.sampled_from(STORE))
def test_invariant_9_a_store_that_fails_later_changes_nothing_of_what_was_sent(seed: int, part: str) -> None:
    source = Random(seed)
    segments = segments_of(source, part, "")
    session = compressor(RATIO).session("c")
    sent = texts(session.step(segments, ""))
    with Fault(part, source, RATIO) as fault:
        again = Session.from_dict(session.to_dict(), fault.compressor).step(segments, "")
        assert texts(again) == sent
        assert any(fields["fallback_reason"] for _, fields in fault.records.rows) == fault.has_struck


@FEW
@given(CONVERSATIONS, SEEDS, st.sampled_from(tuple(METHODS)))
def test_invariant_9_in_a_conversation_each_message_is_as_without_the_failure_or_whole(
    messages: list[BaseMessage], seed: int, part: str
) -> None:
    alone = {"recall_tokens": 0, "repeats": False}  # these make later messages follow from what a failure left whole
    with Fault(part, Random(seed), RATIO, **alone) as fault:
        sent = PromptCompressor(fault.compressor).invoke(messages)
        healthy = PromptCompressor(compressor(RATIO, **alone)).invoke(messages)
        whole_or_as_ever(messages, healthy, sent, has_failed=fault.has_struck)  # type: ignore[arg-type]


@FEW
@given(SEEDS, SIZES, st.sampled_from(tuple(METHODS)))
def test_invariant_9_of_nodes_each_is_as_without_the_failure_or_whole(seed: int, size: int, part: str) -> None:
    nodes = [NodeWithScore(node=TextNode(id_=str(at), text=long_text(Random(seed + at), 60 * size))) for at in range(2)]
    with Fault(part, Random(seed), RATIO) as fault:
        out, healthy = (
            SpecPrefillPostprocessor(made, drop_empty=False).postprocess_nodes(nodes, query_str="harbour")
            for made in (fault.compressor, compressor(RATIO))
        )
        whole_or_as_ever(nodes, healthy, out, has_failed=fault.has_struck)


def whole_or_as_ever(given_: Sequence[Any], healthy: Sequence[Any], sent: Sequence[Any], *, has_failed: bool) -> None:
    """Each of what is sent is what came in, or what would have been sent without the failure; without one, the latter."""
    for was, usual, now in zip(given_, healthy, sent, strict=True):
        assert (has_failed and now is was) or now == usual


def test_invariant_9_a_draft_that_cannot_be_read_forwards_the_original(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    records = Records()
    config = CompressionConfig(scorer="key_index", min_tokens=0, target_tokenizer="o200k_base")
    result = Compressor(str(tmp_path), config, audit=records, cache="memory").compress([Segment("harbour\n" * 90)], "harbour")
    assert texts(result) == ["harbour\n" * 90]
    assert "could not be loaded" in str(result.usage.fallback_reason) or "preset" in str(result.usage.fallback_reason)
    assert records.rows[0][1]["fallback_reason"] == result.usage.fallback_reason
