"""A dashboard's rows: files read once while they grow and are set aside, held up to a limit, added up as the ledger adds up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from specprefill_agents import CompressionConfig, Compressor, Guardrails, Originals, Segment
from specprefill_agents.accounting.arms import arms_of, difference
from specprefill_agents.accounting.ledger import Ledger
from specprefill_agents.accounting.ledger_file import LedgerFile, write_ledger
from specprefill_agents.guardrails.settings import DriftSettings
from specprefill_agents.observe.audit import JsonlAudit
from specprefill_agents.observe.dashboard.board import Board
from specprefill_agents.observe.dashboard.rows import ALONE
from specprefill_agents.observe.dashboard.tail import Tail
from specprefill_agents.observe.dashboard.view import POINTS, Filters, view_of
from tests.audited import RECORDS, SETTINGS, Broken, conversation
from tests.dashboard.boards import arms, write_audit, write_ledger_lines
from tests.ledgers import recorded

NOW = 1_800_000_000.0


def viewed(board: Board, filters: Filters | None = None, now: float = NOW) -> dict[str, Any]:
    board.look()
    return view_of(board.rows, filters or Filters(), now)


def test_a_growing_file_is_read_once_and_a_line_without_its_end_later(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a":1}\n{"a":2}\nnot json\n{"a"')
    tail = Tail(path)
    assert [row for _, row in tail.new()] == [{"a": 1}, {"a": 2}]
    with path.open("ab") as stream:
        stream.write(b":3}\n")
    found = list(tail.new())
    assert [row for _, row in found] == [{"a": 3}]
    assert tail.at(found[0][0]) == {"a": 3}
    assert tail.unreadable_lines == 1
    assert list(tail.new()) == []


def test_files_that_are_set_aside_are_read_to_their_end_and_found_under_their_new_names(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = JsonlAudit(path, max_bytes=400, keep=50)
    tail = Tail(path)
    audit.record("decision", {"number": 0})
    places = {row["number"]: place for place, row in tail.new()}
    for number in range(1, 30):
        audit.record("decision", {"number": number})
        if number % 7 == 0:
            places |= {row["number"]: place for place, row in tail.new()}
    places |= {row["number"]: place for place, row in tail.new()}
    assert list(places) == list(range(30))
    assert (tmp_path / "audit.jsonl.3").exists()
    assert [(tail.at(place) or {})["number"] for place in places.values()] == list(range(30))


def test_a_file_that_was_emptied_is_read_from_its_beginning_and_one_that_is_gone_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"a":1}\n{"a":2}\n')
    tail = Tail(path)
    assert len(list(tail.new())) == 2
    path.write_text('{"a":3}\n')
    assert [row for _, row in tail.new()] == [{"a": 3}]
    path.unlink()
    with pytest.raises(FileNotFoundError):
        list(tail.new())


def test_decisions_add_up_to_what_was_sent(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    made = Compressor(config=CompressionConfig.from_dict(SETTINGS), audit=JsonlAudit(path), originals=Originals.in_memory(), cache="memory")
    *_, last = conversation(made)
    view = viewed(Board([], [path]))
    assert (view["kept"]["original"], view["kept"]["kept"]) == (last.usage.original_tokens, last.usage.kept_tokens)
    assert {tool["name"]: tool["count"] for tool in view["kept"]["tools"]} == {"read_file": 3, "depths": 1}
    assert [row["outcome"] for row in view["decisions"]] == [segment.outcome for segment in last.segments][::-1]
    assert view["speed"]["calls"] == 3
    assert view["speed"]["scorer_texts"] == 3
    assert view["trouble"]["fallbacks"] == 0


def test_a_call_outside_conversations_is_one_row_and_one_inside_none(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    made = Compressor(config=CompressionConfig.from_dict(SETTINGS), audit=JsonlAudit(path), cache="memory")
    result = made.compress([Segment(RECORDS), Segment("short", "system")], "entry 7")
    made.session("c").step([Segment(RECORDS, name="grep")], "entry 7")
    rows = viewed(Board([], [path]))["decisions"]
    assert [row["tool"] for row in rows] == ["grep", ALONE]
    assert rows[1]["kept"] == result.usage.kept_tokens
    assert rows[1]["why"] == "1 compressed, 1 protected"


def test_streamed_calls_say_how_long_they_took_to_begin(tmp_path: Path) -> None:
    conversation = recorded([2000, 3000])
    first, *others = conversation.steps
    streamed = replace(conversation, steps=(first, *(replace(step, first_chunk_ms=1250.0) for step in others)))
    write_ledger(Ledger((streamed,)), tmp_path / "ledger.json")
    speed = viewed(Board([tmp_path / "ledger.json"], []))["speed"]
    assert (speed["streamed"], speed["first_chunk_ms"]) == (2, 1250.0)
    write_ledger(Ledger((conversation,)), tmp_path / "whole.json")
    speed = viewed(Board([tmp_path / "whole.json"], []))["speed"]
    assert (speed["streamed"], speed["first_chunk_ms"]) == (0, None)


def test_filters_choose_conversation_tool_and_time(tmp_path: Path) -> None:
    path = write_audit(tmp_path / "audit.jsonl")
    made = Compressor(config=CompressionConfig.from_dict(SETTINGS), audit=JsonlAudit(path), cache="memory")
    made.session("other").step([Segment(RECORDS, name="grep")], "entry 7")
    board = Board([], [path])
    last = viewed(board)["last"]
    assert viewed(board)["decisions_total"] == 5
    assert viewed(board, Filters(conversation="other"))["decisions_total"] == 1
    chosen = viewed(board, Filters(tool="depths"))
    assert [row["tool"] for row in chosen["decisions"]] == ["depths"]
    assert len(chosen["kept"]["tools"]) == 3, "tools stay comparable"
    assert viewed(board, Filters(seconds=60), now=last + 30)["decisions_total"] == 5
    assert viewed(board, Filters(seconds=60), now=last + 90)["decisions_total"] == 0


def test_fallbacks_are_counted_by_reason_once_each_and_drift_alerts_shown(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    failing = Compressor(config=CompressionConfig.from_dict(SETTINGS), scorer=Broken(), audit=JsonlAudit(path), cache="memory")
    for number in range(3):
        failing.session(f"c-{number}").step([Segment(RECORDS)], "zebra")
    drift = DriftSettings(share=1.0, min_samples=1, window=2, overlap_floor=0.99, scorer="random")
    rules = Guardrails(id="g", version=1, drift=drift)
    drifting = Compressor(config=CompressionConfig.from_dict(SETTINGS), audit=JsonlAudit(path), cache="memory", guardrails=rules)
    drifting.compress([Segment(RECORDS)], "entry 7")
    drifting.guard.settle()
    trouble = viewed(Board([], [path]))["trouble"]
    assert [(one["reason"], one["count"]) for one in trouble["reasons"]] == [("RuntimeError", 3)]
    assert trouble["drift"] == 1
    assert trouble["alerts"][0]["what"].endswith("below its floor 0.99")
    assert viewed(Board([], [path]), Filters(conversation="c-0"))["trouble"]["fallbacks"] == 1


def test_dollars_are_those_of_the_ledger(tmp_path: Path) -> None:
    made = arms()
    path = write_ledger_lines(tmp_path / "ledger.jsonl", made)
    totals = Ledger(tuple(made)).totals
    money = viewed(Board([path], []))["money"]
    assert money["unit"] == "USD"
    assert money["calls"] == totals.steps
    assert money["sent"] == pytest.approx(totals.cost_usd)
    assert money["plain"] == pytest.approx(totals.plain.usd)
    assert money["saved_share"] == pytest.approx(totals.saved_share)
    assert money["billed"] == pytest.approx((totals.billed.usd or 0) + totals.scorer_usd)
    assert money["curve"][-1] == pytest.approx([totals.steps, totals.plain.usd, totals.cost_usd])
    assert [point[0] for point in money["curve"]] == list(range(1, totals.steps + 1))


def test_arms_and_their_difference_are_those_of_the_ledger(tmp_path: Path) -> None:
    made = arms()
    expected = arms_of(Ledger(tuple(made)))
    found = viewed(Board([write_ledger_lines(tmp_path / "l.jsonl", made)], []))["arms"]
    assert [(arm["name"], arm["conversations"], pytest.approx(arm["mean"])) for arm in found["arms"]] == [
        (arm.name, arm.conversations, arm.mean_usd) for arm in expected.arms
    ]
    (shown,) = found["differences"]
    gap = difference(expected, "treated", "control")
    assert gap
    assert (shown["treated"], shown["control"]) == ("treated", "control")
    assert shown["usd"] == pytest.approx(gap.usd)
    assert tuple(shown["interval"]) == pytest.approx(gap.interval_usd)


def test_what_two_files_hold_counts_once_and_a_whole_ledger_is_read_again_when_it_changed(tmp_path: Path) -> None:
    made = arms()
    lines, whole = write_ledger_lines(tmp_path / "l.jsonl", made), tmp_path / "l.json"
    write_ledger(Ledger(tuple(made[:2])), whole)
    board = Board([lines, whole], [])
    assert viewed(board)["money"]["calls"] == sum(len(one.steps) for one in made)
    only = Board([whole], [])
    before = viewed(only)["money"]["calls"]
    write_ledger(Ledger(tuple(made)), whole)
    assert viewed(only)["money"]["calls"] == 2 * before


def test_without_a_price_input_tokens_stand_for_dollars(tmp_path: Path) -> None:
    made = recorded([2000], model="nobody-s-model")
    money = viewed(Board([write_ledger_lines(tmp_path / "l.jsonl", [made])], []))["money"]
    assert (money["unit"], money["billed"]) == ("tokens", None)
    assert money["plain"] == made.totals.plain.tokens.input_tokens


def test_folded_steps_count_as_many(tmp_path: Path) -> None:
    made = recorded([2000] * 6).shortened(2)
    write_ledger(Ledger((made,)), tmp_path / "l.json")
    money = viewed(Board([tmp_path / "l.json"], []))["money"]
    assert money["calls"] == made.totals.steps == 7
    assert money["sent"] == pytest.approx(made.totals.cost_usd)


def test_many_records_are_held_up_to_a_limit_and_the_page_says_so(tmp_path: Path) -> None:
    audit, ledger = tmp_path / "audit.jsonl", tmp_path / "ledger.jsonl"
    log = JsonlAudit(audit)
    for number in range(400):
        log.record("decision", {"conversation": "c", "name": f"tool-{number % 3}", "outcome": "compressed", "kept_tokens": number})
    long = recorded([10] * 399)
    write_ledger_lines(ledger, [long])
    board = Board([ledger], [audit], limit=300)
    view = viewed(board)
    assert view["decisions_total"] == 300
    assert view["decisions"][0]["kept"] == 399
    assert view["left_out"] == 200
    assert len(view["money"]["curve"]) <= POINTS
    assert view["money"]["curve"][-1][0] == 300
    assert (board.record_of(399) or ({}, {}))[1]["kept_tokens"] == 399
    assert board.record_of(99) is None
    assert board.record_of(400) is None


def test_damaged_lines_are_counted_and_stop_nothing(tmp_path: Path) -> None:
    audit, ledger = write_audit(tmp_path / "audit.jsonl"), tmp_path / "ledger.jsonl"
    made = recorded([2000])
    LedgerFile(ledger).append(made, made.steps[0])
    with ledger.open("a") as stream:
        stream.write('{"version":1,"conversation":{},"step":{}}\n{"version":99}\nnot json\n')
    with audit.open("a") as stream:
        odd = [
            {"event": "decision", "outcome": 7, "kept_tokens": "x", "spans": [1], "time": "?"},
            {"event": 3},
            {"event": "compress", "segments": 5},
        ]
        stream.writelines(json.dumps(row) + "\n" for row in odd)
        stream.write("[1]\n")
    board = Board([ledger], [audit])
    view = viewed(board)
    assert board.unreadable_lines == 4
    assert view["money"]["calls"] == 1
    assert view["decisions_total"] == 5
