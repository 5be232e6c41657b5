"""Audit records: one per new decision, with hashes and counts; text only when asked for; a log that fails stops nothing."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from specprefill_agents import CompressionConfig, Compressor, Originals, ScoringError, Segment, Session
from specprefill_agents.draft.registry import MANIFEST, known_revision, pulled_directory
from specprefill_agents.guardrails.settings import AbSettings, Guardrails
from specprefill_agents.observe.audit import Audits, JsonlAudit, LoggingAudit, SafeAudit, without_quotes
from specprefill_agents.observe.audit_file import Record, read_audit
from specprefill_agents.session.recompacting import CacheState
from tests.audited import RECORDS, SETTINGS, WORDS, Broken, audited, conversation


class Kept:
    """An audit log in memory."""

    def __init__(self, *, include_text: bool = False) -> None:
        self.include_text = include_text
        self.rows: list[tuple[str, Mapping[str, Any]]] = []

    def record(self, event: str, fields: Mapping[str, Any]) -> None:
        self.rows.append((event, fields))

    @property
    def decisions(self) -> list[Mapping[str, Any]]:
        return [fields for event, fields in self.rows if event == "decision"]


def kept_by(log: object, **settings: Any) -> Compressor:
    return Compressor(config=CompressionConfig.from_dict(SETTINGS | settings), audit=log, cache="memory")  # type: ignore[arg-type]


def decisions(path: Path) -> list[Record]:
    return [record for record in read_audit(path) if record["event"] == "decision"]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_each_decision_leaves_one_record_when_it_is_made_and_none_when_it_is_found_again(tmp_path: Path) -> None:
    results = conversation(audited(tmp_path / "audit.jsonl", Originals.in_memory()))
    found = decisions(tmp_path / "audit.jsonl")
    assert [one["tool_call_id"] for one in found] == ["call-1", "call-2", "call-3", "call-4"]
    sent = results[-1].segments
    assert [one["sent_sha256"] for one in found] == [sha256(segment.text) for segment in sent]
    assert [one["outcome"] for one in found] == [segment.outcome for segment in sent]
    assert [(one["original_tokens"], one["kept_tokens"]) for one in found] == [(one.original_tokens, one.kept_tokens) for one in sent]
    assert [len({one["turn"]["id"] for one in found if one["turn"]["size"] == size}) for size in (1, 2)] == [2, 1]


def test_a_record_says_what_decided_and_for_which_target() -> None:
    log = Kept()
    made = kept_by(log)
    conversation(made)
    record = log.decisions[0]
    assert (record["conversation"], record["model_id"], record["kind"], record["name"]) == (
        "conversation-1",
        "deepseek-chat",
        "tool_result",
        "read_file",
    )
    assert record["fingerprint"] == made.fingerprint
    assert record["config"] == made.config.fingerprint()
    assert CompressionConfig.from_dict(json.loads(json.dumps(record["settings"]))) == made.config
    assert record["scorer"].startswith("bm25:")
    assert record["scorer_fingerprint"].startswith("bm25:")
    assert (record["draft"], record["draft_revision"]) == (None, None), "bm25 reads with no draft"
    assert record["text_sha256"] == sha256(RECORDS)
    assert record["elapsed_ms"] >= record["scorer_ms"] >= 0
    assert "guardrails_id" not in record
    assert record["fallback_reason"] is None


def test_a_repeat_and_a_recall_name_the_decisions_that_they_need() -> None:
    log = Kept()
    conversation(kept_by(log))
    first, again, other, _ = log.decisions
    assert again["repeat"]["source"] == first["decision"]
    assert other["recalled"][0]["source"] == first["decision"]
    assert {"label", "heading"}.isdisjoint([*again["repeat"], *other["recalled"][0]])


def test_the_revision_of_a_pulled_draft_is_known_without_loading_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path))
    log = Kept()
    made = kept_by(log, scorer="fused", min_tokens=10_000)
    made.session("c").step([Segment("short")], "why?")
    assert (log.decisions[0]["draft"], log.decisions[0]["draft_revision"]) == ("smollm2-135m", None)
    assert log.decisions[0]["scorer_fingerprint"] is None
    directory = pulled_directory("smollm2-135m")
    directory.mkdir(parents=True)
    (directory / MANIFEST).write_text(json.dumps({"revision": "0123456789abcdef0123"}), encoding="utf-8")
    assert made.decider.draft_revision == "0123456789abcdef"
    (directory / MANIFEST).write_text(json.dumps({"sha256": "fedcba9876543210ffff"}), encoding="utf-8")
    assert known_revision("smollm2-135m") == "fedcba9876543210"
    (directory / MANIFEST).write_text("no JSON", encoding="utf-8")
    assert known_revision("smollm2-135m") is None
    assert known_revision("Qwen/Qwen3-0.6B") is None


def test_a_log_without_text_holds_no_word_of_the_conversation(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    conversation(audited(path, Originals.in_memory()))
    written = path.read_text(encoding="ascii")
    assert not [word for word in WORDS if word in written]
    assert len(decisions(path)) == 4


def test_a_log_with_text_holds_texts_questions_and_arguments(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    conversation(audited(path, Originals.in_memory(), include_text=True))
    written = path.read_text(encoding="ascii")
    assert [word for word in WORDS if word in written] == list(WORDS)
    assert decisions(path)[0]["text"] == RECORDS


def test_an_error_that_quotes_a_text_is_named_in_a_record_without_what_it_says() -> None:
    for include_text in (False, True):
        log = Kept(include_text=include_text)
        made = Compressor(config=CompressionConfig(min_tokens=0), scorer=Broken(), audit=log, cache="memory")
        result = made.session("c").step([Segment(RECORDS, id="a")], "entry")
        assert "Record 0" in str(result.usage.fallback_reason)
        (record,) = log.decisions
        assert record["fallback_reason"].startswith("RuntimeError")
        assert ("Record 0" in record["fallback_reason"]) == ("Record 0" in record["reason"]) == include_text
        (call,) = [fields for event, fields in log.rows if event == "compress"]
        assert "Record 0" not in json.dumps(call)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("RuntimeError: a secret", "RuntimeError"),
        ("ScoringError: scorer returned 1 results for 2 contexts", "ScoringError: scorer returned 1 results for 2 contexts"),
        ("9 tokens exceed max_scored_tokens: scored by bm25", "9 tokens exceed max_scored_tokens: scored by bm25"),
        ("a session step failed: KeyError", "a session step failed: KeyError"),
        ("", ""),
        (None, None),
    ],
)
def test_only_this_library_s_own_errors_are_quoted(reason: str | None, said: str | None) -> None:
    assert without_quotes(reason) == said


def test_a_turn_that_fails_leaves_records_of_what_passes_whole_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ScoringError("no")

    log = Kept()
    session = kept_by(log).session("c")
    session.step([Segment(RECORDS, id="a")], "entry 7")
    monkeypatch.setattr("specprefill_agents.session.conversation.Recall", fail)
    session.step([Segment(RECORDS, id="a"), Segment(RECORDS, id="b")], "entry 8")
    first, second = log.decisions
    assert (first["outcome"], second["outcome"]) == ("compressed", "passthrough")
    assert second["fallback_reason"] == second["reason"] == "a session step failed: no"
    assert second["sent_sha256"] == second["text_sha256"]


def test_a_continued_session_records_only_what_is_new() -> None:
    log = Kept()
    made = kept_by(log)
    session = made.session("c")
    session.step([Segment(RECORDS, id="a")], "entry 7")
    again = Session.from_dict(session.to_dict(), made)
    again.model_id = "another-model"
    again.step([Segment(RECORDS, id="a"), Segment("boom", "tool_error", id="b")], "entry 8")
    assert [(one["tool_call_id"], one["model_id"]) for one in log.decisions] == [("a", None), ("b", "another-model")]


def test_a_log_that_raises_changes_nothing_of_what_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    class Raising:
        include_text = True

        def record(self, event: str, fields: Mapping[str, Any]) -> None:
            raise RuntimeError("the log is on fire")

    with caplog.at_level(logging.WARNING, "specprefill_agents.audit"):
        sent = conversation(kept_by(Raising()))
    assert [[one.text for one in step.segments] for step in sent] == [
        [one.text for one in step.segments] for step in conversation(kept_by(Kept()))
    ]
    assert "audit record lost (RuntimeError)" in caplog.text
    assert not [word for word in WORDS if word in caplog.text], "what is lost is reported without texts"


def test_what_json_does_not_take_is_reported_and_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Unsayable:
        def __str__(self) -> str:
            raise RuntimeError

    circle: list[Any] = []
    circle.append(circle)
    log = JsonlAudit(tmp_path / "audit.jsonl")
    with caplog.at_level(logging.WARNING, "specprefill_agents.audit"):
        for value in (circle, Unsayable(), {("a",): 1}):
            log.record("odd", {"value": value})
    assert caplog.text.count("audit record lost") == 3
    log.record("fine", {"value": "lone \ud800", "number": float("nan")})
    (record,) = read_audit(tmp_path / "audit.jsonl")
    assert record["value"] == "lone \ud800"


def test_logging_warns_of_a_failed_call_once_and_never_prints_settings(caplog: pytest.LogCaptureFixture) -> None:
    made = Compressor(config=CompressionConfig(min_tokens=0), scorer=Broken(), audit=LoggingAudit(), cache="memory")
    with caplog.at_level(logging.DEBUG, "specprefill_agents.audit"):
        made.session("c").step([Segment(RECORDS, id="a"), Segment(RECORDS, id="b")], "entry")
    assert [(record.levelname, record.getMessage().split()[0]) for record in caplog.records if record.name.endswith(".audit")] == [
        ("WARNING", "compress"),
        ("DEBUG", "decision"),
        ("DEBUG", "decision"),
    ]
    assert "neighbour_bonus" not in caplog.text


def test_a_safe_log_asks_for_text_exactly_when_the_one_inside_does() -> None:
    assert not SafeAudit(LoggingAudit()).include_text
    assert SafeAudit(Kept(include_text=True)).include_text


def test_functions_among_the_settings_are_known_by_name(tmp_path: Path) -> None:
    config = CompressionConfig(force_keep=("needle", sha256))  # type: ignore[arg-type]
    assert config.to_dict()["force_keep"] == ["needle", {"function": f"{__name__}.sha256"}]
    assert json.loads(json.dumps(config.to_dict()))["unit_chars"] == [48, 192]


def test_a_record_names_the_guardrails_and_why_they_let_a_text_pass_whole() -> None:
    rules = Guardrails(id="team", version=7, ab=AbSettings(control_share=1.0))
    log = Kept()
    made = Compressor(config=CompressionConfig.from_dict(SETTINGS), audit=log, cache="memory", guardrails=rules)
    made.session("c").step([Segment(RECORDS, id="a")], "entry 7")
    (record,) = log.decisions
    assert (record["guardrails_id"], record["guardrails_version"]) == ("team", 7)
    assert "control arm" in record["reason"]


def test_decisions_made_to_rewrite_history_are_recorded_only_where_it_is_rewritten() -> None:
    log = Kept()
    session = kept_by(log).session("c", model_id="deepseek-chat")
    segments = [Segment(RECORDS, id="a")]
    session.step(segments, "entry 7")
    assert session.recompact(segments, "entry 60", CacheState()) is None
    assert len(log.decisions) == 1
    assert session.recompact(segments, "entry 60", CacheState(), force=True)
    first, second = log.decisions
    assert first["decision"] == second["decision"]
    assert first["sent_sha256"] != second["sent_sha256"]
    assert second["model_id"] == "deepseek-chat"


class Failing:
    def record(self, event: str, fields: Mapping[str, Any]) -> None:
        raise OSError("the disk is full")


def test_several_logs_get_each_record_and_one_that_fails_stops_none(caplog: pytest.LogCaptureFixture) -> None:
    first, last = Kept(), Kept()
    conversation(kept_by(Audits(first, Failing(), last)))
    assert first.rows == last.rows != []
    assert caplog.text.count("audit record lost (the disk is full)") == len(first.rows)


def test_texts_go_only_to_those_logs_that_ask_for_them() -> None:
    quiet, loud = Kept(), Kept(include_text=True)
    made = kept_by(Audits(quiet, loud))
    made.session("c").step([Segment(RECORDS, id="call-1")], "zebra")
    assert [one["text"] for one in loud.decisions] == [RECORDS]
    assert [word for word in WORDS if word in json.dumps(quiet.rows)] == []
    assert [one["text_sha256"] for one in quiet.decisions] == [sha256(RECORDS)]


def test_of_a_failure_logs_without_text_hear_no_quotes_beside_one_with_text() -> None:
    quiet, loud = Kept(), Kept(include_text=True)
    made = Compressor(config=CompressionConfig.from_dict(SETTINGS), scorer=Broken(), audit=Audits(quiet, loud), cache="memory")
    made.session("c").step([Segment(RECORDS)], "zebra")
    assert "Record 0" in json.dumps(loud.rows)
    assert "Record 0" not in json.dumps(quiet.rows)
    assert [one["fallback_reason"] for one in quiet.decisions] == ["RuntimeError"]


def test_the_record_of_a_call_names_its_conversation_and_what_was_read_anew() -> None:
    log = Kept()
    made = kept_by(log)
    made.session("conversation-9").step([Segment(RECORDS)], "zebra")
    made.compress([Segment(RECORDS)], "zebra")
    calls = [fields for event, fields in log.rows if event == "compress"]
    assert [one["conversation"] for one in calls] == ["conversation-9", None]
    assert [(one["cache_hits"], one["cache_misses"]) for one in calls] == [(0, 1), (0, 1)]
