"""Loading a draft: only safetensors and GGUF, never code, and failures that say which draft and what to do."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

from specprefill_agents import ConfigError, DraftError, UnknownDraftError
from specprefill_agents.draft import loading
from specprefill_agents.draft.hardware import describe_hardware
from specprefill_agents.draft.loading import choose_dtype, load_config, load_draft
from tests.tiny_gguf import write_tiny_gguf


@pytest.fixture
def copied_draft(tiny_draft: str, tmp_path: Path) -> Path:
    """A copy of the tiny draft, to be damaged."""
    return Path(shutil.copytree(tiny_draft, tmp_path / "draft"))


def test_a_directory_is_loaded_no_deeper_than_asked(tiny_draft: str) -> None:
    assert len(load_draft(tiny_draft).model.layers) == 2
    assert len(load_draft(tiny_draft, layers=1).model.layers) == 1


def test_a_gguf_file_is_loaded_directly(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    draft = load_draft(str(path), layers=1, dtype="float32")
    assert len(draft.model.layers) == 1
    text = "the <|im_start|> sign"
    encoding = draft.encode(text)
    assert "".join(text[a:b] for a, b in encoding.offsets) == text
    assert 1 not in encoding.ids
    with torch.inference_mode():
        assert torch.isfinite(draft.model(input_ids=torch.from_numpy(encoding.ids)[None]).last_hidden_state).all()


def test_a_directory_with_pickled_weights_alone_is_refused(copied_draft: Path) -> None:
    (copied_draft / "model.safetensors").rename(copied_draft / "pytorch_model.bin")
    with pytest.raises(DraftError, match="no .safetensors file; pickled weights"):
        load_draft(str(copied_draft))


def test_pickled_weights_beside_safetensors_are_not_read(copied_draft: Path) -> None:
    (copied_draft / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    assert len(load_draft(str(copied_draft)).model.layers) == 2


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_damaged_directory_is_a_draft_error(copied_draft: Path, file: str) -> None:
    content = (copied_draft / file).read_bytes()
    (copied_draft / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(DraftError, match="could not be loaded"):
        load_draft(str(copied_draft))


def test_a_damaged_gguf_file_is_a_draft_error(tmp_path: Path) -> None:
    (tmp_path / "page.gguf").write_bytes(b"<html>not found</html>" * 20)
    with pytest.raises(DraftError, match="must be a GGUF file"):
        load_draft(str(tmp_path / "page.gguf"))


def test_a_damaged_pulled_draft_says_how_to_get_it_anew(copied_draft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path / "home"))
    pulled = tmp_path / "home" / "drafts" / "smollm2-135m"
    pulled.parent.mkdir(parents=True)
    copied_draft.rename(pulled)
    (pulled / "specprefill.json").write_text('{"sha256": "0"}', encoding="utf-8")
    (pulled / "model.safetensors").write_bytes(b"")
    with pytest.raises(DraftError, match=r"remove .*smollm2-135m and type: specprefill models pull smollm2-135m"):
        load_draft("smollm2-135m")


def test_a_draft_that_was_not_pulled_says_how_to_pull_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path))
    with pytest.raises(DraftError, match="specprefill models pull smollm2-135m"):
        load_draft("smollm2-135m")


def test_an_unknown_name_lists_the_known_ones_and_says_how_to_use_a_path() -> None:
    with pytest.raises(UnknownDraftError, match=r"smollm2-135m.*path to a directory.*\.gguf file.*hub name"):
        load_draft("no-such-draft")


def test_a_hub_name_is_loaded_as_safetensors_and_never_runs_its_code(tiny_draft: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, dict[str, Any]]] = []

    def from_the_disk(auto: Any) -> Any:
        original = auto.from_pretrained

        def record(source: str, **arguments: Any) -> Any:
            calls.append((source, arguments))
            return original(tiny_draft, **arguments)

        return record

    for auto in (AutoConfig, AutoModel, AutoTokenizer):
        monkeypatch.setattr(auto, "from_pretrained", from_the_disk(auto))
    load_draft("owner/model")
    named = [arguments for source, arguments in calls if source == "owner/model"]
    assert [arguments["trust_remote_code"] for arguments in named] == [False, False, False]
    assert [arguments.get("use_safetensors") for arguments in named] == [None, True, None]


def test_a_hub_that_cannot_be_reached_is_a_draft_error_that_offers_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DraftError, match=r"'owner/absent' could not be loaded: .*Without access to the hub, give a path"):
        load_config("owner/absent")


def test_float32_is_chosen_where_the_processor_does_not_multiply_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(loading, "cpu_multiplies_bfloat16", lambda: False)
    assert choose_dtype(cpu) == torch.float32
    assert describe_hardware().dtype in {"float32", "bfloat16"}
    monkeypatch.setattr(loading, "cpu_multiplies_bfloat16", lambda: True)
    assert choose_dtype(cpu) == torch.bfloat16
    assert choose_dtype(cpu, "float16") == torch.float16


@pytest.mark.parametrize(("is_native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_gpu_that_only_emulates_bfloat16_gets_float32(monkeypatch: pytest.MonkeyPatch, is_native: bool, dtype: torch.dtype) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: is_native or including_emulation)
    assert choose_dtype(torch.device("cuda")) == dtype


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cpu:1", "meta", ""])
def test_a_device_that_is_not_there_is_said_before_anything_is_loaded(device: str) -> None:
    with pytest.raises(ConfigError, match=f"device={device!r} is not valid; allowed: auto, cpu, cuda or cuda:N"):
        load_draft("owner/never-asked-for", device=device)


@pytest.mark.parametrize(("setting", "value"), [("dtype", "int3"), ("threads", 0)])
def test_a_wrong_setting_names_what_is_allowed(tiny_draft: str, setting: str, value: object) -> None:
    arguments: dict[str, Any] = {setting: value}
    with pytest.raises(ConfigError, match=f"{setting}={value!r} is not valid"):
        load_draft(tiny_draft, **arguments)


def test_a_model_without_a_fast_tokenizer_is_refused(tiny_draft: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *_, **__: SimpleNamespace(is_fast=False))
    with pytest.raises(DraftError, match="no fast tokenizer"):
        load_draft(tiny_draft)
