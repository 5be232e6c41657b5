"""The speed benchmark runs end to end on a tiny draft, and its result has every field; how fast is never asserted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
import torch

from benchmarks.made import KINDS, WORST, made_text
from benchmarks.made.draft import write_tiny_preset
from benchmarks.speed import heartbeat, plan, splitting
from benchmarks.speed.__main__ import PARTS, main
from benchmarks.speed.heartbeat import Beat
from benchmarks.speed.plan import Sizes
from benchmarks.speed.text import questions, stdlib_text
from benchmarks.speed.timing import interleaved, line_through, ratio, spread_per_size
from specprefill_agents.prompt.units import DEFAULT_LIMITS, layout_of
from specprefill_agents.prompt.units.layout import ContentKind

TINY = Sizes(
    build_tokens=600,
    build_repeats=1,
    question_tokens=800,
    question_contexts=2,
    question_repeats=1,
    questions_each=2,
    outside_tokens=(400, 800),
    outside_repeats=1,
    growth_tokens=(256, 512),
    threads=(1,),
    windows=(128, 256),
    splitting_shares=(0.002, 0.004),
    splitting_repeats=1,
    steps=4,
    step_tokens=120,
    step_repeats=2,
    middleware_messages=9,
    middleware_repeats=2,
    conversations=2,
    conversation_chars=300,
)


@pytest.fixture
def calibrated(tiny_draft: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tiny draft, with a preset in a home of its own."""
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path))
    write_tiny_preset(Path(tiny_draft), tmp_path)
    return tiny_draft


def test_every_part_runs_and_is_stored(
    calibrated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.speed.__main__.QUICK", TINY)
    out, threads = tmp_path / "speed.json", torch.get_num_threads()
    status = main(["--draft", calibrated, "--device", "cpu", "--quick", "--parts", ",".join(PARTS), "--out", str(out)])
    printed = capfd.readouterr()
    assert status == 0, printed.err
    assert torch.get_num_threads() == threads
    document = json.loads(out.read_text(encoding="utf-8"))
    assert set(document) == {"schema", "benchmark", "command", "commit", "date", "settings", "machine", "versions", "parts"}
    assert {"draft", "device", "dtype", "threads", "sizes"} <= set(document["settings"])
    assert str(Path(calibrated).parent) not in out.read_text(encoding="utf-8")
    parts = document["parts"]
    assert list(parts) == list(PARTS)
    for one in parts["build"]["dtypes"].values():
        assert set(one["tokens_per_s"]) == set(one["seconds"])
        assert {"median", "low", "high"} == set(one["index_over_full_last_logits"]) == set(one["capture_cost_strict"])
    assert set(parts["questions"]["cheaper"]) == set(parts["questions"]["ms"]) - {"afresh"}
    assert parts["questions"]["inside_a_new_question_ms"]["rows"] > 0
    assert [row["tokens"] for row in parts["growth"]["rows"]] == list(TINY.growth_tokens)
    assert {"peak_mib_per_10k_tokens", "key_bytes_per_token", "stored_bytes_per_token", "build_r2"} <= set(parts["growth"])
    assert set(parts["outside"]["ms"]) == set(parts["outside"]["of_which_ms"]) == {"400", "800"}
    assert set(parts["threads"]["tokens_per_s"]) == {"1"}
    for text in parts["splitting"]["texts"].values():
        assert len(text["layout_s"]) == len(text["choice_s"]) == len(text["chars"]) == len(TINY.splitting_shares)
        assert {"kind", "units", "layout_r2", "choice_r2", "seconds"} <= set(text)
    assert set(parts["steps"]["step_ms"]) == set(parts["steps"]["scorer_ms"]) == {"2", "3", "4"}
    assert parts["steps"]["late_over_early"]["step"]["2"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    assert all(len(taken) == TINY.step_repeats and min(taken) > 0 for taken in parts["steps"]["seconds"]["scorer"].values())
    assert set(parts["middleware"]["ms"]) == {"held", "read_back"}
    assert (parts["middleware"]["messages"], parts["middleware"]["outputs"]) == (9, 4)
    assert parts["middleware"]["chars_sent"] < parts["middleware"]["chars"]
    assert set(parts["concurrency"]["late_ms"]) == {"off", "loading", "on"} == set(parts["concurrency"]["seconds"])
    for late in parts["concurrency"]["late_ms"].values():
        assert late["beats"] > 0
        assert {"p50", "p99", "longest", "over_goal"} == set(late["idle_process"]) == set(late["by_this_process"])
        assert late["without_collections"]["longest"] <= late["by_this_process"]["longest"] <= late["longest"]
    assert printed.out.count("**") == 2 * len(PARTS), "one titled table a part"


@pytest.mark.parametrize("arguments", [["--parts", "build,nonsense"], ["--draft", "no-such-draft"], ["--threads", "0"]])
def test_a_wrong_argument_is_named_and_nothing_is_measured(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert arguments[-1].split(",")[-1] in capsys.readouterr().err


def test_variants_take_turns_and_the_first_round_does_not_count() -> None:
    calls: list[str] = []
    seconds = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=2)
    assert calls == ["a", "b"] * 3
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 2, "b": 2}


def test_ratios_are_taken_within_a_repetition() -> None:
    found = ratio([2.0, 8.0, 9.0], [1.0, 2.0, 1.0])
    assert (found.median, found.low, found.high) == (4.0, 2.0, 9.0)


def test_what_held_a_beat_up_beside_this_process_is_taken_off_its_lateness() -> None:
    beats = [Beat(1.0, 1.1, collecting_s=0.09), Beat(2.0, 2.1, coreless_s=0.08), Beat(3.0, 3.1), Beat(4.0, 4.001)]
    idle = [Beat(1.0, 1.0), Beat(2.0, 2.001), Beat(2.98, 3.04), Beat(5.0, 5.5)]
    found = heartbeat.figures(beats, idle)
    assert (found["longest"], found["over_goal"]) == (100.0, 3)
    assert found["by_this_process"]["over_goal"] == 1
    assert (found["without_collections"]["over_goal"], found["longest_collection"]) == (0, 90.0)
    assert [round(heartbeat.late_beside(beat, idle), 3) for beat in beats] == [0.0, 0.001, 0.06, 0.0]


def test_a_proportional_cost_lies_on_a_line_and_has_no_spread() -> None:
    found = line_through([1, 2, 4], [3.0, 6.0, 12.0])
    assert (round(found["slope"], 9), round(found["intercept"], 9), found["r2"]) == (3.0, 0.0, 1.0)
    assert spread_per_size([1, 2, 4], [3.0, 6.0, 12.0]) == 1.0
    assert spread_per_size([1, 2], [1.0, 4.0]) == 2.0


def test_texts_and_questions_need_no_data_files() -> None:
    assert len(stdlib_text(3_000_000)) == 3_000_000
    assert stdlib_text(5_000) == stdlib_text(9_000)[:5_000]
    assert len(set(questions())) == len(questions()) > 50


def test_splitting_is_timed_on_every_content_kind_and_past_the_cache_of_layouts() -> None:
    kinds = {layout_of(splitting.text_of(name, 4_000), DEFAULT_LIMITS).kind for name in splitting.CHARS}
    assert kinds == set(get_args(ContentKind))
    assert set(splitting.CHARS) == {*KINDS, *WORST, *splitting.REPEATED}
    assert all(len(splitting.text_of(name, 4_000)) >= 3_000 for name in splitting.CHARS)
    text = made_text("log", 2_000)
    assert splitting.split(text, DEFAULT_LIMITS) is not splitting.split(text, DEFAULT_LIMITS)
    assert splitting.split(text, DEFAULT_LIMITS) == layout_of(text, DEFAULT_LIMITS)


@pytest.mark.parametrize("name", [*KINDS, *WORST])
def test_a_made_text_follows_its_seed_and_is_about_as_long_as_asked(name: str) -> None:
    text = made_text(name, 5_000)
    assert text == made_text(name, 5_000)
    assert 4_500 <= len(text) <= 8_000
    assert name == "deep json" or text != made_text(name, 5_000, seed=1)


def test_quick_sizes_are_no_larger_than_the_full_ones() -> None:
    full = Sizes()
    assert plan.QUICK.build_tokens <= full.build_tokens
    assert max(plan.QUICK.growth_tokens) <= max(full.growth_tokens)
