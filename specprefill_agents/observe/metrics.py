"""Prometheus metrics of what was decided and what it cost. Labels are few and bounded: no conversation, no hash, no text."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from specprefill_agents.accounting.ledger import Conversation, Step
from specprefill_agents.errors import missing_extra
from specprefill_agents.observe.decisions import EVENT
from specprefill_agents.observe.reasons import reason_word

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Bounds of the histogram of scorer time."""
_COUNTERS = {
    "specprefill_tokens": ("Target tokens of tool outputs and documents, each text once: whole, and as sent.", ("stage",)),
    "specprefill_segments": ("Tool outputs and documents by what became of them.", ("outcome",)),
    "specprefill_cache_requests": ("Texts scored, by whether the scorer had read them before.", ("result",)),
    "specprefill_fallbacks": ("What did not go as configured.", ("reason",)),
    "specprefill_drift_alerts": ("Means that fell below their floor.", ("measure",)),
    "specprefill_model_calls": ("Model calls that the ledger was told of.", ()),
    "specprefill_billed_tokens": ("Tokens as the provider reported them; unsplit where it did not say what its cache did.", ("kind",)),
    "specprefill_cost_usd": ("US dollars as billed, where known.", ()),
    "specprefill_unpriced_calls": ("Model calls whose bill is not known.", ()),
    "specprefill_sent_cost_usd": ("US dollars of what was sent, counted here, with the scorer's time.", ()),
    "specprefill_plain_cost_usd": ("US dollars of the same uncompressed, counted here.", ()),
    "specprefill_expand_calls": ("Calls by which a model asked for what was left out.", ()),
    "specprefill_prefix_moves": ("Requests that did not begin with the whole request before.", ()),
}


class Metrics:
    """Counts audit records and ledger steps: give it as `audit` (beside a file: `Audits`), and `on_step` as `ledger` or its listener.

    Metrics stand in `registry`, by default prometheus_client's global one, which takes one `Metrics` per process. Raises
    ImportError with the pip command where prometheus_client is missing. May be shared by threads and compressors.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        try:
            import prometheus_client as prometheus
        except ModuleNotFoundError as error:
            raise missing_extra("Prometheus metrics", "serve") from error
        where = prometheus.REGISTRY if registry is None else registry
        self._counters: dict[str, Counter] = {
            name: prometheus.Counter(name, text, labels, registry=where) for name, (text, labels) in _COUNTERS.items()
        }
        self._seconds = prometheus.Histogram("specprefill_scorer_seconds", "Seconds of scoring, a call.", buckets=SECONDS, registry=where)

    def record(self, event: str, fields: Mapping[str, Any]) -> None:
        """Count one audit record."""
        if event == EVENT:  # why a turn fell back, its own record says
            self._add_texts(fields, {str(fields.get("outcome")): 1})
            return
        if fields.get("fallback_reason"):
            self._add("specprefill_fallbacks", reason=reason_word(str(fields["fallback_reason"])))
        if event == "compress":
            self._add_call(fields)
        elif event == "drift":
            self._add("specprefill_drift_alerts", measure=str(fields.get("measure")))

    def on_step(self, _: Conversation, step: Step) -> None:
        """Count one step of a ledger."""
        tokens, billed, cost = step.billed.tokens, step.billed.usd, step.sent.usd
        self._add("specprefill_model_calls")
        self._add("specprefill_expand_calls", step.expand_calls)
        self._add("specprefill_prefix_moves", int(step.moved is not None))
        self._add("specprefill_billed_tokens", tokens.hit_tokens, kind="hit")
        self._add("specprefill_billed_tokens", tokens.miss_tokens + tokens.write_tokens + tokens.long_write_tokens, kind="miss")
        self._add("specprefill_billed_tokens", tokens.output_tokens, kind="output")
        if tokens.unsplit_tokens:
            self._add("specprefill_billed_tokens", tokens.unsplit_tokens, kind="unsplit")
        self._add("specprefill_cost_usd", billed or 0.0)
        self._add("specprefill_unpriced_calls", int(billed is None))
        if cost is not None and step.plain.usd is not None:  # both or none, so that their difference is a saving
            self._add("specprefill_sent_cost_usd", cost + step.scorer_usd)
            self._add("specprefill_plain_cost_usd", step.plain.usd)

    def _add_call(self, fields: Mapping[str, Any]) -> None:
        if fields.get("scorer_ms"):
            self._seconds.observe(fields["scorer_ms"] / 1000)
        self._add("specprefill_cache_requests", fields.get("cache_hits", 0), result="hit")
        self._add("specprefill_cache_requests", fields.get("cache_misses", 0), result="miss")
        if fields.get("conversation") is None:  # else each decision has a record of its own
            self._add_texts(fields, Count(str(outcome) for outcome, _ in fields.get("segments", ())))

    def _add_texts(self, fields: Mapping[str, Any], outcomes: Mapping[str, int]) -> None:
        self._add("specprefill_tokens", fields.get("original_tokens", 0), stage="original")
        self._add("specprefill_tokens", fields.get("kept_tokens", 0), stage="kept")
        for outcome, number in outcomes.items():
            self._add("specprefill_segments", number, outcome=outcome)

    def _add(self, name: str, amount: float = 1, **labels: str) -> None:
        counter = self._counters[name]
        (counter.labels(**labels) if labels else counter).inc(amount)
