"""OpenTelemetry spans and metrics of what was decided and what it cost, made of audit records and ledger steps.

Needs only OpenTelemetry's API: without an SDK all of it does nothing. Names are those of the GenAI conventions where they
have one, else `specprefill.*`. No text leaves unless asked for.
"""

from __future__ import annotations

import threading
import time
from collections import Counter as Count
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from specprefill_agents.accounting.ledger import Conversation, Step
from specprefill_agents.errors import missing_extra
from specprefill_agents.observe.audit import SETTINGS
from specprefill_agents.observe.decisions import EVENT
from specprefill_agents.observe.reasons import reason_word

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

NAME = "specprefill_agents"
"""The instrumentation scope."""
OPEN_TURNS = 64
"""Turns of which not all decisions have come; the oldest beyond these is told as far as it came."""

Attributes: TypeAlias = dict[str, Any]

_COUNTS = {
    "specprefill.tokens": ("{token}", "Target tokens of tool outputs and documents, each text once: whole, and as sent."),
    "specprefill.segments": ("{segment}", "Tool outputs and documents by what became of them."),
    "specprefill.cache.requests": ("{text}", "Texts scored, by whether the scorer had read them before."),
    "specprefill.fallbacks": ("{fallback}", "What did not go as configured."),
    "specprefill.drift.alerts": ("{alert}", "Means that fell below their floor."),
    "specprefill.cost": ("USD", "What model calls cost: as billed, as sent, and uncompressed."),
}


class Telemetry:
    """Tells OpenTelemetry of audit records and ledger steps: give it as `audit` (beside a file: `Audits`), `on_step` as `ledger`.

    Spans: `specprefill.compress`, a call of the compressor; `specprefill.step`, a turn of a conversation, with an event for
    each decision; from `on_step` also `chat MODEL`, a model call. They are told when they have ended, as children of the
    span that is current then. OpenTelemetry's providers are the global ones unless given. `include_text` adds the question to
    spans. `provider` is who answers the models, by its name in the conventions, such as "deepseek" or "openai"; None: not said.
    Raises ImportError with the pip command where OpenTelemetry's API is missing. May be shared by threads and compressors.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        include_text: bool = False,
        provider: str | None = None,
    ) -> None:
        try:
            from opentelemetry import metrics, trace
        except ModuleNotFoundError as error:
            raise missing_extra("OpenTelemetry", "otel") from error
        self.include_text = include_text
        self._trace = trace
        self._tracer = trace.get_tracer(NAME, tracer_provider=tracer_provider)
        meter = metrics.get_meter(NAME, meter_provider=meter_provider)
        self._counts = {name: meter.create_counter(name, unit, text) for name, (unit, text) in _COUNTS.items()}
        self._scoring = meter.create_histogram("specprefill.scorer.duration", "s", "Seconds of scoring, a call.")
        self._provider = provider
        self._usage = meter.create_histogram("gen_ai.client.token.usage", "{token}", "Tokens of a model call.")
        self._duration = meter.create_histogram("gen_ai.client.operation.duration", "s", "Seconds of a model call.")
        self._first = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk", "s", "Seconds until a streamed answer of a model call begins."
        )
        self._turns: OrderedDict[str, list[Mapping[str, Any]]] = OrderedDict()
        self._lock = threading.Lock()

    def record(self, event: str, fields: Mapping[str, Any]) -> None:
        """Tell of one audit record."""
        if event == EVENT:
            self._decided(fields)
            return
        reason = fields.get("fallback_reason")
        if reason:
            self._count("specprefill.fallbacks", 1, {"specprefill.reason": reason_word(str(reason))})
        if event == "compress":
            self._compressed(fields)
            return
        if event == "drift":
            self._count("specprefill.drift.alerts", 1, {"specprefill.measure": fields.get("measure")})
        attributes = {f"specprefill.{name}": value for name, value in fields.items() if isinstance(value, (str, int, float))}
        self._trace.get_current_span().add_event(f"specprefill.{event}", attributes)

    def on_step(self, conversation: Conversation, step: Step) -> None:
        """Tell of one model call."""
        used = step.billed.tokens
        shared = _said({"gen_ai.operation.name": "chat", "gen_ai.provider.name": self._provider, "gen_ai.request.model": step.model})
        attributes = {
            **shared,
            "gen_ai.conversation.id": conversation.id,
            "gen_ai.conversation.compacted": step.sent.tokens.input_tokens < step.plain.tokens.input_tokens,
            "specprefill.sent_tokens": step.sent.tokens.input_tokens,
            "specprefill.plain_tokens": step.plain.tokens.input_tokens,
            "specprefill.billed_usd": step.billed.usd,
            "specprefill.sent_usd": step.sent.usd,
            "specprefill.plain_usd": step.plain.usd,
            "specprefill.scorer_usd": step.scorer_usd,
            "specprefill.arm": conversation.arm or None,
            "specprefill.flags": list(step.flags) or None,
        }
        if not step.billed.unread:
            attributes |= {
                "gen_ai.usage.input_tokens": used.input_tokens,
                "gen_ai.usage.output_tokens": used.output_tokens,
                "gen_ai.usage.cache_read.input_tokens": None if used.unsplit_tokens else used.hit_tokens,
                "gen_ai.usage.cache_creation.input_tokens": used.write_tokens + used.long_write_tokens,
            }
            for kind, number in (("input", used.input_tokens), ("output", used.output_tokens)):
                self._usage.record(number, {**shared, "gen_ai.token.type": kind})
        costs = {"billed": step.billed.usd, "sent": step.sent.usd, "plain": step.plain.usd, "scorer": step.scorer_usd}
        for basis, usd in costs.items():
            if usd is not None:
                self._count("specprefill.cost", usd, {"specprefill.basis": basis})
        now = time.time_ns()
        began = min(int(step.at.timestamp() * 1e9), now)
        self._duration.record((now - began) / 1e9, shared)
        if step.first_chunk_ms is not None:
            self._first.record(step.first_chunk_ms / 1000, shared)
        span = self._tracer.start_span(
            f"chat {step.model}", kind=self._trace.SpanKind.CLIENT, start_time=began, attributes=_said(attributes)
        )
        span.end(now)

    def _compressed(self, fields: Mapping[str, Any]) -> None:
        if fields.get("scorer_ms"):
            self._scoring.record(fields["scorer_ms"] / 1000)
        self._count("specprefill.cache.requests", fields.get("cache_hits", 0), {"specprefill.result": "hit"})
        self._count("specprefill.cache.requests", fields.get("cache_misses", 0), {"specprefill.result": "miss"})
        outcomes = Count(str(outcome) for outcome, _ in fields.get("segments", ()))
        if fields.get("conversation") is None:  # else each decision has a record of its own
            self._count_texts(fields, outcomes)
        names = ("original_tokens", "kept_tokens", "scorer", "scorer_ms", "cache_hits", "cache_misses", "fallback_reason", "note")
        attributes = {
            "gen_ai.conversation.id": fields.get("conversation"),
            **{f"specprefill.{name}": fields.get(name) for name in names},
            **{f"specprefill.segments.{outcome}": number for outcome, number in outcomes.items()},
        }
        self._tell("specprefill.compress", fields, attributes)

    def _decided(self, fields: Mapping[str, Any]) -> None:
        self._count_texts(fields, {str(fields.get("outcome")): 1})
        turn = fields.get("turn")
        if not isinstance(turn, Mapping):
            return
        ended: list[Sequence[Mapping[str, Any]]] = []
        with self._lock:
            made = self._turns.setdefault(str(turn["id"]), [])
            made.append(fields)
            if len(made) >= turn["size"]:
                ended.append(self._turns.pop(str(turn["id"])))
            while len(self._turns) > OPEN_TURNS:
                ended.append(self._turns.popitem(last=False)[1])
        for decisions in ended:
            self._turn(decisions)

    def _turn(self, decisions: Sequence[Mapping[str, Any]]) -> None:
        first = decisions[0]
        names = ("scorer", "draft", "scorer_ms", "fallback_reason", "guardrails_id", "guardrails_version")
        attributes = {
            "gen_ai.conversation.id": first.get("conversation"),
            "gen_ai.request.model": first.get("model_id"),
            "gen_ai.retrieval.query.text": first.get("query") if self.include_text else None,
            "specprefill.keep_ratio": str(first.get(SETTINGS, {}).get("keep_ratio")),
            "specprefill.original_tokens": sum(one.get("original_tokens", 0) for one in decisions),
            "specprefill.kept_tokens": sum(one.get("kept_tokens", 0) for one in decisions),
            **{f"specprefill.{name}": first.get(name) for name in names},
        }
        self._tell("specprefill.step", first, attributes, [_event(one) for one in decisions])

    def _tell(self, name: str, fields: Mapping[str, Any], attributes: Attributes, events: Sequence[Attributes] = ()) -> None:
        now = time.time_ns()
        began = now - int(1e6 * fields.get("elapsed_ms", 0))
        span = self._tracer.start_span(name, start_time=began, attributes=_said(attributes))
        for event in events:
            span.add_event("specprefill.decision", event, now)
        span.end(now)

    def _count_texts(self, fields: Mapping[str, Any], outcomes: Mapping[str, int]) -> None:
        for stage in ("original", "kept"):
            self._count("specprefill.tokens", fields.get(f"{stage}_tokens", 0), {"specprefill.stage": stage})
        for outcome, number in outcomes.items():
            self._count("specprefill.segments", number, {"specprefill.outcome": outcome})

    def _count(self, name: str, number: float, attributes: Attributes) -> None:
        self._counts[name].add(number, attributes)


def _event(decision: Mapping[str, Any]) -> Attributes:
    names = ("decision", "kind", "outcome", "reason", "original_tokens", "kept_tokens")
    attributes = {"gen_ai.tool.name": decision.get("name"), "gen_ai.tool.call.id": decision.get("tool_call_id")}
    return _said({**attributes, **{f"specprefill.{name}": decision.get(name) for name in names}})


def _said(attributes: Attributes) -> Attributes:
    """Those that are known."""
    return {name: value for name, value in attributes.items() if value is not None}
