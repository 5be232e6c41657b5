"""`specprefill bench`: a user's own log in, tables and files out; and the project's benchmarks where there is a checkout."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from specprefill_agents.guardrails.settings_file import load_guardrails
from specprefill_agents.trial.report import ESTIMATE
from tests.conftest import Outcome
from tests.trial.logs import SECRET, conversation, request, write_log

Command = Callable[..., Outcome]


def test_a_log_gives_tables_a_page_a_document_and_guardrails(command: Command, tmp_path: Path) -> None:
    log = write_log(tmp_path / "mine.jsonl", [request(conversation(value=f"/srv/zebra/quota_{index}.toml")) for index in range(4711, 4714)])
    out = {name: tmp_path / f"out.{name}" for name in ("html", "json", "guardrails")}
    options = [word for name, path in out.items() for word in (f"--{name}", str(path))]
    done = command("bench", "--on", str(log), "--scorer", "bm25", "--keep", "0.1,0.3,auto", *options)
    assert (done.status, done.err) == (0, "")
    assert "3 of 3 (100 %)" in done.text
    assert "as recommended" in done.text
    assert ESTIMATE[:60] in done.text
    assert "3 conversations, 9 model calls, 6 tool results" in done.text
    document = json.loads(out["json"].read_text())
    assert [row["keep"] for row in document["ratios"]] == [0.1, 0.3, "auto"]
    assert [one["value"] for one in document["at_risk"]] == [f"/srv/zebra/quota_{index}.toml" for index in range(4711, 4714)]
    assert document["about"]["recorded_models"] == ["gpt-4o"]
    (advice,) = [one for one in document["recommended"]["tools"] if one["tool"] == "read_log"]
    assert advice["action"] == "exclude"
    assert document["recommended"]["measured"]["lost"] == 0
    assert load_guardrails(out["guardrails"]).compression_config().exclude_tools == ("read_log",)
    assert document["recommended"]["guardrails"] == out["guardrails"].read_text()
    assert "quota_4712" in out["html"].read_text(encoding="utf-8")


def test_bad_lines_are_named_and_the_rest_is_counted(command: Command, tmp_path: Path) -> None:
    log = write_log(tmp_path / "mine.jsonl", [conversation(), *(["{"] * 7)])
    done = command("bench", "--on", str(log), "--scorer", "bm25", "--keep", "0.3")
    assert done.status == 0
    assert "mine.jsonl, line 2 is not counted: not JSON" in done.err
    assert "line 6 is not counted" in done.err
    assert done.err.endswith("specprefill: 2 more lines are not counted\n")
    assert SECRET in done.text


def test_only_the_first_conversations_are_tried_where_a_limit_says_so(command: Command, tmp_path: Path) -> None:
    log = write_log(tmp_path / "mine.jsonl", [conversation(question=f"About {index}?") for index in range(3)])
    done = command("bench", "--on", str(log), "--scorer", "bm25", "--keep", "0.3", "--limit", "2")
    assert "2 conversations, 6 model calls" in done.text


def test_nothing_to_compress_is_said_in_a_table_and_a_page(command: Command, tmp_path: Path) -> None:
    log = write_log(tmp_path / "mine.jsonl", [[{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello."}]])
    page = tmp_path / "page.html"
    done = command("bench", "--on", str(log), "--scorer", "bm25", "--html", str(page))
    assert done.status == 0
    assert "none used" in done.text
    assert "No value of a tool result was used later" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "nobody"], "model='nobody' is not valid"),
        (["--risk", "2"], "risk=2.0"),
        (["--keep", "0.3,0"], "keep_ratio=0.0"),
        (["--keep", "0.3,0.3"], "each once"),
        (["--scorer", "nobody"], "scorer='nobody'"),
        (["recall"], "without the name of a benchmark"),
    ],
)
def test_a_wrong_option_is_one_line(command: Command, tmp_path: Path, options: list[str], said: str) -> None:
    log = write_log(tmp_path / "mine.jsonl", [conversation()])
    done = command("bench", "--scorer", "bm25", "--on", str(log), *options)
    assert done.status == 2
    assert said in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), (b"", "the file is empty"), (b"\n{\n", "line 2: not JSON")])
def test_a_file_without_conversations_is_one_line(command: Command, tmp_path: Path, content: bytes | None, said: str) -> None:
    log = tmp_path / "mine.jsonl"
    if content is not None:
        log.write_bytes(content)
    done = command("bench", "--on", str(log))
    assert done.status == 2
    assert said in done.err
    assert done.err.count("\n") == 1


def test_without_a_checkout_the_benchmarks_say_what_to_do(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in (["bench"], ["bench", "recall", "--n", "3"]):
        done = command(*arguments)
        assert done.status == 2
        assert "git clone" in done.err
        assert "make bench" in done.err


def test_in_a_checkout_the_name_and_its_arguments_go_to_the_benchmarks(tmp_path: Path, repository: Path) -> None:
    suite = tmp_path / "benchmarks" / "suite"
    suite.mkdir(parents=True)
    for folder in (suite.parent, suite):
        (folder / "__init__.py").write_text("")
    (suite / "__main__.py").write_text("def main(arguments):\n    print(arguments)\n    return 3\n")
    program = "import sys; from specprefill_agents.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, "bench", "recall", "--n", "3", "--on", "x"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "['recall', '--n', '3', '--on', 'x']\n"), done.stderr
