"""`specprefill doctor`: what is there, what to type for what is not, and never a secret."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from specprefill_agents.cli import doctor
from specprefill_agents.scoring import draft_choice
from specprefill_agents.scoring.presets import HeadPreset
from tests.conftest import Outcome

Command = Callable[..., Outcome]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for the library's home."""
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def rows(outcome: Outcome) -> dict[str, str]:
    """The table's rows: what was looked at -> how it is."""
    cells = (line.partition("  ") for line in outcome.text.splitlines() if "  " in line)
    return {what: state.strip() for what, _, state in cells}


def test_with_the_draft_in_place_everything_is_named_and_the_status_is_0(embedded_draft: str, command: Command) -> None:
    outcome = command("doctor")
    found = rows(outcome)
    assert outcome.status == 0, outcome.text
    assert found["numpy"] == metadata.version("numpy")
    assert found["draft"].startswith(f"{embedded_draft} in ")
    assert "loads and scores" in found["draft"]
    assert found["dtype"].partition(":")[0] in {"float32", "bfloat16"}
    assert found["threads"].isdigit()
    assert found["token counter"] == "auto is deepseek"
    assert outcome.text.endswith(f"Ready: draft {embedded_draft} works.\n")


def test_without_the_draft_it_says_what_to_type_and_the_status_is_1(home: Path, command: Command) -> None:
    outcome = command("doctor")
    assert outcome.status == 1
    assert rows(outcome)["draft"] == "smollm2-135m is not on this machine: specprefill models pull smollm2-135m"
    assert rows(outcome)["draft auto"].startswith("is smollm2-135m")
    assert rows(outcome)["draft auto"].endswith(", which is not on this machine")
    assert "not there yet, can be made" in rows(outcome)["cache directory"]
    assert "Not ready" in outcome.text


def test_auto_is_tried_as_the_draft_that_it_stands_for(home: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    preset = HeadPreset("gemma3-270m", ((5, 3),), "<bos>", (("model_type", "x"),), (), {"recall": {"0.2": 0.69}})
    monkeypatch.setattr(draft_choice, "shipped_presets", lambda: iter([preset]))
    directory = home / "drafts" / "gemma3-270m"
    directory.mkdir(parents=True)
    (directory / "specprefill.json").write_text("{}", encoding="utf-8")
    found = command("doctor", "--draft", "auto")
    assert rows(found)["draft auto"] == "is gemma3-270m (recall 0.69 at keep_ratio 0.2)"
    assert rows(found)["draft"].startswith("gemma3-270m in ")
    assert "draft gemma3-270m cannot be used" in found.text


def test_a_draft_that_cannot_be_loaded_says_why(command: Command, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    outcome = command("doctor", "--draft", str(tmp_path))
    assert outcome.status == 1
    assert "fails: draft" in rows(outcome)["draft"]
    assert "no .safetensors file" in rows(outcome)["draft"]


def test_a_home_that_cannot_be_made_is_a_fault(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path / "file" / "home"))
    outcome = command("doctor")
    assert outcome.status == 1
    assert rows(outcome)["cache directory"].endswith("cannot be made")


def test_a_home_that_others_can_write_to_is_named_with_the_remedy(home: Path, command: Command) -> None:
    home.mkdir()
    home.chmod(0o777)
    assert "others can write to it; type: chmod go-w" in rows(command("doctor"))["cache directory"]
    home.chmod(0o700)
    assert "(writable, mode 0700, 0 MB)" in rows(command("doctor"))["cache directory"]


@pytest.mark.parametrize("value", [None, "sk-secret-value"])
def test_whether_the_key_is_set_is_shown_and_never_its_value(
    value: str | None, home: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv("DEEPSEEK_API_KEY", raising=False)
    else:
        monkeypatch.setenv("DEEPSEEK_API_KEY", value)
    outcome = command("doctor")
    assert rows(outcome)["DEEPSEEK_API_KEY"].startswith("set" if value else "not set")
    assert "secret" not in outcome.text + outcome.err


def test_what_is_not_installed_has_its_pip_command(home: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "version", absent)
    found = rows(command("doctor"))
    assert found["torch"] == "not installed: pip install 'specprefill-agents[draft]'"
    assert found["llama-index-core"] == "not installed: pip install 'specprefill-agents[llamaindex]'"
    assert found["numpy"] == "not installed: pip install numpy"


_BARE = """
import sys
for name in ("torch", "transformers", "tokenizers", "rich", "tqdm", "filelock", "langchain", "langchain_core", "llama_index"):
    sys.modules[name] = None
from specprefill_agents.cli import main
sys.exit(main(["doctor"]))
"""


def test_it_runs_with_the_core_dependencies_alone(home: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _BARE], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == ""
    assert "pip install 'specprefill-agents[draft]'" in done.stdout
    assert "unknown" in done.stdout
