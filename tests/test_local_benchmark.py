"""The benchmarks of local targets run end to end on a tiny model, and count as they say; how fast is never asserted."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.data import Question
from benchmarks.local import quality, quality_report, report
from benchmarks.local.__main__ import PARTS, main
from benchmarks.local.asking import INSTRUCTION, METRICS, answered, shown, truncated
from benchmarks.local.measured import Subject
from benchmarks.local.memory import cases, measure
from benchmarks.local.plan import GPU, PROCESSOR, QUICK, Sizes, measured_steps
from benchmarks.local.prompts import Texts, conversation
from benchmarks.local.subjects import SHAPES, scorer_by, shape_of, target_by
from benchmarks.made.draft import write_tiny_preset
from benchmarks.results import Cell, Results
from specprefill_agents import CompressedSegment, Segment
from specprefill_agents.targets.chat_template import ChatTurn
from specprefill_agents.targets.loading import TargetSettings, load_target
from specprefill_agents.targets.sampling import Sampling

TINY = Sizes(
    lengths=(2_400,),
    keeps=(0.3,),
    repeats=2,
    steps=2,
    output_tokens=500,
    loop_repeats=1,
    answer_tokens=6,
    answer_after_tokens=100,
    answer_repeats=1,
    memory_tokens=256,
    prefill_tokens=(64, 128),
    conversations=2,
    conversation_tokens=128,
    cache_bytes=1 << 16,
)


@pytest.fixture
def calibrated(tiny_draft: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tiny draft, with a preset in a home of its own."""
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path))
    write_tiny_preset(Path(tiny_draft), tmp_path)
    return tiny_draft


def test_every_part_in_this_process_runs_and_is_stored(
    calibrated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.local.__main__.QUICK", TINY)
    out, names = tmp_path / "local.json", [f"--{name}={calibrated}" for name in ("targets", "draft", "assistants", "memory-target")]
    status = main([*names, "--device=cpu", "--dtype=float32", "--quick", "--parts=first_token,loop,decoding", f"--out={out}"])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    document = json.loads(out.read_text(encoding="utf-8"))
    assert {"machine", "versions", "settings", "command", "commit"} <= set(document)
    assert document["settings"]["threads"] == torch.get_num_threads()
    assert str(Path(calibrated).parent) not in out.read_text(encoding="utf-8")
    rows = {(row["part"], row.get("form") or row.get("scorer") or row["variant"]): row for row in document["rows"]}
    whole, text, restored = (rows["first_token", form] for form in ("whole", "text", "positions"))
    assert all(len(row["first_token_ms"]) == TINY.repeats and min(row["first_token_ms"]) > 0 for row in (whole, text, restored))
    assert max(whole["scorer_ms"]) == 0 < min(text["scorer_ms"])
    assert max(text["prompt_tokens"]) < min(whole["prompt_tokens"])
    assert max(restored["prompt_tokens"]) < min(whole["prompt_tokens"])
    assert rows["decoding", "plain"]["guessed"] == [0]
    assisted = next(row for (part, variant), row in rows.items() if part == "decoding" and variant.startswith("assistant"))
    assert assisted["same"] == [True]
    loop = [row for row in document["rows"] if row["part"] == "loop"]
    assert {(row["form"], row["cached"], row["step"]) for row in loop} == {
        (form, cached, step) for form in ("whole", "text", "positions") for cached in (True, False) for step in (1, 2)
    }
    assert all((row["cached_tokens"][0] > 0) == (row["cached"] and row["step"] == 2) for row in loop)
    assert printed.out.count("**") == 2 * 4, "one titled table a part, and the scorers'"


def test_a_case_of_memory_is_measured_and_its_cache_stays_within_its_bound(calibrated: str) -> None:
    sizes = replace(TINY, memory_target=calibrated, draft=calibrated)
    found = {case.name: measure(case, Subject(sizes, "cpu", "float32")) for case in cases(sizes) if case.form == "whole"}
    bounded, unbounded = found["conversations, bounded cache"], found["conversations, cache for all"]
    assert all(one["peak_mib"] >= one["loaded_mib"] > 0 for one in found.values())
    assert bounded["cache_mib"] <= sizes.cache_bytes / 2**20 < unbounded["cache_mib"]
    assert found["conversations, no cache"]["cache_mib"] == 0


@pytest.mark.parametrize(
    "arguments", [["--parts", "loop,nonsense"], ["--targets", "random:3T"], ["--draft", "no-such-draft"], ["--threads", "0"]]
)
def test_a_wrong_argument_is_named_and_nothing_is_measured(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert arguments[-1].split(",")[-1] in capsys.readouterr().err


def test_random_weights_of_a_shape_read_and_score(embedded_draft: str) -> None:
    target = target_by("random:mini", TargetSettings(device="cpu", dtype="float32", cache_bytes=0), window=2_048)
    assert (target.window, target.model.config.num_hidden_layers) == (2_048, SHAPES["mini"].layers)
    assert target.generate([ChatTurn("user", "ships")], Sampling(max_new_tokens=3)).completion_tokens >= 1
    (scores,) = scorer_by("fused", "random:mini", "cpu").score(["Ships lie in harbours."], "Where do ships lie?")
    assert len(scores.scores) == len(scores.offsets) > 0
    with pytest.raises(ValueError, match="known shapes"):
        shape_of("random:nonsense")
    assert shape_of(embedded_draft) is None


def test_no_text_is_handed_out_twice_and_each_has_the_tokens_asked_for(tiny_draft: str) -> None:
    tokenizer = load_target(tiny_draft, TargetSettings(device="cpu", dtype="float32")).tokenizer
    texts = Texts(tokenizer)
    first, second = texts.take(300), texts.take(300)
    assert first != second
    assert [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in (first, second)] == [300, 300]


def test_a_decision_is_shown_short_with_the_whole_beside_it() -> None:
    decided = CompressedSegment("one […]", ((0, 3),), "compressed", 3, 2)
    turns = conversation("What?", [("one two three", decided), ("four", None)])
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "tool", "assistant", "tool"]
    assert (turns[3].content, turns[3].whole) == ("one […]", ("one two three", ((0, 3),)))
    assert (turns[5].content, turns[5].whole) == ("four", None)


def test_a_prompt_and_its_whole_differ_by_what_was_left_out_alone() -> None:
    segments = [Segment("alpha beta gamma", "document", "A"), Segment("delta", "document", "B"), Segment("eps", "document", "C")]
    decided = [
        CompressedSegment("alpha […]", ((0, 5),), "compressed", 3, 2),
        CompressedSegment("", (), "compressed", 1, 0),
        CompressedSegment("eps", ((0, 3),), "passthrough", 1, 1),
    ]
    prompt = shown("Who?", segments, decided)
    kept = "".join(prompt.whole[start:end] for start, end in prompt.spans)
    assert kept == prompt.text.replace("alpha […]", "alpha")
    assert "delta" in prompt.whole
    assert "delta" not in kept
    full = shown("Who?", segments, None)
    assert full.text == full.whole == prompt.whole
    assert prompt.spans[-1][1] == len(prompt.whole)


def test_a_prompt_beyond_the_window_has_no_metrics_and_one_within_has_all(tiny_draft: str) -> None:
    target = load_target(tiny_draft, TargetSettings(device="cpu", dtype="float32", cache_bytes=0))
    long = [Segment("x" * 5_000, "document", "A")]
    assert answered(target, shown("Who?", long, None), ["x"], 3) == dict.fromkeys(METRICS)
    decided = [CompressedSegment("xxx", ((0, 3),), "compressed", 5_000, 3)]
    found = answered(replace(target, positions="original"), shown("Who?", [Segment("x" * 99, "document", "A")], decided), ["x"], 3)
    assert found["restored"] == 1.0
    assert None not in found.values()


def test_an_interrupted_run_goes_on_with_the_cells_that_are_missing(
    calibrated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {
            "id": f"r{number}",
            "set": "hotpotqa",
            "segments": [{"kind": "document", "name": "A", "text": f"The ship of number {number} is red. " * 12}],
            "query": "Which colour has the ship?",
            "answers": ["red"],
            "needles": [["red"]],
            "meta": {"needle_kinds": ["answer"]},
        }
        for number in range(2)
    ]
    with gzip.open(tmp_path / "hotpotqa.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    out = tmp_path / "quality.json"

    def run(systems: str) -> int:
        models = [f"--target={calibrated}", f"--draft={calibrated}", "--device=cpu", "--dtype=float32", "--answer-tokens=4"]
        return quality.main([f"--data={tmp_path}", "--sets=hotpotqa", f"--systems={systems}", "--keep=0.3", *models, f"--out={out}"])

    assert run("full,bm25") == 0, capsys.readouterr().err
    measured: list[str] = []
    once = quality.Bench.run
    monkeypatch.setattr(quality.Bench, "run", lambda self, *cell: measured.append(cell[1]) or once(self, *cell))
    assert run("full,bm25,fused@positions,truncated,closed") == 0, capsys.readouterr().err
    assert measured == ["closed", "fused@positions", "truncated"]
    capsys.readouterr()
    assert quality_report.main([str(out)]) == 0
    assert capsys.readouterr().out.count("| hotpotqa |") == 2 * 5, "means under two metrics; nothing to compare without the base"


def test_truncation_keeps_both_ends_whatever_they_say() -> None:
    question = Question("q", (Segment("a" * 60 + "b" * 60, "document", name="A"), Segment("c" * 74, "document", name="B")), "What?", ())
    cut = truncated(question, 0.2).text
    assert cut == f"{INSTRUCTION}A:\n{'a' * 17}\n{'c' * 18}\n\nQuestion: What?\nAnswer:"
    assert truncated(question, 1.0).text == shown("What?", question.segments, None).text


def _cell(scorer: str, values: list[float | None]) -> Cell:
    columns = dict.fromkeys(METRICS, values)
    return Cell("nq_20doc", scorer, [str(index) for index in range(len(values))], {scorer.rpartition(" ")[2]: columns}, 0, 1.0, 0.0, None)


def test_means_leave_out_what_was_too_long_and_differences_are_paired() -> None:
    cells = (_cell("full 1", [1.0, None, 0.0]), _cell("fused 0.1", [1.0, 1.0, 1.0]), _cell("bm25 0.1", [0.0, 0.0, 1.0]))
    shown = quality_report.markdown([Results({"settings": {"target": "t", "draft": "d", "device": "cpu", "dtype": "f"}}, cells)])
    assert "| nq_20doc | contains | full | 1 | 0.50 [0.00, 1.00] | 2 | 1 |" in shown
    assert "| nq_20doc | contains | bm25 | 0.1 | +0.67 [+0.00, +1.00] |" in shown
    assert "| nq_20doc | contains | full | 0.1 | +0.50 [+0.00, +1.00] |" in shown


def test_time_to_the_first_token_includes_what_compression_took() -> None:
    row = {"scorer_ms": [100.0, 200.0], "choice_ms": [1.0, 2.0], "first_token_ms": [50.0, 60.0]}
    assert report.with_compression(row) == [151.0, 262.0]
    assert report.tokens_per_s({"tokens": [11, 1], "after_first_ms": [500.0, 0.0]}) == [20.0, 0.0]


def test_plans_go_from_small_to_large() -> None:
    assert measured_steps(10) == (1, 5, 10)
    assert measured_steps(1) == (1,)
    assert max(QUICK.lengths) <= max(PROCESSOR.lengths) < max(GPU.lengths)
    assert all(shape_of(name) for name in (*GPU.targets, GPU.draft, GPU.memory_target))
    assert [case.prefill_tokens for case in cases(PROCESSOR)][:2] == [256, 1_024]
    assert set(PARTS) == {"first_token", "loop", "decoding", "memory"}
