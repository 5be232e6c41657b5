"""OpenTelemetry: a span per call and per turn, of the same figures as the results; no text; nothing without an SDK."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from specprefill_agents import CompressionConfig, Compressor, Segment
from specprefill_agents.observe.audit import Audits
from specprefill_agents.observe.telemetry import OPEN_TURNS, Telemetry
from tests.audited import RECORDS, SETTINGS, WORDS, Broken, conversation
from tests.ledgers import recorded


class Collected:
    """An SDK that keeps everything in memory."""

    def __init__(self, *, include_text: bool = False, provider: str | None = None) -> None:
        self._spans, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        meters = MeterProvider([self._reader])
        self.telemetry = Telemetry(tracer_provider=self.tracers, meter_provider=meters, include_text=include_text, provider=provider)

    def compressor(self, **arguments: Any) -> Compressor:
        return Compressor(config=CompressionConfig.from_dict(SETTINGS), audit=self.telemetry, cache="memory", **arguments)

    def spans(self, name: str) -> Sequence[ReadableSpan]:
        return [span for span in self._spans.get_finished_spans() if span.name == name]

    def sums(self, name: str) -> dict[str, float]:
        """The values of a counter by its one attribute."""
        return {" ".join(map(str, point.attributes.values())): point.value for point in self.points(name)}

    def points(self, name: str) -> list[Any]:
        """What was measured under a name, by attributes."""
        read: Any = self._reader.get_metrics_data()
        return [
            point
            for resource in read.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def said(self) -> str:
        """All that was told, as text."""
        return "".join(span.to_json() for span in self._spans.get_finished_spans())


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_conversation_leaves_a_span_per_turn_with_an_event_per_decision() -> None:
    collected = Collected()
    results = conversation(collected.compressor())
    turns = collected.spans("specprefill.step")
    assert [[attributes(event)["gen_ai.tool.call.id"] for event in turn.events] for turn in turns] == [
        ["call-1"],
        ["call-2"],
        ["call-3", "call-4"],
    ]  # type: ignore[arg-type]
    told = [attributes(event) for turn in turns for event in turn.events]  # type: ignore[arg-type]
    sent = results[-1].segments
    assert [one["specprefill.outcome"] for one in told] == [segment.outcome for segment in sent]
    assert [one["specprefill.kept_tokens"] for one in told] == [segment.kept_tokens for segment in sent]
    assert {attributes(turn)["gen_ai.conversation.id"] for turn in turns} == {"conversation-1"}
    assert {attributes(turn)["gen_ai.request.model"] for turn in turns} == {"deepseek-chat"}
    assert {attributes(turn)["specprefill.keep_ratio"] for turn in turns} == {"0.2"}
    assert collected.sums("specprefill.tokens") == {
        "original": sum(segment.original_tokens for segment in sent),
        "kept": sum(segment.kept_tokens for segment in sent),
    }
    assert sum(collected.sums("specprefill.segments").values()) == len(sent)


def test_spans_last_as_long_as_the_work_and_belong_to_the_span_around_them() -> None:
    collected = Collected()
    tracer = collected.tracers.get_tracer("agent")
    with tracer.start_as_current_span("agent step") as around:
        collected.compressor().compress([Segment(RECORDS)], "entry 7")
    (span,) = collected.spans("specprefill.compress")
    assert span.parent
    assert span.parent.span_id == around.get_span_context().span_id
    assert span.start_time and span.end_time and around.start_time  # type: ignore[attr-defined]  # noqa: PT018
    assert around.start_time <= span.start_time < span.end_time  # type: ignore[attr-defined]


def test_a_call_outside_conversations_counts_its_texts_once() -> None:
    collected = Collected()
    result = collected.compressor().compress([Segment(RECORDS), Segment("short", "system")], "entry 7")
    assert collected.sums("specprefill.tokens") == {"original": result.usage.original_tokens, "kept": result.usage.kept_tokens}
    assert collected.sums("specprefill.segments") == {"compressed": 1, "protected": 1}
    assert collected.sums("specprefill.cache.requests") == {"hit": 0, "miss": 1}


def test_no_text_of_a_conversation_is_told_unless_asked_for() -> None:
    quiet, loud = Collected(), Collected(include_text=True)
    log = Audits(quiet.telemetry, loud.telemetry)
    conversation(Compressor(config=CompressionConfig.from_dict(SETTINGS), audit=log, cache="memory"))
    assert [word for word in WORDS if word in quiet.said()] == []
    assert quiet.said().count("specprefill.step") == loud.said().count("specprefill.step") == 3
    asked = [attributes(span)["gen_ai.retrieval.query.text"] for span in loud.spans("specprefill.step")]
    assert asked[-1] == "the value of entry 33 in Record 33"


def test_a_scorer_that_fails_is_counted_by_a_word_and_named_without_what_it_quotes() -> None:
    collected = Collected()
    collected.compressor(scorer=Broken()).compress([Segment(RECORDS)], "zebra")
    (span,) = collected.spans("specprefill.compress")
    assert attributes(span)["specprefill.fallback_reason"] == "RuntimeError"
    assert collected.sums("specprefill.fallbacks") == {"other": 1}
    assert "Record" not in collected.said()


def test_a_model_call_is_told_by_the_names_of_the_conventions() -> None:
    collected = Collected()
    done = recorded([2000, 3000], scorer_ms=40)
    for step in done.steps:
        collected.telemetry.on_step(done, step)
    spans = [attributes(span) for span in collected.spans("chat deepseek-flash")]
    assert [one["gen_ai.usage.input_tokens"] for one in spans] == [step.billed.tokens.input_tokens for step in done.steps]
    assert [one["gen_ai.usage.cache_read.input_tokens"] for one in spans] == [0, 900, 900]
    assert [one["gen_ai.conversation.compacted"] for one in spans] == [False, True, True]
    assert not any("gen_ai.provider.name" in one for one in spans)
    costs, totals = collected.sums("specprefill.cost"), done.totals
    assert costs == pytest.approx(
        {"billed": totals.billed.usd, "sent": totals.sent.usd, "plain": totals.plain.usd, "scorer": totals.scorer_usd}
    )


def test_durations_and_the_wait_for_a_stream_are_told_with_the_provider() -> None:
    collected = Collected(provider="deepseek")
    whole, streamed = recorded([2000]).steps
    collected.telemetry.on_step(done := recorded([2000]), whole)
    collected.telemetry.on_step(done, replace(streamed, first_chunk_ms=250.0))
    expected = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "deepseek", "gen_ai.request.model": "deepseek-flash"}
    assert [attributes(span)["gen_ai.provider.name"] for span in collected.spans("chat deepseek-flash")] == ["deepseek"] * 2
    (took,) = collected.points("gen_ai.client.operation.duration")
    (waited,) = collected.points("gen_ai.client.operation.time_to_first_chunk")
    assert dict(took.attributes) == dict(waited.attributes) == expected
    assert (took.count, waited.count, waited.sum) == (2, 1, 0.25)
    assert {point.attributes["gen_ai.provider.name"] for point in collected.points("gen_ai.client.token.usage")} == {"deepseek"}


def test_turns_whose_records_are_lost_are_told_as_far_as_they_came_and_not_held_for_ever() -> None:
    collected = Collected()
    for number in range(OPEN_TURNS + 3):
        collected.telemetry.record("decision", {"turn": {"id": str(number), "size": 2}, "outcome": "compressed", "decision": str(number)})
    assert len(collected.spans("specprefill.step")) == 3


def test_without_an_sdk_nothing_is_told_and_nothing_fails() -> None:
    log = Telemetry()
    results = conversation(Compressor(config=CompressionConfig.from_dict(SETTINGS), audit=log, cache="memory"))
    assert [result.usage.fallback_reason for result in results] == [None] * 3


def test_neither_opentelemetry_nor_prometheus_is_loaded_unless_asked_for() -> None:
    code = "import json, sys; from specprefill_agents import Compressor; Compressor(); print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [name for name in json.loads(done.stdout) if name.startswith(("opentelemetry", "prometheus_client", "jinja2"))] == []
