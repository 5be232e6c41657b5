"""`specprefill models`: what is known, what is there, and pulling it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from specprefill_agents import DraftFetchError
from specprefill_agents.draft.progress import TerminalProgress
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
    header, row = outcome.text.splitlines()
    assert header.split() == ["NAME", "LICENCE", "DOWNLOAD", "STATE", "WHAT"]
    assert row.startswith("smollm2-135m  Apache-2.0  94 MB     not pulled: specprefill models pull smollm2-135m")


def test_the_list_says_where_a_pulled_draft_is_and_how_large(home: Path, command: Command) -> None:
    directory = home / "drafts" / "smollm2-135m"
    directory.mkdir(parents=True)
    (directory / "specprefill.json").write_text("{}", encoding="utf-8")
    (directory / "model.safetensors").write_bytes(bytes(3_000_000))
    assert "pulled: ~/.cache/specprefill-agents/drafts/smollm2-135m (3 MB)" in command("models", "list").text


def test_pull_hands_over_the_name_and_the_file(home: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, Path | None]] = []

    def pull(name: str, *, file: Path | None, progress: object) -> Path:
        assert isinstance(progress, TerminalProgress)
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
