"""What the ledger shows: tables, plots and files say the same figures, and say what is unknown."""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specprefill_agents import ConfigError
from specprefill_agents.accounting.changes import Moved
from specprefill_agents.accounting.curve import Curve, curve_of
from specprefill_agents.accounting.ledger import Conversation, Ledger
from specprefill_agents.accounting.ledger_csv import COLUMNS, ledger_csv
from specprefill_agents.accounting.ledger_plot import write_plot
from specprefill_agents.accounting.ledger_table import By, notes_of, table_of
from specprefill_agents.accounting.ledger_terminal import plot_lines, print_ledger
from specprefill_agents.accounting.recording import LedgerSettings
from tests.ledgers import recorded
from tests.test_ledger import CONVERSATIONS, arm

ON = LedgerSettings(arm="on", machine_usd_per_hour=0.4)
LEDGER = Ledger((recorded([2000, 300, 4000], 0.3, expand_at=[1], settings=ON, scorer_ms=250.0, name="one"), recorded([900], name="two")))


def folded(conversation: Conversation, max_steps: int) -> Conversation:
    shorter = replace(conversation, steps=())
    for step in conversation.steps:
        shorter = shorter.add(step, max_steps)
    return shorter


@pytest.mark.parametrize(("by", "rows"), [("conversation", 3), ("step", 7), ("arm", 2)])
def test_a_row_stands_for_what_was_asked_for(by: By, rows: int) -> None:
    table = table_of(LEDGER, by)
    assert len(table.rows) == rows
    assert all(len(row) == len(table.header) for row in table.rows)


def test_the_total_row_is_the_sum_of_the_others() -> None:
    table = table_of(LEDGER, "conversation")
    for name in ("STEPS", "INPUT", "SENT $", "PLAIN $", "EXPAND"):
        column = table.header.index(name)
        *parts, whole = (float(row[column].replace(",", "")) for row in table.rows)
        assert whole == pytest.approx(sum(parts), abs=2e-6)


def test_how_long_streamed_answers_took_to_begin_is_shown_by_step() -> None:
    conversation = recorded([2000, 3000])
    first, *others = conversation.steps
    streamed = Ledger((replace(conversation, steps=(first, *(replace(one, first_chunk_ms=1250.0) for one in others))),))
    table = table_of(streamed, "step")
    assert [row[table.header.index("FIRST")] for row in table.rows] == ["-", "1.25 s", "1.25 s", ""]
    assert "Streamed answers began after 1.25 s: the median of 2 steps." in notes_of(streamed, "step")
    assert [row["first_chunk_ms"] for row in csv.DictReader(io.StringIO(ledger_csv(streamed)))] == ["", "1250.0", "1250.0"]
    assert "FIRST" not in table_of(Ledger((conversation,)), "step").fitting(300).header
    assert not any("Streamed" in note for note in notes_of(Ledger((conversation,)), "step"))


def test_a_narrow_terminal_keeps_the_columns_that_matter_most() -> None:
    table = table_of(LEDGER, "conversation")
    assert set(table.fitting(200).header) == set(table.header)
    narrow = table.fitting(60)
    assert {"CONVERSATION", "SENT $", "PLAIN $", "SAVED"} <= set(narrow.header)
    assert "OUTPUT" not in narrow.header


def test_columns_that_say_nothing_are_left_out() -> None:
    plain = table_of(Ledger((recorded([900]),)), "conversation").fitting(200)
    assert not {"ARM", "EXPAND", "SCORER"} & set(plain.header)


def test_what_speaks_against_compression_is_said() -> None:
    notes = "\n".join(notes_of(LEDGER, "conversation"))
    assert "1 call to expand and 1 extra step" in notes
    assert "1.0 s of scoring ($0.000111)" in notes
    assert "by the rule of deepseek, tokens by chars" in notes


def test_a_loss_is_called_a_cost() -> None:
    dear = Ledger((recorded([500], settings=LedgerSettings(machine_usd_per_hour=500), scorer_ms=500.0),))
    notes = "\n".join(notes_of(dear, "conversation"))
    assert "Compression cost $" in notes


def test_unknown_dollars_are_shown_as_unknown_and_the_reason_is_counted() -> None:
    ledger = Ledger((recorded([900], model="unheard-of"),))
    table = table_of(ledger, "conversation")
    assert table.rows[0][table.header.index("SENT $")] == "unknown"
    assert table.rows[0][table.header.index("SAVED")] == "-"
    notes = notes_of(ledger, "conversation")
    assert "2 steps: no price is known for this model." in notes
    assert "SAVED is unknown: a price is missing." in notes


def test_partly_known_dollars_are_shown_as_a_lower_bound() -> None:
    mixed = Ledger((recorded([900], name="a"), recorded([900], name="b", model="unheard-of")))
    table = table_of(mixed, "conversation")
    assert table.rows[-1][table.header.index("SENT $")].startswith(">0.0")


def test_a_moved_prefix_is_told_where_it_happened() -> None:
    conversation = recorded([900])
    moved = replace(conversation.steps[1], moved=Moved("content", 70, "message", 2, "tool", "call-1"))
    ledger = Ledger((replace(conversation, steps=(conversation.steps[0], moved)),))
    column = [row[-1] for row in table_of(ledger, "step").rows]
    assert column == ["whole", "message 2 (tool) call-1: content changed at byte 70", ""]
    assert any("did not begin with the whole request before" in note for note in notes_of(ledger, "step"))


def test_arms_are_compared_with_the_one_in_which_nothing_was_compressed() -> None:
    ledger = Ledger(tuple(arm("on", 0.2, 3, billed=False) + arm("off", 1.0, 3, billed=False)))
    (note,) = (note for note in notes_of(ledger, "arm") if "costs" in note)
    assert note.startswith("A conversation in 'on' costs -0.00")
    assert "against 'off', simulated; 95 % interval -0.00" in note
    assert not [note for note in notes_of(Ledger(tuple(arm("on", 0.2, 2))), "arm") if "costs" in note]


@given(st.lists(CONVERSATIONS, max_size=4), st.integers(1, 6))
def test_the_curve_ends_at_the_totals_and_never_falls(conversations: list[Conversation], max_steps: int) -> None:
    ledger = Ledger(tuple(folded(one, max_steps) for one in conversations))
    curve, totals = curve_of(ledger), ledger.totals
    assert len(curve.sent) == max((one.last_number for one in conversations), default=0)
    for line in (curve.sent, curve.plain, curve.billed or ()):
        assert all(later >= earlier - 1e-9 for earlier, later in pairwise(line))
    if not curve.sent:
        return
    if curve.unit == "USD":
        assert curve.sent[-1] == pytest.approx(totals.cost_usd)
        assert curve.plain[-1] == pytest.approx(totals.plain.usd)
    else:
        assert curve.sent[-1] == pytest.approx(totals.sent.tokens.input_tokens)


def test_the_plot_shows_savings_and_losses_by_signs() -> None:
    lines = plot_lines(Curve("USD", (1.0, 2.0), (2.0, 4.0), None), is_ascii=True)
    picture = "\n".join(lines[2:])
    assert picture.count("#") == 4 * (2 + 4)
    assert picture.count(".") - picture.count("$") == 4 * (2 + 4)
    assert "!" not in picture
    assert "$4.000000" in picture
    losing = "\n".join(plot_lines(Curve("USD", (4.0,), (2.0,), None), is_ascii=True)[2:])
    assert losing.count("!") == losing.count("#") > 0
    assert plot_lines(Curve("USD", (), (), None)) == []
    assert plot_lines(Curve("USD", (0.0,), (0.0,), None)) == []


@pytest.mark.parametrize("steps", [1, 2, 7, 60, 61, 5000])
@pytest.mark.parametrize("width", [20, 80, 200])
def test_the_plot_fits_for_any_number_of_steps(steps: int, width: int) -> None:
    curve = Curve("input tokens", tuple(map(float, range(1, steps + 1))), tuple(2.0 * n for n in range(1, steps + 1)), None)
    lines = plot_lines(curve, width=width)
    assert max(map(len, lines[2:])) <= 80
    assert lines[-2].rstrip().endswith(str(steps))


def test_an_id_cannot_steer_the_terminal() -> None:
    out = io.StringIO()
    print_ledger(Ledger((recorded([900], name="\x1b[2Jevil\u202e"),)), "conversation", out, width=120)
    assert "evil" in out.getvalue()
    assert "\x1b" not in out.getvalue()
    assert "\u202e" not in out.getvalue()


def test_a_missing_table_library_names_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with pytest.raises(ImportError, match=r"pip install 'specprefill-agents\[cli\]'"):
        print_ledger(LEDGER, "conversation", io.StringIO())


def test_csv_has_a_row_per_step_and_one_for_those_that_were_folded() -> None:
    ledger = Ledger((folded(LEDGER.conversations[0], 2), *LEDGER.conversations[1:]))
    rows = list(csv.DictReader(io.StringIO(ledger_csv(ledger))))
    assert [row["step"] for row in rows] == ["1-2", "3", "4", "1", "2"]
    assert tuple(rows[0]) == COLUMNS
    totals = LEDGER.totals
    for name, whole in (("sent_usd", totals.sent.usd), ("plain_usd", totals.plain.usd), ("scorer_ms", totals.scorer_ms)):
        assert sum(float(row[name]) for row in rows) == pytest.approx(whole)
    assert sum(int(row["sent_hit_tokens"]) for row in rows) == totals.sent.tokens.hit_tokens
    assert sum(int(row["expand_calls"]) for row in rows) == 1


def test_what_is_unknown_is_empty_in_csv() -> None:
    unknown = recorded([900], model="unheard-of")
    (row, _) = csv.DictReader(io.StringIO(ledger_csv(Ledger((unknown,)))))
    assert row["sent_usd"] == row["billed_usd"] == ""
    assert row["billed_hit_tokens"] == "0"
    unread = replace(unknown.steps[0], billed=replace(unknown.steps[0].billed, unread=1))
    (row, *_) = csv.DictReader(io.StringIO(ledger_csv(Ledger((replace(unknown, steps=(unread,)),)))))
    assert row["billed_hit_tokens"] == ""


@pytest.mark.parametrize(("name", "start"), [("l.png", b"\x89PNG"), ("l.SVG", b"<?xml")])
def test_a_picture_is_drawn_and_the_same_ledger_gives_the_same_bytes(tmp_path: Path, name: str, start: bytes) -> None:
    first, second = tmp_path / name, tmp_path / f"again-{name}"
    write_plot(LEDGER, first)
    write_plot(LEDGER, second)
    assert first.read_bytes().startswith(start)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("ledger", [Ledger(), Ledger((recorded([]),)), Ledger((recorded([900], model="unheard-of"),))])
def test_a_picture_is_drawn_of_little_and_of_unpriced_steps(tmp_path: Path, ledger: Ledger) -> None:
    write_plot(ledger, tmp_path / "l.svg")
    text = (tmp_path / "l.svg").read_text(encoding="utf-8")
    assert ("input tokens, summed" in text) == (curve_of(ledger).unit != "USD")


def test_a_picture_of_another_kind_is_refused_and_a_missing_library_names_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.png or \.svg"):
        write_plot(LEDGER, tmp_path / "l.pdf")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'specprefill-agents\[plot\]'"):
        write_plot(LEDGER, tmp_path / "l.png")
