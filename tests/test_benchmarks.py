"""Readers, metrics, stored results and the needle benchmark itself, on small made data."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import data, needles, report
from benchmarks.chunks import CHUNK_CHARS, chunk_layout
from benchmarks.evaluate import query_at, question_metrics, step_through, trajectory_metrics
from benchmarks.machine import ROOT, code_fingerprint, machine_kind, shown_command, versions
from benchmarks.memo import MemoScorer
from benchmarks.metrics import FoldedText, estimate, is_kept, kept_characters, kept_mask, locate, mean_over, paired_difference
from benchmarks.results import Results, cell_key, load
from specprefill_agents import CompressionConfig, Compressor, Segment, TokenScores
from specprefill_agents.prompt.units import DEFAULT_LIMITS
from specprefill_agents.prompt.units.layout import check_layout
from specprefill_agents.scoring.lexical import LexicalScorer

NOISE = [f"Paragraph {i} is about the weather of {1900 + i} and says nothing else.\n" for i in range(40)]
NEEDLE = "The vault code of the harbour office is 8841-KX.\n"
HAY = "".join([*NOISE[:20], NEEDLE, *NOISE[20:]])


def question_row(identifier: str, **changes: Any) -> dict[str, Any]:
    row = {
        "id": identifier,
        "set": "nq_20doc",
        "segments": [{"kind": "document", "name": "a", "text": HAY}, {"kind": "document", "name": "b", "text": "".join(NOISE)}],
        "query": "What is the vault code of the harbour office?",
        "answers": ["8841-KX"],
        "needles": [["8841-KX"], [NEEDLE.strip()]],
        "meta": {"needle_kinds": ["answer", "evidence"]},
    }
    return {**row, **changes}


def trajectory_row(identifier: str, text: str = HAY) -> dict[str, Any]:
    def call(name: str, index: int, **arguments: str) -> dict[str, Any]:
        function = {"name": name, "arguments": json.dumps(arguments)}
        return {"id": f"call_{index}", "type": "function", "function": function}

    return {
        "id": identifier,
        "set": "agentdojo",
        "messages": [
            {"role": "user", "content": "Open the vault of the harbour office."},
            {"role": "assistant", "content": "I look up the code.", "tool_calls": [call("search", 1, query="vault code")]},
            {"role": "tool", "tool_call_id": "call_1", "name": "search", "content": text},
            {"role": "assistant", "content": "", "tool_calls": [call("open_vault", 2, code="8841-KX")]},
            {"role": "tool", "tool_call_id": "call_2", "name": "open_vault", "content": "opened"},
        ],
        "needed_values": [{"value": "8841-KX", "source_message": 2, "used_in_message": 3, "also_in": []}],
        "meta": {},
    }


def write(directory: Path, name: str, rows: Sequence[dict[str, Any]]) -> None:
    with gzip.open(directory / f"{name}.jsonl.gz", "wt", encoding="utf-8", newline="\n") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with made rows of three sets."""
    write(tmp_path, "nq_20doc", [question_row(f"nq-{i}") for i in range(7)])
    write(tmp_path, "ruler_8k", [question_row(f"r-{t}", meta={"needle_kinds": ["answer", "evidence"], "task": t}) for t in ("vt", "qa_2")])
    write(tmp_path, "agentdojo", [trajectory_row("t-0"), {**trajectory_row("t-1"), "needed_values": []}])
    return tmp_path


def compressor(keep_ratio: float, scorer: Any = None, **settings: Any) -> Compressor:
    values = {"scorer": "bm25", "min_tokens": 0, "target_tokenizer": "o200k_base", "on_error": "raise", **settings}
    return Compressor(config=CompressionConfig.from_dict({"keep_ratio": keep_ratio, **values}), scorer=scorer)


def test_rows_survive_unicode_line_separators(tmp_path: Path) -> None:
    text = "one\u2028two\x85three\x0cfour\u2029" + NEEDLE
    write(tmp_path, "nq_20doc", [question_row("a", segments=[{"kind": "document", "name": "x", "text": text}]), question_row("b")])
    first, second = data.load_questions(tmp_path, "nq_20doc")
    assert first.segments[0].text == text
    assert second.segments[0].text == HAY
    assert [needle.kind for needle in first.needles] == ["answer", "evidence"]


def test_texts_that_are_stored_once_are_put_in_place(tmp_path: Path) -> None:
    write(tmp_path, "qmsum_val_meetings", [{"id": "m1", "set": "qmsum_val_meetings", "text": HAY, "meta": {}}])
    write(tmp_path, "qmsum_val", [question_row("q", segments=[{"kind": "document", "name": "m", "ref": "m1"}])])
    (question,) = data.load_questions(tmp_path, "qmsum_val")
    assert question.segments[0].text == HAY


def test_a_file_of_several_tasks_becomes_one_set_for_each(folder: Path) -> None:
    assert data.expand(folder, ["ruler_8k", "nq_20doc"]) == ["ruler_8k:vt", "ruler_8k:qa_2", "nq_20doc"]
    assert data.expand(folder, ["ruler_8k:qa_2"]) == ["ruler_8k:qa_2"]
    assert [row.id for row in data.load_questions(folder, "ruler_8k:qa_2")] == ["r-qa_2"]
    with pytest.raises(ValueError, match="nothing_like_it"):
        data.expand(folder, ["nothing_like_it"])
    with pytest.raises(ValueError, match="no task"):
        data.expand(folder, ["ruler_8k:nothing"])


def test_any_file_of_a_folder_is_a_set_and_its_first_row_tells_which_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, row in (("support", trajectory_row("t")), ("manual", question_row("q")), ("agentdojo", trajectory_row("a"))):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n\n", encoding="utf-8")
    write(tmp_path, "manual_meetings", [{"id": "m1", "text": HAY}])
    assert data.sets_in(tmp_path) == ["agentdojo", "manual", "support"]
    assert [data.is_runs(tmp_path, name) for name in ("support", "manual")] == [True, False]
    assert [data.is_left_alone(name, tmp_path) for name in ("support", "manual")] == [True, False]
    assert data.expand_runs(tmp_path, None) == ["agentdojo", "support"]
    with pytest.raises(ValueError, match="manual: sets of agent runs in the folder are agentdojo, support"):
        data.expand_runs(tmp_path, "manual")
    out = tmp_path / "out.json"
    assert needles.main([f"--data={tmp_path}", "--scorers=bm25", "--keep=0.2", f"--out={out}"]) == 0, capsys.readouterr().err
    assert [(cell.set, cell.ids) for cell in load(out).cells] == [("agentdojo", ["a"]), ("manual", ["q"]), ("support", ["t"])]


def test_only_runs_that_need_a_value_are_read(folder: Path) -> None:
    assert [row.id for row in data.load_trajectories(folder, "agentdojo")] == ["t-0"]


def test_a_sample_is_spread_over_the_rows_and_follows_its_seed() -> None:
    rows = list(range(100))
    chosen = data.sample(rows, 10, seed=3)
    assert [row // 10 for row in chosen] == list(range(10))
    assert data.sample(rows, 10, seed=3) == chosen != data.sample(rows, 10, seed=4)
    assert len({row % 10 for row in chosen}) > 3
    assert data.sample(rows, None, seed=0) == data.sample(rows, 200, seed=0) == rows


def test_a_needle_matches_with_case_folded_and_white_space_collapsed() -> None:
    text = "  The\tQUICK\n\n  Straße   ends here"
    (places,) = FoldedText(text).find("quick strasse ENDS")
    assert {text[place] for place in places} == set("QUICKStraßeends")
    assert FoldedText(text).find("quickstrasse") == []
    assert FoldedText(text).find(" ") == []
    assert len(FoldedText("aaa").find("aa")) == 2


def test_a_needle_counts_only_when_a_kept_span_holds_all_of_it() -> None:
    text = "alpha beta gamma"
    (places,) = [locate([FoldedText(text)], ["beta gamma"])]
    assert is_kept(places, [kept_mask(len(text), [(6, 16)])])
    assert is_kept(places, [kept_mask(len(text), [(6, 10), (11, 16)])]), "white space may be lost"
    assert not is_kept(places, [kept_mask(len(text), [(6, 9), (10, 16)])])
    assert kept_characters(places, [kept_mask(len(text), [(6, 10)])]) == (4, 9)
    assert not is_kept([], [])


def test_any_occurrence_of_any_alternative_counts() -> None:
    texts = ["red green", "blue green"]
    places = locate([FoldedText(text) for text in texts], ["yellow", "green"])
    assert is_kept(places, [kept_mask(9, []), kept_mask(10, [(5, 10)])])
    assert not is_kept(places, [kept_mask(9, [(0, 3)]), kept_mask(10, [(0, 4)])])


def test_the_text_of_a_gap_mark_is_no_needle() -> None:
    marked = compressor(0.3, line_mark="[{count} lines, vault code 8841-KX]", text_mark="[8841-KX]")
    row = question_row("x", query="weather of 1903", needles=[["8841-KX"]], meta={"needle_kinds": ["answer"]})
    question = data.Question("x", (Segment(HAY, "tool_result"),), row["query"], (data.Needle("answer", ("8841-KX",)),))
    text = marked.compress(question.segments, question.query).segments[0].text
    assert "8841-KX" in text
    assert NEEDLE not in text
    assert question_metrics(question, [marked])[0]["answer"] == 0.0


def test_two_spans_with_a_gap_between_them_spell_no_needle() -> None:
    text = "hidden below | noise | the lighthouse | hidden below the lighthouse"
    places = locate([FoldedText(text)], ["hidden below the lighthouse"])
    assert not is_kept(places, [kept_mask(len(text), [(0, 12), (23, 38)])])
    with pytest.raises(ValueError, match="x: needle 0 is not in the texts"):
        question_metrics(data.Question("x", (Segment("a b"), Segment("c")), "q", (data.Needle("answer", ("b c",)),)), [compressor(0.5)])


def test_a_question_gives_one_row_of_metrics_for_each_keep_ratio(folder: Path) -> None:
    question = data.load_questions(folder, "nq_20doc")[0]
    small, large = question_metrics(question, [compressor(0.05), compressor(0.5)])
    assert small["answer"] == small["evidence"] == small["evidence_chars"] == large["answer"] == 1.0
    assert small["values"] is None
    assert small["share"] is not None
    assert large["share"] is not None
    assert 0 < small["share"] <= 0.05 < large["share"] <= 0.5


def test_evidence_that_is_kept_in_part_counts_by_its_characters() -> None:
    evidence = "".join(NOISE[3:7])
    question = data.Question("x", (Segment("".join(NOISE)),), "weather of 1904", (data.Needle("evidence", (evidence,)),))
    (metrics,) = question_metrics(question, [compressor(0.1)])
    assert metrics["evidence"] == 0.0
    assert metrics["answer"] is None
    assert metrics["evidence_chars"] is not None
    assert 0 < metrics["evidence_chars"] < 1


def test_a_fallback_is_an_error_and_never_counts_as_kept() -> None:
    question = data.Question("x", (Segment(HAY),), "q", (data.Needle("answer", ("8841-KX",)),))
    with pytest.raises(RuntimeError, match="max_scored_tokens"):
        question_metrics(question, [compressor(0.5, scorer=MemoScorer(LexicalScorer()), max_scored_tokens=10)])


def test_a_run_is_stepped_through_as_an_agent_would(folder: Path) -> None:
    (run,) = data.load_trajectories(folder, "agentdojo")
    asked: list[tuple[list[str], str]] = []

    class Recording:
        def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
            asked.append((list(contexts), query))
            return LexicalScorer().score(contexts, query)

    decided, share = step_through(run, compressor(0.2, Recording(), recall_tokens=0))
    assert list(decided) == [2, 4]
    assert 0 < share <= 0.3
    assert asked[0] == ([HAY], query_at(run.messages[:3]))
    assert "vault code" in asked[0][1]
    assert "I look up the code." in asked[0][1]
    assert all(HAY not in contexts for contexts, _ in asked[1:]), "what was decided is not scored again"
    assert query_at(run.messages[:1]) == "Open the vault of the harbour office."


def test_a_needed_value_counts_while_a_message_before_its_use_shows_it(folder: Path) -> None:
    (run,) = data.load_trajectories(folder, "agentdojo")

    class Blind:
        def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
            return [TokenScores(s.offsets, s.scores * 0) for s in LexicalScorer().score(contexts, query)]

    seeing, blind = (trajectory_metrics(run, [compressor(0.2, scorer)])[0] for scorer in (None, Blind()))
    assert (seeing["values"], blind["values"]) == (1.0, 0.0)
    told = data.Trajectory("t", ({"role": "user", "content": "The code is 8841-KX."}, *run.messages), (data.NeededValue("8841-KX", 4),))
    assert trajectory_metrics(told, [compressor(0.2, Blind())])[0]["values"] == 1.0


def test_scores_are_made_once_for_all_keep_ratios_of_a_row(folder: Path) -> None:
    calls = 0

    class Counting:
        fingerprint = "counting"

        def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
            nonlocal calls
            calls += 1
            return LexicalScorer().score(contexts, query)

    memo = MemoScorer(Counting())
    question = data.load_questions(folder, "nq_20doc")[0]
    question_metrics(question, [compressor(keep, memo) for keep in (0.1, 0.2, 0.5)])
    assert calls == 1
    assert memo.fresh_tokens > 0
    memo.forget()
    question_metrics(question, [compressor(0.1, memo)])
    assert calls == 2


def test_an_interval_holds_its_mean_and_narrows_with_rows() -> None:
    few, many = estimate([0.0, 1.0] * 5), estimate([0.0, 1.0] * 500)
    assert few is not None
    assert many is not None
    assert few.low < few.mean == 0.5 < few.high
    assert many.high - many.low < few.high - few.low
    assert estimate([1.0, None, 1.0]) == estimate([1.0, 1.0])
    assert estimate([None]) is None


def test_a_paired_difference_uses_only_rows_that_have_both() -> None:
    found = paired_difference([1.0, 1.0, None, 0.5], [0.5, 0.5, 1.0, 0.0])
    assert found is not None
    assert (found.mean, found.low, found.high, found.n) == (0.5, 0.5, 0.5, 3)
    assert mean_over([[1.0, None], [0.0, 1.0]]) == [0.5, None]


def test_the_command_that_is_stored_names_no_place_on_the_machine() -> None:
    elsewhere = f"--draft={Path('/', 'far', 'away', 'draft')}"  # a made-up place: the checkout may be beside any real one
    command = shown_command("benchmarks.needles", ["--data", str(ROOT.parent / "shared" / "eval"), elsewhere, "--n", "3"])
    assert command == "python -m benchmarks.needles --data ../shared/eval --draft=draft --n 3"
    described = json.dumps([machine_kind(), versions(), code_fingerprint()])
    assert str(ROOT) not in described
    assert versions()["specprefill-agents"]


def run(folder: Path, out: Path, *more: str) -> int:
    return needles.main(["--data", str(folder), "--out", str(out), "--scorers", "bm25,random", "--keep", "0.1,0.3", *more])


def test_the_benchmark_measures_stores_and_prints(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results" / "needles.json"
    assert run(folder, out, "--sets", "nq_20doc,agentdojo", "--n", "3", "--paired", "bm25") == 0
    shown = capsys.readouterr()
    assert "| nq_20doc (n=3, min_tokens=0) | answer | bm25 | 1.00 [1.00, 1.00] | 1.00 [1.00, 1.00] |" in shown.out
    assert "| agentdojo (n=1, min_tokens=384) | needed values | bm25 |" in shown.out
    assert "| nq_20doc | answer | random | +" in shown.out
    results = load(out)
    assert {cell.name for cell in results.cells} == {"nq_20doc/bm25", "nq_20doc/random", "agentdojo/bm25", "agentdojo/random"}
    assert str(folder) not in out.read_text(encoding="utf-8")
    assert report.main([str(out), "--paired", "key_index"]) == 2
    assert "key_index" in capsys.readouterr().err
    assert report.main([str(out)]) == 0
    stored = capsys.readouterr().out.strip()
    differences = shown.out[shown.out.index("| set | kept | bm25 minus") : shown.out.index("| set | scorer | seconds")]
    assert stored == shown.out.replace(differences, "").strip()


def test_chunks_are_measured_beside_units_by_the_same_scores(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "needles.json"
    assert needles.main(["--data", str(folder), "--out", str(out), "--sets", "nq_20doc", "--n", "2", "--scorers", "bm25,bm25@chunks"]) == 0
    assert "| nq_20doc (n=2, min_tokens=0) | answer | bm25@chunks |" in capsys.readouterr().out
    text = "The lantern was lit. " * 40
    chunks = chunk_layout(text, DEFAULT_LIMITS)
    check_layout(text, chunks)
    assert {unit.end - unit.start for unit in chunks.units[:-1]} == {CHUNK_CHARS}


def test_what_auto_keeps_is_a_column_of_its_own_and_no_part_of_the_mean(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--sets", "nq_20doc", "--n", "2", "--scorers", "bm25,random", "--paired", "bm25"]
    assert needles.main(["--data", str(folder), "--out", str(tmp_path / "a.json"), *asked, "--keep", "0.3,auto"]) == 0
    with_auto = capsys.readouterr().out
    assert needles.main(["--data", str(folder), "--out", str(tmp_path / "b.json"), *asked, "--keep", "0.3"]) == 0
    without = capsys.readouterr().out
    assert "| set | kept | scorer | keep 0.3 | keep auto | mean |" in with_auto
    for shown in (with_auto, without):
        row = next(line for line in shown.splitlines() if "| answer | random |" in line)
        assert row.split("|")[4] == row.split("|")[-2], "the mean is that of the fixed ratio"
    assert load(tmp_path / "a.json").cells[0].rows["auto"]["share"] != load(tmp_path / "a.json").cells[0].rows["0.3"]["share"]


def test_an_interrupted_run_goes_on_where_it_stopped(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "needles.json"
    assert run(folder, out, "--sets", "nq_20doc", "--n", "2") == 0
    before = load(out)
    measured: list[str] = []
    whole = needles.Bench.run

    def watched(self: needles.Bench, name: str, scorer: str, progress: Any) -> Any:
        measured.append(f"{name}/{scorer}")
        return whole(self, name, scorer, progress)

    monkeypatch.setattr(needles.Bench, "run", watched)
    assert run(folder, out, "--sets", "nq_20doc,agentdojo", "--n", "2") == 0
    assert measured == ["agentdojo/bm25", "agentdojo/random"]
    assert load(out).get("nq_20doc/bm25") == before.get("nq_20doc/bm25")
    assert run(folder, out, "--sets", "nq_20doc", "--n", "3") == 0
    assert measured[2:] == ["nq_20doc/bm25", "nq_20doc/random"], "another sample is measured anew"


def test_results_of_other_conditions_are_never_mixed_or_overwritten(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "needles.json"
    assert run(folder, out, "--sets", "nq_20doc", "--n", "2") == 0
    before = out.read_bytes()
    assert run(folder, out, "--sets", "nq_20doc", "--n", "2", "--seed", "5") == 2
    assert "other conditions (settings)" in capsys.readouterr().err
    assert out.read_bytes() == before


@pytest.mark.parametrize("wrong", [["--sets", "nothing"], ["--scorers", "nothing"], ["--keep", "2"], ["--paired", "random"]])
def test_a_wrong_argument_is_named_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
    assert needles.main(["--data", str(folder), "--sets", "nq_20doc", "--scorers", "bm25", "--n", "1", *wrong]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_file_that_is_no_result_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text("{}", encoding="utf-8")
    assert report.main([str(tmp_path / "x.json")]) == 2
    assert "schema" in capsys.readouterr().err
    assert cell_key({"a": 1}, 2) != cell_key({"a": 1}, 3)
    assert Results({}).get("a/b") is None
