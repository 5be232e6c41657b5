"""Prometheus metrics: the same figures as results and ledgers, each text once, few labels; and a dashboard for them that fits."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from specprefill_agents import CompressionConfig, Compressor, Segment
from specprefill_agents.guardrails.settings import AbSettings, DriftSettings, Guardrails
from specprefill_agents.observe.metrics import Metrics
from specprefill_agents.observe.reasons import WORDS, reason_word
from tests.audited import RECORDS, SETTINGS, Broken, conversation
from tests.ledgers import recorded


class Scraped:
    """Metrics on a registry of their own, and what a scrape of it finds."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)

    def compressor(self, **arguments: Any) -> Compressor:
        settings = {"config": CompressionConfig.from_dict(SETTINGS), "cache": "memory", **arguments}
        return Compressor(audit=self.metrics, **settings)

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    @property
    def samples(self) -> list[tuple[str, dict[str, str]]]:
        return [(sample.name, sample.labels) for family in self.registry.collect() for sample in family.samples]


def test_the_texts_of_a_conversation_count_once_as_they_were_sent() -> None:
    scraped = Scraped()
    *_, last = conversation(scraped.compressor())
    assert scraped.value("specprefill_tokens_total", stage="original") == last.usage.original_tokens
    assert scraped.value("specprefill_tokens_total", stage="kept") == last.usage.kept_tokens
    for outcome in ("compressed", "protected"):
        expected = sum(segment.outcome == outcome for segment in last.segments)
        assert scraped.value("specprefill_segments_total", outcome=outcome) == expected > 0


def test_the_texts_of_a_call_outside_conversations_count_once() -> None:
    scraped = Scraped()
    result = scraped.compressor().compress([Segment(RECORDS), Segment("no such file", "tool_error")], "entry 7")
    assert scraped.value("specprefill_tokens_total", stage="kept") == result.usage.kept_tokens
    assert scraped.value("specprefill_segments_total", outcome="protected") == 1
    assert scraped.value("specprefill_scorer_seconds_count") == 1


def test_an_arm_that_runs_uncompressed_is_counted_as_sent_whole() -> None:
    scraped = Scraped()
    rules = Guardrails(id="ab", version=1, ab=AbSettings(control_share=1.0))
    *_, last = conversation(scraped.compressor(guardrails=rules))
    assert scraped.value("specprefill_tokens_total", stage="kept") == last.usage.original_tokens
    assert scraped.value("specprefill_scorer_seconds_count") == 0


def test_what_the_scorer_had_read_before_is_a_hit(embedded_draft: str) -> None:
    scraped = Scraped()
    config = CompressionConfig.from_dict(SETTINGS | {"scorer": "key_index"})
    made = scraped.compressor(draft=embedded_draft, config=config)
    for query in ("entry 7", "entry 8", "entry 9"):
        made.compress([Segment(RECORDS[:600])], query)
    found = {result: scraped.value("specprefill_cache_requests_total", result=result) for result in ("hit", "miss")}
    assert found == {"hit": 2, "miss": 1}


def test_a_failure_counts_once_although_its_decision_names_it_too() -> None:
    scraped = Scraped()
    scraped.compressor(scorer=Broken()).session("c").step([Segment(RECORDS)], "zebra")
    assert scraped.value("specprefill_fallbacks_total", reason="other") == 1
    assert sum(name == "specprefill_fallbacks_total" for name, _ in scraped.samples) == 1


def test_a_drift_alert_counts_where_the_compressor_s_records_go() -> None:
    scraped = Scraped()
    drift = DriftSettings(share=1.0, min_samples=1, window=2, overlap_floor=0.99, scorer="random")
    made = scraped.compressor(guardrails=Guardrails(id="g", version=1, drift=drift))
    made.compress([Segment(RECORDS)], "entry 7")
    made.guard.settle()
    assert scraped.value("specprefill_drift_alerts_total", measure="overlap") == 1


def test_a_ledger_s_steps_add_up_to_its_totals() -> None:
    scraped = Scraped()
    done = recorded([2000, 3000], expand_at=[1], scorer_ms=30)
    for step in done.steps:
        scraped.metrics.on_step(done, step)
    totals = done.totals
    assert scraped.value("specprefill_model_calls_total") == totals.steps
    assert scraped.value("specprefill_expand_calls_total") == totals.expand_calls == 1
    assert scraped.value("specprefill_billed_tokens_total", kind="hit") == totals.billed.tokens.hit_tokens > 0
    assert scraped.value("specprefill_billed_tokens_total", kind="output") == totals.billed.tokens.output_tokens
    assert scraped.value("specprefill_cost_usd_total") == pytest.approx(totals.billed.usd)
    assert scraped.value("specprefill_sent_cost_usd_total") == pytest.approx(totals.cost_usd)
    assert scraped.value("specprefill_plain_cost_usd_total") == pytest.approx(totals.plain.usd)


def test_what_has_no_price_adds_no_dollars_and_is_counted() -> None:
    scraped = Scraped()
    done = recorded([2000], model="nobody-s-model")
    for step in done.steps:
        scraped.metrics.on_step(done, step)
    assert scraped.value("specprefill_unpriced_calls_total") == len(done.steps)
    assert scraped.value("specprefill_cost_usd_total") == scraped.value("specprefill_plain_cost_usd_total") == 0


def test_labels_come_from_closed_lists() -> None:
    scraped = Scraped()
    conversation(scraped.compressor())
    scraped.compressor(scorer=Broken()).compress([Segment(RECORDS)], "zebra")
    labels = {(key, value) for name, labels in scraped.samples for key, value in labels.items() if key != "le"}
    assert labels <= {
        *(("stage", stage) for stage in ("original", "kept")),
        *(("outcome", outcome) for outcome in ("compressed", "passthrough", "protected")),
        *(("result", result) for result in ("hit", "miss")),
        *(("reason", word) for word in WORDS),
    }


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("70000 tokens exceed max_scored_tokens: scored by bm25", "too_long"),
        ("ScoringError: scoring took longer than timeout_s (2.0 s)", "timeout"),
        ("ScoringError: not finite", "scoring"),
        ("not scored after 3 failures in a row", "breaker_open"),
        ("a session step failed: NotKeptError", "not_kept"),
        ("a session step failed: KeyError", "session_step"),
        ("the ledger failed: ValueError", "step"),
        ("KeyError", "other"),
    ],
)
def test_each_reason_has_its_word(reason: str, word: str) -> None:
    assert reason_word(reason) == word
    assert word in WORDS


def test_each_panel_of_the_grafana_dashboard_asks_for_metrics_that_are_there() -> None:
    board = json.loads((files("specprefill_agents.observe") / "grafana.json").read_text(encoding="utf-8"))
    scraped = Scraped()
    exported = {sample.removesuffix("_created") for sample in _all_names(scraped.registry)}
    for panel in board["panels"]:
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            asked = set(re.findall(r"specprefill_\w+", target["expr"]))
            assert asked, panel["title"]
            assert asked <= exported, panel["title"]
            assert target["datasource"]["uid"] == "${datasource}"


def _all_names(registry: CollectorRegistry) -> set[str]:
    """Names under which samples are found once there are any."""
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
    return {f"{family.name}{suffix}" for family in registry.collect() for suffix in suffixes[family.type]}
