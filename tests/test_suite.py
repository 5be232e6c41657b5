"""The suite runs what is not finished, and what it reports is what the files say."""

from __future__ import annotations

import json
import os
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks import demo
from benchmarks.machine import ROOT
from benchmarks.suite import blocks, report
from benchmarks.suite.__main__ import RESULTS, main
from benchmarks.suite.journal import Journal
from benchmarks.suite.plan import Benchmark, Run, Where, chosen, plan
from benchmarks.suite.plots import PLOTS
from benchmarks.suite.running import Suite
from benchmarks.suite.sources import sources
from specprefill_agents import Compressor
from specprefill_langchain.demo.model import ScriptedModel
from specprefill_langchain.demo.task import script
from tests.demo_runs import writer

MODULE = """
import json, sys
from pathlib import Path
out, count, status = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
runs = json.loads(out.read_text())["runs"] if out.is_file() else []
out.write_text(json.dumps({"runs": [*runs, count]}))
sys.exit(status)
"""
"""A benchmark that goes on where its file ends."""


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Suite]:
    """Makes suites over one folder of results; what they say is thrown away."""
    (tmp_path / "made_benchmark.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    return lambda count=None, device="auto": Suite(Where(tmp_path / "data", tmp_path / "results", device, count), lambda text: None)


def made(name: str = "one", status: int = 0, results: Sequence[str] = ("one.json",)) -> Benchmark:
    run = Run(f"{{out}} {{n}} {status}", 5)
    return Benchmark(name, "counts its runs", "made_benchmark", (run,), tuple(results), 1, True, ())


def runs(folder: Path, name: str = "one.json") -> list[int]:
    found: list[int] = json.loads((folder / "results" / name).read_text(encoding="utf-8"))["runs"]
    return found


def test_a_finished_benchmark_is_run_again_only_when_what_decides_its_numbers_has_changed(
    suite: Callable[..., Suite], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results").mkdir()
    assert suite().run([made()]) == []
    assert suite().is_finished(made())
    assert suite().run([made()]) == []
    assert runs(tmp_path) == [5], "not run twice"
    assert suite(count=3).run([made()]) == []
    assert runs(tmp_path) == [5, 3], "other rows: the file is left to the benchmark"
    monkeypatch.setattr("benchmarks.suite.running.code_key", lambda module: "other code")
    assert suite(count=3).run([made()]) == []
    assert runs(tmp_path) == [5, 3, 3]
    (tmp_path / "results" / "one.json").write_text('{"runs": []}', encoding="utf-8")
    assert not suite(count=3).is_finished(made()), "the file is not what the run has left"


def test_results_of_other_conditions_are_set_aside_and_not_mixed(suite: Callable[..., Suite], tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "one.json").write_text('{"runs": [99]}', encoding="utf-8")
    assert suite().run([made()]) == []
    assert runs(tmp_path) == [5]
    assert runs(tmp_path, "one.json.old") == [99]
    assert suite(device="cuda").run([made()]) == []
    assert runs(tmp_path) == [5]
    assert runs(tmp_path, "one.json.old") == [5]


def test_a_failing_benchmark_is_named_stops_no_other_and_goes_on_next_time(suite: Callable[..., Suite], tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    assert suite().run([made("bad", status=3), made("two", results=["two.json"])]) == ["bad"]
    assert runs(tmp_path, "two.json") == [5]
    assert suite().run([made("bad", status=3), made("two", results=["two.json"])]) == ["bad"]
    assert runs(tmp_path) == [5, 5], "what it had measured is kept"
    assert runs(tmp_path, "two.json") == [5]
    assert suite().run([made("lost", results=["one.json", "never.json"])]) == ["lost"], "a result is missing"
    record = Journal(tmp_path / "results").get("bad")
    assert record is not None
    assert record.files == {}


def test_the_command_runs_benchmarks_by_name_and_says_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    listing = capsys.readouterr().out
    assert all(name in listing for name in ("needles", "peers", "loops", "recall", "speed", "local", "demo"))
    assert main(["nothing", f"--results={tmp_path}"]) == 2
    assert "unknown benchmark nothing; there are: needles," in capsys.readouterr().err


def test_without_the_evaluation_data_nothing_is_begun_and_nothing_set_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loops-smollm2.json").write_text("{}", encoding="utf-8")
    assert main(["loops", f"--results={tmp_path}", f"--data={tmp_path / 'nowhere'}"]) == 2
    assert "no evaluation data in" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["loops-smollm2.json"]


def test_a_benchmark_that_ends_badly_is_the_commands_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.jsonl").write_text("{}\n", encoding="utf-8")
    assert main(["wellformed", f"--results={tmp_path}", f"--data={tmp_path}"]) == 1, "its sets are not among the data"
    assert "failed: wellformed" in capsys.readouterr().err


def test_the_readmes_numbers_take_less_than_an_hour() -> None:
    assert [one.name for one in chosen([])] == ["peers", "loops", "speed", "demo"]
    assert sum(one.minutes for one in chosen([])) < 60


def test_every_stored_result_is_in_the_plan_once() -> None:
    named = [name for one in plan().values() for name in one.results]
    assert len(named) == len(set(named))
    assert {file.name for file in RESULTS.glob("*.json")} <= {*named, "suite.json"}


@pytest.mark.parametrize("name", list(plan()))
def test_every_command_of_the_plan_is_understood_by_its_benchmark(name: str, tmp_path: Path) -> None:
    one = plan()[name]
    module = import_module(f"{one.module}.__main__" if (ROOT / one.module.replace(".", "/")).is_dir() else one.module)
    for arguments in one.commands(Where(tmp_path, tmp_path, count=7)):
        options = module.parse(arguments)
        assert options.out.parent == tmp_path
        assert "{" not in " ".join(arguments)


def test_the_code_of_a_benchmark_is_what_it_imports() -> None:
    names = {file.relative_to(ROOT).as_posix() for file in sources("benchmarks.needles")}
    assert {"benchmarks/needles.py", "benchmarks/evaluate.py", "benchmarks/data.py", "benchmarks/tasks/ruler.py"} <= names
    assert not {name for name in names if name.startswith(("benchmarks/loops", "benchmarks/report", "integrations"))}
    names = {file.relative_to(ROOT).as_posix() for file in sources("benchmarks.loops")}
    assert {"benchmarks/loops/__main__.py", "benchmarks/loops/policies.py", "integrations/specprefill_langchain/middleware.py"} <= names
    assert "benchmarks/loops/report.py" not in names


def test_what_is_committed_says_what_the_stored_results_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main(["--check"]) == 0, capsys.readouterr().out + "run: make report"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with one stored result and a README with a block for it."""
    results = tmp_path / "results"
    results.mkdir()
    (results / "speed-smollm2.json").write_bytes((RESULTS / "speed-smollm2.json").read_bytes())
    (tmp_path / "README.md").write_text("# A\n\n<!-- bench:speed -->\nold\n<!-- /bench:speed -->\n\nafter\n", encoding="utf-8")
    return tmp_path


def test_a_number_that_is_not_what_its_file_says_is_found_and_mended(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [f"--root={checkout}", f"--results={checkout / 'results'}"]
    assert report.main([*options, "--check"]) == 1
    assert "README.md" in capsys.readouterr().out
    assert report.main(options) == 0
    text = (checkout / "README.md").read_text(encoding="utf-8")
    stored = json.loads((checkout / "results" / "speed-smollm2.json").read_text(encoding="utf-8"))
    assert f"{stored['parts']['build']['dtypes'][stored['settings']['dtype']]['tokens_per_s']['index']:,.0f} tokens/s" in text
    assert stored["command"] in text
    assert text.endswith("after\n")
    assert report.main([*options, "--check"]) == 0
    (checkout / "README.md").write_text(text.replace("tokens/s", "tokens per second"), encoding="utf-8")
    assert report.main([*options, "--check"]) == 1


def test_a_page_whose_results_are_gone_is_found_and_removed(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [f"--root={checkout}", f"--results={checkout / 'results'}"]
    assert report.main(options) == 0
    assert "[speed](benchmarks/speed.md)*" in (checkout / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    left = checkout / "docs" / "benchmarks" / "loops.md"
    left.write_text("# loops\n", encoding="utf-8")
    assert report.main([*options, "--check"]) == 1
    assert "without results: docs/benchmarks/loops.md" in capsys.readouterr().out
    assert report.main(options) == 0
    assert [file.name for file in left.parent.iterdir()] == ["speed.md"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- bench:nothing -->\n<!-- /bench:nothing -->", "no block is called 'nothing'; there are: needles"),
        ("<!-- bench:loops -->\n<!-- /bench:loops -->", "loops-smollm2.json is not there"),
        ("<!-- bench:speed -->\n<!-- /bench:loops -->", "has no <!-- /bench:NAME -->"),
    ],
)
def test_a_wrong_block_ends_the_report(checkout: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "README.md").write_text(text, encoding="utf-8")
    assert report.main([f"--root={checkout}", f"--results={checkout / 'results'}"]) == 2
    assert said in capsys.readouterr().err


def test_every_block_is_fed_by_one_benchmark() -> None:
    assert sorted(name for one in plan().values() for name in one.feeds) == sorted(blocks.BLOCKS)


MEASURED = [name for name in blocks.BLOCKS if (RESULTS / plan()[name].results[0]).is_file()]


@pytest.mark.parametrize("name", MEASURED)
def test_a_block_is_a_table_or_a_list_of_what_is_stored(name: str) -> None:
    file = RESULTS / plan()[name].results[0]
    made_block = blocks.filled(f"<!-- bench:{name} -->\n<!-- /bench:{name} -->\n", RESULTS)
    assert file.name in made_block
    assert made_block.count("\n- ") == 4 if name == "speed" else made_block.count("\n| ") > 5


def test_shares_read_short() -> None:
    assert [blocks._short(share) for share in (0.0, 0.004, 0.05, 0.1, 0.929, 0.9951, 1.0)] == ["0", "0", ".05", ".10", ".93", "1", "1"]


@pytest.mark.parametrize("name", [name for name in PLOTS if name in MEASURED])
def test_a_drawing_of_the_same_results_is_the_same_file_without_a_ground(name: str, tmp_path: Path) -> None:
    source = RESULTS / plan()[name].results[0]
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    for out in (first, second):
        PLOTS[name](source, out)
    assert first.read_bytes() == second.read_bytes()
    text = first.read_text(encoding="utf-8")
    assert ET.fromstring(text).tag.endswith("svg")
    assert "date>" not in text.lower()
    assert "fill: #ffffff" not in text


def test_the_demos_loop_is_measured_call_by_call(lexical: Callable[..., Compressor]) -> None:
    measured = demo.measure(lexical(), ScriptedModel(steps=script(), writer=writer(), reminder=""))
    assert measured["sent"]["usd"] < measured["plain"]["usd"]
    assert measured["kept_tokens"] == sum(call["kept_tokens"] for call in measured["calls"]) < measured["tool_tokens"]
    assert measured["moved"] == 0
    head = {
        "command": "c",
        "commit": "d",
        "machine": {"processor": "p", "cores": 2},
        "settings": {"draft": "-", "keep_ratio": 0.3, "model": "m"},
    }
    assert f"| USD | {measured['plain']['usd']:.6f} |" in demo.markdown({**head, **measured})
