"""The command line as a whole: lazy verbs, one-line errors, exit statuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module

import pytest

from specprefill_agents import DraftError, __version__, cli
from tests.conftest import Outcome

_HEAVY = {"torch", "transformers", "rich", "langchain", "langchain_core", "llama_index", "tqdm", "tiktoken"}


def test_help_names_every_verb_and_imports_nothing_heavy() -> None:
    code = (
        "import json, sys\nfrom specprefill_agents.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    print(json.dumps(list(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    text, _, modules = done.stdout.rstrip().rpartition("\n")
    assert all(verb in text for verb in cli.VERBS)
    loaded = set(json.loads(modules))
    assert not _HEAVY & loaded
    assert not [name for name in loaded if name.startswith("specprefill_agents.cli.")]


@pytest.mark.parametrize("verb", ["audit", "compress", "doctor", "expand", "explain", "models"])
def test_every_verb_explains_itself(verb: str, command: Callable[..., Outcome]) -> None:
    outcome = command(verb, "--help")
    assert outcome.status == 0
    first_words = import_module(f"specprefill_agents.cli.{verb}").HELP.split()[:3]
    assert " ".join(first_words) in outcome.text


def test_the_version_is_the_distribution_s(command: Callable[..., Outcome]) -> None:
    assert command("--version").text == f"specprefill-agents {__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("fly",), ("models",), ("compress", "--json", "--jsonl"), ("compress", "--keep-ratio", "much")])
def test_wrong_usage_is_status_2(arguments: tuple[str, ...], command: Callable[..., Outcome]) -> None:
    outcome = command(*arguments)
    assert outcome.status == 2
    assert outcome.err.startswith("usage: specprefill")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (DraftError("no\ndraft"), "specprefill: no draft\n"),
        (ImportError("pip install 'specprefill-agents[draft]'"), "specprefill: pip install 'specprefill-agents[draft]'\n"),
        (FileNotFoundError(2, "No such file or directory", "a.txt"), "specprefill: a.txt: No such file or directory\n"),
    ],
)
def test_an_error_that_can_be_explained_is_one_line_and_status_2(
    error: Exception, line: str, command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr("specprefill_agents.cli.doctor.run", fail)
    assert command("doctor") == Outcome(2, b"", line)


def test_an_interrupt_is_quiet_and_status_130(command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("specprefill_agents.cli.doctor.run", interrupt)
    assert command("doctor") == Outcome(130, b"", "")


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "specprefill_agents.cli", "compress", "--scorer", "bm25"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout
    child.stdout.close()
    child.stdout = None
    _, err = child.communicate(b"one line of text\n" * 100_000)
    assert b"Traceback" not in err
    assert b"Exception ignored" not in err
    assert child.returncode == cli.PIPE_CLOSED
