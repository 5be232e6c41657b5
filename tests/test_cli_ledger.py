"""`specprefill ledger show`: tables and files from what a ledger wrote, at recorded or other prices."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from specprefill_agents.accounting.ledger import Ledger
from specprefill_agents.accounting.ledger_file import LedgerFile, read_ledger
from specprefill_agents.accounting.recording import LedgerSettings
from tests.conftest import Outcome
from tests.ledgers import recorded

Command = Callable[..., Outcome]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two conversations as lines."""
    path = tmp_path / "ledger.jsonl"
    for name, share in (("short", 1.0), ("long", 0.3)):
        conversation = recorded([2000, 3000], share, name=name, settings=LedgerSettings(arm="off" if share == 1 else "on"))
        for step in conversation.steps:
            LedgerFile(path).append(conversation, step)
    return path


@pytest.mark.parametrize(("by", "first"), [("conversation", "CONVERSATION"), ("step", "CONVERSATION"), ("arm", "ARM")])
def test_show_prints_a_table_a_plot_and_notes(command: Command, file: Path, by: str, first: str) -> None:
    done = command("ledger", "show", str(file), "--by", by)
    assert (done.status, done.err) == (0, "")
    assert done.text.startswith(first)
    assert "USD, summed over conversations" in done.text
    assert "Compression saved $" in done.text


def test_conversations_are_the_default_rows(command: Command, file: Path) -> None:
    assert command("ledger", "show", str(file)).text == command("ledger", "show", str(file), "--by", "conversation").text


def test_files_are_merged_and_written_as_one(command: Command, file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    conversation = recorded([100], name="third")
    for step in conversation.steps:
        LedgerFile(other).append(conversation, step)
    out = tmp_path / "all.json"
    done = command("ledger", "show", str(file), str(other), str(file), "--json", str(out))
    assert done.status == 0
    assert f"json: {out}" in done.text
    merged = read_ledger(out).ledger
    assert [one.id for one in merged.conversations] == ["long", "short", "third"]
    assert merged == Ledger().merge(read_ledger(file).ledger, read_ledger(other).ledger)


def test_tokens_can_be_priced_as_another_model_s(command: Command, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "pro.json"
    assert command("ledger", "show", str(file), "--model", "deepseek-v4-pro", "--json", str(out)).status == 0
    flash, pro = read_ledger(file).ledger.totals, read_ledger(out).ledger.totals
    assert pro.sent.tokens == flash.sent.tokens
    assert pro.sent.usd is not None
    assert pro.sent.usd > (flash.sent.usd or 0)


def test_own_prices_are_read_and_a_mistake_in_them_is_one_line(command: Command, file: Path, tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    row = {"model": "deepseek-flash", "since": "2026-09-01", "caching": "deepseek", "input_hit": 0, "input_miss": 1, "output": 1}
    prices.write_text(json.dumps({"tariffs": [row]}), encoding="utf-8")
    out = tmp_path / "out.json"
    assert command("ledger", "show", str(file), "--prices", str(prices), "--json", str(out)).status == 0
    sent = read_ledger(out).ledger.totals.sent
    assert sent.usd == pytest.approx((sent.tokens.miss_tokens + sent.tokens.output_tokens) / 1e6)
    prices.write_text(json.dumps({"tariffs": [{**row, "input_miss": -1}]}), encoding="utf-8")
    done = command("ledger", "show", str(file), "--prices", str(prices))
    assert done.status == 2
    assert done.err.startswith("specprefill: tariffs[0].input_miss=-1 is not valid; allowed: ")
    assert done.err.count("\n") == 1


def test_csv_and_a_picture_are_written(command: Command, file: Path, tmp_path: Path) -> None:
    table, picture = tmp_path / "l.csv", tmp_path / "l.svg"
    done = command("ledger", "show", str(file), "--csv", str(table), "--plot", str(picture))
    assert done.status == 0
    assert len(table.read_text(encoding="utf-8").splitlines()) == 7
    assert picture.read_text(encoding="utf-8").startswith("<?xml")
    assert f"csv: {table}" in done.text
    assert f"plot: {picture}" in done.text


def test_a_picture_of_another_kind_is_refused_before_anything_is_read(command: Command, tmp_path: Path) -> None:
    done = command("ledger", "show", str(tmp_path / "absent.jsonl"), "--plot", "l.pdf")
    assert done.status == 2
    assert "a file that ends in .png or .svg" in done.err


def test_a_missing_file_and_one_that_is_no_ledger_are_explained(command: Command, tmp_path: Path) -> None:
    done = command("ledger", "show", str(tmp_path / "absent.jsonl"))
    assert (done.status, done.err) == (2, f"specprefill: {tmp_path / 'absent.jsonl'}: No such file or directory\n")
    (tmp_path / "text.txt").write_text("hello\n", encoding="utf-8")
    done = command("ledger", "show", str(tmp_path / "text.txt"))
    assert done.status == 2
    assert "a ledger: JSON, or JSON lines" in done.err


def test_lines_that_cannot_be_read_are_counted_on_standard_error(command: Command, file: Path) -> None:
    with file.open("ab") as stream:
        stream.write(b'{"version":1,"conv')
    done = command("ledger", "show", str(file))
    assert done.status == 0
    assert done.err == "specprefill: 1 line could not be read and are not counted\n"


def test_an_empty_ledger_has_no_steps(command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"")
    done = command("ledger", "show", str(tmp_path / "empty.jsonl"))
    assert (done.status, done.text) == (0, "no steps\n")


def test_an_id_that_no_encoding_holds_is_shown_and_written(command: Command, tmp_path: Path) -> None:
    path, table = tmp_path / "ledger.jsonl", tmp_path / "l.csv"
    conversation = recorded([100], name="lone \ud800")
    LedgerFile(path).append(conversation, conversation.steps[0])
    done = command("ledger", "show", str(path), "--csv", str(table))
    assert done.status == 0
    assert read_ledger(path).ledger.conversations[0].id == "lone \ud800"
    assert "lone \\ud800" in table.read_text(encoding="utf-8")


def test_the_verb_explains_itself(command: Command) -> None:
    assert "--prices FILE" in command("ledger", "show", "--help").text
    assert "as billed, as sent" in " ".join(command("ledger", "--help").text.split())


def test_showing_a_ledger_loads_no_model_and_no_framework(file: Path) -> None:
    code = "import sys; from specprefill_agents.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, "ledger", "show", str(file)], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "langchain_core", "llama_index", "matplotlib"} & set(done.stderr.split())
