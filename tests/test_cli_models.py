"""`specprefill models`: what is known, what is there, and pulling it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from specprefill_agents import DraftFetchError
from specprefill_agents.cli import main
from specprefill_agents.draft.progress import TerminalProgress
from specprefill_agents.scoring import draft_choice
from specprefill_agents.scoring.presets import HeadPreset
from tests.conftest import Outcome

Command = Callable[..., Outcome]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty user directory with the library's home at its usual place."""
    monkeypatch.delenv("SPECPREFILL_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".cache" / "specprefill-agents"


def test_the_list_says_how_to_pull_what_is_not_there(home: Path, command: Command) -> None:
    outcome = command("models", "list")
    assert outcome.status == 0
    header, *rows, _, legend, auto = outcome.text.splitlines()
    assert header.split() == ["NAME", "LICENCE", "DOWNLOAD", "RECALL", "TOKENS/S", "LAYERS", "STATE"]
    assert [row.split()[0] for row in rows] == ["smollm2-135m", "gemma3-270m", "qwen2.5-coder-0.5b"]
    assert all(row.endswith(f"not pulled: specprefill models pull {row.split()[0]}") for row in rows)
    assert "Gemma terms of use (not open)" in rows[1]
    assert not any("not open" in row for row in (rows[0], rows[2]))
    assert legend.startswith("RECALL: of needles at keep_ratio 0.2")
    assert auto == "The draft name auto stands for smollm2-135m here."


def rate(monkeypatch: pytest.MonkeyPatch, name: str, **measured: object) -> None:
    """Ships one preset alone, with these measurements."""
    preset = HeadPreset(name, ((5, 3),), "<bos>", (("model_type", "x"),), (), measured)
    monkeypatch.setattr(draft_choice, "shipped_presets", lambda: iter([preset]))


def test_the_list_shows_what_was_measured_and_a_dash_for_what_was_not(
    home: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate(monkeypatch, "gemma3-270m", recall={"0.2": 0.691}, tokens_per_s=1104.4, machine="2 CPU threads")
    small, gemma, _ = command("models", "list").text.splitlines()[1:4]
    assert "0.69    1,104 (2 CPU threads)  6 of 18" in gemma
    assert "-       -                      - of 30" in small


def test_the_list_as_json_has_everything(home: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    rate(monkeypatch, "gemma3-270m", recall={"0.2": 0.69})
    directory = home / "drafts" / "gemma3-270m"
    directory.mkdir(parents=True)
    (directory / "specprefill.json").write_text("{}", encoding="utf-8")
    found = json.loads(command("models", "list", "--json").text)
    assert found["auto"] == "gemma3-270m"
    small, gemma, _ = found["drafts"]
    assert (small["pulled"], small["path"], small["recall"], small["layers_used"]) == (False, None, None, None)
    assert gemma == {
        "name": "gemma3-270m",
        "description": "Gemma 3 270M base, 18 layers, 32k window",
        "licence": {"name": "Gemma terms of use", "url": "https://ai.google.dev/gemma/terms", "open": False},
        "source": "google/gemma-3-270m of the Hugging Face hub",
        "download_mb": 575,
        "pulled": True,
        "path": str(directory),
        "bytes": 2,
        "recall": 0.69,
        "tokens_per_s": None,
        "machine": None,
        "layers_used": 6,
        "layers": 18,
    }


def test_the_list_says_where_a_pulled_draft_is_and_how_large(home: Path, command: Command) -> None:
    directory = home / "drafts" / "smollm2-135m"
    directory.mkdir(parents=True)
    (directory / "specprefill.json").write_text("{}", encoding="utf-8")
    (directory / "model.safetensors").write_bytes(bytes(3_000_000))
    assert "pulled: ~/.cache/specprefill-agents/drafts/smollm2-135m (3 MB)" in command("models", "list").text


def test_pull_hands_over_the_name_and_the_file(home: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, Path | None]] = []

    def pull(name: str, *, file: Path | None, accept_licence: bool, progress: object) -> Path:
        assert isinstance(progress, TerminalProgress)
        assert not accept_licence
        calls.append((name, file))
        return home / "drafts" / name

    monkeypatch.setattr("specprefill_agents.draft.pull.pull", pull)
    outcome = command("models", "pull", "smollm2-135m")
    assert outcome == Outcome(0, b"smollm2-135m is ready: ~/.cache/specprefill-agents/drafts/smollm2-135m\n", "")
    command("models", "pull", "smollm2-135m", "--file", "a.gguf")
    assert calls == [("smollm2-135m", None), ("smollm2-135m", Path("a.gguf"))]


def test_a_pull_that_fails_is_one_line_and_status_2(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def pull(*_: object, **__: object) -> Path:
        raise DraftFetchError("no network")

    monkeypatch.setattr("specprefill_agents.draft.pull.pull", pull)
    assert command("models", "pull", "smollm2-135m") == Outcome(2, b"", "specprefill: no network\n")


def test_an_unknown_draft_lists_the_known_ones(home: Path, command: Command) -> None:
    outcome = command("models", "pull", "gpt-7")
    assert outcome.status == 2
    assert "these can be pulled: smollm2-135m" in outcome.err


def test_a_pull_of_what_is_there_is_quick_and_says_so(home: Path, command: Command) -> None:
    directory = home / "drafts" / "smollm2-135m"
    directory.mkdir(parents=True)
    (directory / "specprefill.json").write_text("{}", encoding="utf-8")
    outcome = command("models", "pull", "smollm2-135m")
    assert outcome.status == 0
    assert outcome.err == "smollm2-135m is already there\n"


class Terminal(io.StringIO):
    """Standard input with somebody at it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def accepted(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each pull was told that the licence is accepted; nothing is pulled."""
    told: list[bool] = []

    def pull(name: str, *, accept_licence: bool, **_: object) -> Path:
        told.append(accept_licence)
        return home / "drafts" / name

    monkeypatch.setattr("specprefill_agents.draft.pull.pull", pull)
    return told


def asked(arguments: list[str], answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What is written to standard error by a command to whose question the user answers."""
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    main(arguments)
    return capsys.readouterr().err


@pytest.mark.parametrize(("answer", "accepts"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_a_licence_that_is_not_open_is_shown_and_asked_about_once(
    answer: str, accepts: bool, accepted: list[bool], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = asked(["models", "pull", "gemma3-270m"], answer, monkeypatch, capsys)
    assert accepted == [accepts]
    assert "Gemma terms of use" in shown
    assert "https://ai.google.dev/gemma/terms" in shown
    assert shown.count("[y/N]") == 1


def test_an_open_licence_and_the_flag_ask_nothing(
    accepted: list[bool], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(["models", "pull", "qwen2.5-coder-0.5b"], "", monkeypatch, capsys) == ""
    assert asked(["models", "pull", "gemma3-270m", "--accept-licence"], "", monkeypatch, capsys) == ""
    assert accepted == [False, True]


def test_where_nobody_can_be_asked_the_flag_is_named(home: Path, command: Command) -> None:
    outcome = command("models", "pull", "gemma3-270m", stdin=b"y\n")
    assert outcome.status == 2
    assert "specprefill models pull gemma3-270m --accept-licence" in outcome.err
    assert "[y/N]" not in outcome.err
    assert not (home / "drafts").exists()


def test_a_refused_licence_is_one_line_and_downloads_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = asked(["models", "pull", "gemma3-270m"], "n\n", monkeypatch, capsys)
    assert "was not accepted; nothing was downloaded" in shown
    assert not (home / "drafts").exists()


def test_a_draft_that_is_there_is_not_asked_about_again(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = home / "drafts" / "gemma3-270m"
    directory.mkdir(parents=True)
    (directory / "specprefill.json").write_text("{}", encoding="utf-8")
    assert asked(["models", "pull", "gemma3-270m"], "", monkeypatch, capsys) == "gemma3-270m is already there\n"
