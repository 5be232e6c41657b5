"""The command of the comparison: how many rows, resuming, several jobs, systems and weights that cannot be had."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from benchmarks.peers import __main__ as peers
from benchmarks.peers.counts import Counts
from benchmarks.peers.environment import PEERS, System
from benchmarks.peers.plan import PeerHost, Plan
from benchmarks.peers.weights import draft_folder, fingerprint
from benchmarks.results import load
from tests.tiny_gguf import write_tiny_gguf


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with four made questions."""
    texts = [f"Line {i} is about the weather of {1900 + i}." for i in range(40)]
    rows = [
        {
            "id": f"nq-{index}",
            "segments": [{"kind": "document", "name": "a", "text": "\n".join(texts)}],
            "query": "What was the weather of 1900?",
            "needles": [[texts[place]]],
            "meta": {"needle_kinds": ["evidence"]},
        }
        for index, place in enumerate((0, 20, 39, 1))
    ]
    with gzip.open(tmp_path / "nq_20doc.jsonl.gz", "wt", encoding="utf-8", newline="\n") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
    return tmp_path


@pytest.fixture
def command(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A whole run with the control, in a home of its own."""
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path / "home"))
    return [
        "--data",
        str(folder),
        "--systems",
        "none,head_tail_text,bm25",
        "--sets",
        "nq_20doc",
        "--keep",
        "0.2",
        "--out",
        str(tmp_path / "out.json"),
    ]


def test_the_least_number_of_rows_counts_and_a_pair_counts_as_said() -> None:
    counts = Counts.parse("40,qmsum_val=10,slow=5,llmlingua=8,llmlingua/qmsum_val=12", {"qmsum_val", "llmlingua"})
    assert (counts.of_set("nq_20doc"), counts.of_set("qmsum_val")) == (40, 10)
    assert counts.of("fused", "qmsum_val", slow=False) == 10
    assert counts.of("other", "qmsum_val", slow=True) == 5
    assert counts.of("llmlingua", "qmsum_val", slow=True) == 12
    assert Counts.parse("40,slow=5,slow/kv_140=1", {"kv_140"}).of("other", "kv_140", slow=True) == 1
    assert Counts.parse(None, set()).of("fused", "nq_20doc", slow=True) is None


@pytest.mark.parametrize("given", ["none", "0", "nobody=3", "slow=", "nobody/qmsum_val=3"])
def test_a_number_of_rows_that_means_nothing_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="--n"):
        Counts.parse(given, {"qmsum_val"})


def test_a_slow_system_is_measured_on_rows_that_the_others_are_measured_on_too(folder: Path) -> None:
    plan = Plan(folder, ("nq_20doc",), ("fused", "llmlingua"), (0.1,), Counts({"": 3, "slow": 2}), 7, PeerHost())
    few, more = ([row.id for row in plan.rows("nq_20doc", system)] for system in ("llmlingua", "fused"))
    assert (len(few), len(more)) == (2, 3)
    assert {*few} < {*more}


def test_a_run_measures_stores_and_prints_and_a_second_finds_it_held(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert peers.main(command) == 0
    first = capsys.readouterr()
    assert "nq_20doc, head_tail_text: 4 rows" in first.err
    assert "| nq_20doc | head_tail_text | 4 | 0.75 [" in first.out
    stored = load(tmp_path / "out.json")
    recall = {one.scorer: one.rows["0.2"]["evidence"] for one in stored.cells}
    assert recall["none"] == [1.0] * 4
    assert recall["head_tail_text"] == [1.0, 0.0, 1.0, 1.0]
    assert recall["bm25"][0] == 1.0
    assert str(tmp_path) not in (tmp_path / "out.json").read_text(encoding="utf-8")
    assert peers.main(command) == 0
    again = capsys.readouterr()
    assert again.err.count("held already") == 3
    assert again.out == first.out


def test_several_jobs_tell_the_same_as_one(command: list[str], tmp_path: Path) -> None:
    assert peers.main(command) == 0
    assert peers.main([*command, "--jobs", "2", "--out", str(tmp_path / "two.json")]) == 0
    one, two = ({cell.name: cell for cell in load(tmp_path / file).cells} for file in ("out.json", "two.json"))
    assert {*one} == {*two} == {"nq_20doc/none", "nq_20doc/head_tail_text", "nq_20doc/bm25"}
    for name, cell in one.items():
        assert [cell.rows["0.2"][metric] for metric in ("evidence", "share")] == [
            two[name].rows["0.2"][metric] for metric in ("evidence", "share")
        ]


def test_a_system_that_cannot_be_had_is_recorded_with_its_cause_and_the_others_are_measured(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert peers.main([*command, "--systems", "llmlingua2,none", "--weights", f"llmlingua2={tmp_path / 'absent'}"]) == 0
    said = capsys.readouterr().out
    assert "- llmlingua2 was not measured: the weights" in said
    assert "cannot be had here" in said
    cells = {one.scorer: one for one in load(tmp_path / "out.json").cells}
    assert (cells["llmlingua2"].ids, len(cells["none"].ids)) == ([], 4)


def test_a_worker_that_ends_leaves_a_cell_that_says_why(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PEERS, "head_tail_text", System("head_tail_text", "absent_worker.py"))  # type: ignore[arg-type]
    monkeypatch.setattr(PeerHost, "subject", lambda *_: {"system": "head_tail_text"})
    assert peers.main(command) == 0
    assert "- head_tail_text was not measured: the worker ended with status 2" in capsys.readouterr().out


def test_tables_of_stored_results_are_printed_without_measuring(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert peers.main(command) == 0
    measured = capsys.readouterr().out
    assert peers.main([*command, "--report"]) == 0
    again = capsys.readouterr()
    assert (again.out, again.err) == (measured, "")


def test_results_under_other_conditions_are_not_mixed(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert peers.main(command) == 0
    assert peers.main([*command, "--keep", "0.3"]) == 2
    assert "under other conditions (settings)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--systems", "nobody"], "--systems nobody: known are none, head_tail_text, random, bm25"),
        (["--draft", "nowhere"], "unknown draft 'nowhere'"),
        (["--n", "slow=0"], "--n slow=0: must read N or NAME=N"),
        (["--weights", "llmlingua2"], "--weights must read SYSTEM=WHERE"),
        (["--jobs", "0"], "--jobs takes a number from 1 on"),
        (["--keep", "1.5"], "--keep takes numbers in (0, 1]"),
        (["--sets", "nothing"], "unknown set 'nothing'"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_runs(
    command: list[str], more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert peers.main([*command, *more]) == 2
    assert said in capsys.readouterr().err


def test_peers_read_the_weights_that_the_library_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_draft: str) -> None:
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path / "home"))
    assert draft_folder(tiny_draft) == Path(tiny_draft)
    assert draft_folder("smollm2-135m").name == "smollm2-135m"
    written = draft_folder(str(write_tiny_gguf(tmp_path / "tiny.gguf")))
    assert written.is_relative_to(tmp_path / "home")
    assert [file.name for file in written.glob("*.safetensors")] == ["model.safetensors"]
    before = fingerprint(written)
    assert draft_folder(str(tmp_path / "tiny.gguf")) == written
    assert fingerprint(written) == before


def test_changed_weights_are_other_weights(tmp_path: Path) -> None:
    found = []
    for weights in (b"one", b"two"):
        directory = tmp_path / weights.decode()
        directory.mkdir()
        (directory / "config.json").write_text("{}")
        (directory / "model.safetensors").write_bytes(weights)
        found.append(fingerprint(directory))
    assert found[0] != found[1]
