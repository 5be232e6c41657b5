"""Replay of audit records: the same bytes, or what is wrong; and the same spans when decided afresh."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given

from specprefill_agents import CompressionConfig, Compressor, Originals, Segment, Span
from specprefill_agents.observe.audit import SilentAudit
from specprefill_agents.observe.audit_file import Record, read_audit
from specprefill_agents.observe.redeciding import Redeciding
from specprefill_agents.observe.replay import Replay, Trail
from specprefill_agents.storage.shelves import MemoryShelf
from tests.audited import RECORDS, audited, conversation
from tests.invariants import FEW, LongWords, counter
from tests.kinds import SEEDS
from tests.strategies import KINDS, PROTECTED_KINDS, any_query, case_of

Change = Callable[[Record], object]


class Events:
    """An audit log in memory, its records as a file would give them back."""

    def __init__(self, *, include_text: bool) -> None:
        self.include_text = include_text
        self.records: list[Record] = []

    def record(self, event: str, fields: Mapping[str, Any]) -> None:
        self.records.append(json.loads(json.dumps({"event": event, **fields})))


def verdicts(records: list[Record], originals: Originals | None = None) -> list[str]:
    trail = Trail.of(records)
    replay = Replay(trail, originals)
    return [replay.bytes_of(record).verdict for record in trail.decisions]


def logged(tmp_path: Path, originals: Originals | None = None, *, include_text: bool = False, **settings: Any) -> list[Record]:
    """The records of the conversation, as they are read back."""
    path = tmp_path / f"audit-{include_text}.jsonl"
    conversation(audited(path, originals or Originals.in_memory(), include_text=include_text, **settings))
    return list(read_audit(path))


def lexical(config: CompressionConfig, draft: str) -> Compressor:
    return Compressor(draft, config, audit=SilentAudit(), cache="memory")


def afresh(records: list[Record], make: Callable[[CompressionConfig, str], Compressor] = lexical) -> list[tuple[str, str]]:
    trail = Trail.of(records)
    again = Redeciding(trail, make)
    return [(found.verdict, found.reason) for found in map(again.spans_of, trail.decisions)]


@pytest.mark.parametrize("include_text", [False, True])
def test_a_conversation_with_repeats_and_recall_replays_to_the_same_bytes(tmp_path: Path, include_text: bool) -> None:
    originals = Originals.in_memory()
    records = logged(tmp_path, originals, include_text=include_text)
    decisions = Trail.of(records).decisions
    assert any(one["repeat"] for one in decisions)
    assert any(one["recalled"] for one in decisions)
    assert verdicts(records, originals) == ["same"] * 4


def test_with_its_texts_a_log_needs_no_originals(tmp_path: Path) -> None:
    assert verdicts(logged(tmp_path, include_text=True), None) == ["same"] * 4


@FEW
@given(SEEDS)
def test_whatever_was_decided_replays_to_the_same_bytes(seed: int) -> None:
    case = case_of(seed, 4, kinds=KINDS + PROTECTED_KINDS)
    source = Random(seed)
    log, originals = Events(include_text=source.random() < 0.5), Originals([MemoryShelf()])
    config = CompressionConfig(keep_ratio=case.ratio, min_tokens=0, min_result_tokens=0, timeout_s=None)
    made = Compressor(config=config, scorer=LongWords(), counter=counter(), originals=originals, audit=log, cache="memory")
    segments = [*case.segments, *(replace(one, id=f"again-{at}", call="look()") for at, one in enumerate(case.segments))]
    session = made.session("c")
    for end in range(1, len(segments) + 1):
        session.step(segments[:end], any_query(source))
    trail = Trail.of(log.records)
    replay = Replay(trail, originals)
    for record in trail.decisions:
        found = replay.bytes_of(record)
        if found.reason.startswith("neither the text nor an original"):  # small budgets name no original
            assert not log.include_text
        else:
            assert found.verdict == "same", (found, record)


def swapped(name: str, value: Any) -> Change:
    return lambda record: record.update({name: value})


def tampered(records: list[Record], at: int, change: Change) -> list[Record]:
    """The records with a change to the decision number `at`."""
    changed: list[Record] = json.loads(json.dumps(records))
    change([record for record in changed if record["event"] == "decision"][at])
    return changed


@pytest.mark.parametrize("include_text", [False, True])
@pytest.mark.parametrize(
    ("at", "change"),
    [
        (0, swapped("spans", [[0, 41]])),
        (0, swapped("spans", [[5, 2], [3, 4]])),
        (0, swapped("spans", None)),
        (0, swapped("spans", [[float("inf"), 2]])),
        (0, swapped("sent_sha256", "0" * 64)),
        (0, swapped("text_sha256", "0" * 64)),
        (0, swapped("kind", "no kind")),
        (0, swapped("marks", "brief")),
        (0, swapped("forms", ["item"] * 9)),
        (0, swapped("outcome", "protected")),
        (0, lambda record: record.pop("forms")),
        (1, lambda record: record["repeat"].update(gaps=[])),
        (2, lambda record: record["recalled"][0].update(spans=[[0, 41]])),
        (3, swapped("sent_sha256", "0" * 64)),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
def test_a_record_that_was_changed_differs(tmp_path: Path, include_text: bool, at: int, change: Change) -> None:
    originals = Originals.in_memory()
    records = logged(tmp_path, originals, include_text=include_text)
    assert verdicts(tampered(records, at, change), originals)[at] == "differs"


def test_a_text_in_the_log_that_was_changed_differs(tmp_path: Path) -> None:
    records = logged(tmp_path, include_text=True)
    for at in range(4):
        assert verdicts(tampered(records, at, swapped("text", "another text")))[at] == "differs"


def test_an_original_that_is_another_text_differs(tmp_path: Path) -> None:
    class Changed(Originals):
        def get(self, name: str) -> str | None:
            return f"{super().get(name)}."

    originals = Changed([MemoryShelf()])
    assert verdicts(logged(tmp_path, originals), originals) == ["differs", "differs", "differs", "same"], "the last was sent whole"


def test_what_cannot_be_replayed_says_why(tmp_path: Path) -> None:
    originals = Originals.in_memory()
    records = logged(tmp_path, originals)
    decisions = [record for record in records if record["event"] == "decision"]

    def reason(kept: list[Record], at: int, store: Originals | None = originals) -> str:
        trail = Trail.of(kept)
        found = Replay(trail, store).bytes_of(trail.decisions[at])
        assert found.verdict == "not replayed"
        return found.reason

    assert "is not in the store" in reason(records, 0, Originals.in_memory())
    assert "is not in the store" in reason(records, 0, None)
    assert "are not in this log" in reason(decisions, 0)
    assert "of which parts were recalled, is not in this log" in reason([one for one in records if one is not decisions[0]], 1)
    config = next(record for record in records if record["event"] == "config")
    newer = [{**one, "settings": {**config["settings"], "a_new_one": 1}} if one is config else one for one in records]
    assert "another version of this library: a_new_one=1" in reason(newer, 0)
    other = [{**one, "settings": {**config["settings"], "text_mark": "[...]"}} if one is config else one for one in records]
    assert "were changed" in reason(other, 0)
    config_and_first = [config, *tampered(decisions[:1], 0, swapped("original_id", ""))]
    assert "neither the text nor an original" in reason(config_and_first, 0)


def test_what_was_sent_whole_needs_no_text(tmp_path: Path) -> None:
    assert verdicts(logged(tmp_path), None)[-1] == "same"


def test_the_original_of_one_record_serves_another_of_the_same_text(tmp_path: Path) -> None:
    originals = Originals.in_memory()
    records = logged(tmp_path, originals)
    assert [bool(one["original_id"]) for one in Trail.of(records).decisions] == [True, False, True, False]
    assert verdicts(records, originals)[1] == "same"


def must_keep(segment: Segment) -> Iterator[Span]:
    yield 0, 10


def test_settings_with_functions_replay_but_are_not_decided_afresh(tmp_path: Path) -> None:
    records = logged(tmp_path, include_text=True, force_keep=[must_keep, "needle"])
    assert verdicts(records) == ["same"] * 4
    assert afresh(records)[0] == ("not replayed", "a function of force_keep is not in the log")


def test_decided_afresh_the_same_spans_are_kept(tmp_path: Path) -> None:
    found = afresh(logged(tmp_path, include_text=True))
    assert [verdict for verdict, _ in found] == ["same", "not replayed", "same", "same"]
    assert found[1][1] == "it refers to an earlier text"


def test_decided_afresh_with_the_embedded_draft_the_same_spans_are_kept(tmp_path: Path, embedded_draft: str) -> None:
    path = tmp_path / "audit.jsonl"
    made = audited(path, Originals.in_memory(), include_text=True, scorer="fused")
    conversation(made)
    records = list(read_audit(path))
    first = Trail.of(records).decisions[0]
    assert (first["draft"], len(first["draft_revision"])) == (embedded_draft, 16)
    assert first["scorer_fingerprint"]
    assert [verdict for verdict, _ in afresh(records)] == ["same", "not replayed", "same", "same"]


def test_spans_that_no_decision_makes_differ(tmp_path: Path) -> None:
    records = logged(tmp_path, include_text=True)
    assert afresh(tampered(records, 0, swapped("spans", [[0, 41]])))[0] == ("differs", "decided afresh, other spans are kept")
    assert afresh(tampered(records, 0, swapped("spans", [[3, 1]])))[0][0] == "differs"


def test_what_is_not_decided_afresh_says_why(tmp_path: Path) -> None:
    def other_scorer(config: CompressionConfig, draft: str) -> Compressor:
        return Compressor(config=config, scorer=LongWords(), cache="memory")

    def fails(config: CompressionConfig, draft: str) -> Compressor:
        raise ImportError("pip install it")

    records = logged(tmp_path, include_text=True)
    whole = [record for record in records if record.get("tool_call_id") != "call-4"]
    assert afresh(whole)[2] == ("not replayed", "the log does not hold all decisions of the turn")
    assert afresh(logged(tmp_path))[0] == ("not replayed", "the log does not hold the texts")
    assert "that is not known here" in afresh(records, other_scorer)[0][1]
    assert afresh(records, fails)[0] == ("not replayed", "no such scorer here: pip install it")
    fallen_back = tampered(records, 0, swapped("fallback_reason", "OSError"))
    assert afresh(fallen_back)[0] == ("not replayed", "it was no decision of the scorer's")
    other_weights = tampered(records, 0, swapped("scorer_fingerprint", "bm25:0"))
    assert afresh(other_weights)[0][1].startswith("the scorer fingerprint was bm25:0, here it is bm25:1.5")
    assert afresh(tampered(records, 0, swapped("text", RECORDS[:-1])))[0][0] == "differs"


def test_a_scorer_that_fails_afresh_is_no_difference(tmp_path: Path) -> None:
    def broken(config: CompressionConfig, draft: str) -> Compressor:
        made = lexical(config, draft)
        made.keep_original = None  # type: ignore[assignment,method-assign]
        return made

    assert afresh(logged(tmp_path, include_text=True), broken)[0] == ("not replayed", "deciding failed: TypeError")


def test_what_a_guard_let_pass_whole_is_no_difference(tmp_path: Path) -> None:
    records = logged(tmp_path, include_text=True)
    whole = {"outcome": "protected", "reason": "switched off by A_VARIABLE", "spans": [[0, len(RECORDS)]], "forms": []}
    assert afresh(tampered(records, 0, lambda record: record.update(whole)))[0] == ("not replayed", f"it passed whole: {whole['reason']}")
