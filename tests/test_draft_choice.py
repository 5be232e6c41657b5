"""Which draft `auto` stands for: the best pulled one by what was measured, decided once, without torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from specprefill_agents import CompressionConfig, Compressor, DraftError, Segment
from specprefill_agents.draft.loading import load_draft
from specprefill_agents.draft.registry import KNOWN_DRAFTS, pulled_directory
from specprefill_agents.scoring import draft_choice
from specprefill_agents.scoring.draft_choice import rated_drafts, resolve_draft
from specprefill_agents.scoring.key_index import load_key_index
from specprefill_agents.scoring.presets import HeadPreset, match_fields, shipped_presets
from specprefill_agents.storage.score_cache import ScoreCache

SMALL, GEMMA, QWEN = "smollm2-135m", "gemma3-270m", "qwen2.5-coder-0.5b"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for the library's home."""
    monkeypatch.setenv("SPECPREFILL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def ship(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, float | None]], None]:
    """Puts presets with these recalls in the place of the shipped ones."""

    def put(recalls: Mapping[str, float | None]) -> None:
        presets = [
            HeadPreset(name, ((5, 3),), "<bos>", (("model_type", "x"),), (), {} if recall is None else {"recall": {"0.2": recall}})
            for name, recall in recalls.items()
        ]
        monkeypatch.setattr(draft_choice, "shipped_presets", lambda: iter(presets))

    return put


def pretend_pulled(*names: str) -> None:
    for name in names:
        pulled_directory(name).mkdir(parents=True)
        (pulled_directory(name) / "specprefill.json").write_text("{}", encoding="utf-8")


@pytest.mark.parametrize(
    ("pulled", "chosen"),
    [
        ((), SMALL),
        ((SMALL,), SMALL),
        ((GEMMA,), GEMMA),
        ((SMALL, GEMMA), GEMMA),
        ((SMALL, QWEN), QWEN),
        ((SMALL, GEMMA, QWEN), GEMMA),
    ],
)
def test_auto_is_the_pulled_draft_with_the_highest_recall(pulled: tuple[str, ...], chosen: str, ship: Callable[..., None]) -> None:
    ship({SMALL: 0.6, GEMMA: 0.8, QWEN: 0.7})
    pretend_pulled(*pulled)
    assert resolve_draft("auto") == chosen


def test_a_draft_without_a_preset_or_a_measurement_is_no_candidate(ship: Callable[..., None]) -> None:
    ship({SMALL: 0.6, QWEN: None})
    pretend_pulled(SMALL, GEMMA, QWEN)
    assert resolve_draft("auto") == SMALL


def test_of_equals_the_first_known_is_taken(ship: Callable[..., None]) -> None:
    ship({QWEN: 0.7, GEMMA: 0.7})
    pretend_pulled(QWEN, GEMMA)
    assert resolve_draft("auto") == GEMMA


def test_every_other_name_is_itself() -> None:
    assert [resolve_draft(name) for name in (SMALL, "owner/model", "./auto")] == [SMALL, "owner/model", "./auto"]


def test_shipped_presets_carry_the_names_and_shapes_of_known_drafts() -> None:
    for preset in shipped_presets():
        shape = KNOWN_DRAFTS[preset.name].shape
        assert preset.layers <= shape["num_hidden_layers"]
        assert all(shape[field] == value for field, value in preset.match if field in shape)


def test_what_was_not_measured_is_none(ship: Callable[..., None]) -> None:
    ship({SMALL: None})
    small, gemma, _ = rated_drafts()
    assert (small.recall, small.tokens_per_s, small.machine, small.layers) == (None, None, None, 6)
    assert (gemma.recall, gemma.layers) == (None, None)


def test_a_compressor_decides_once_and_a_later_pull_changes_nothing(ship: Callable[..., None]) -> None:
    ship({SMALL: 0.6, GEMMA: 0.8})
    pretend_pulled(SMALL)
    compressor = Compressor(draft="auto")
    before = compressor.fingerprint
    pretend_pulled(GEMMA)
    assert (compressor.draft, compressor.fingerprint) == (SMALL, before)
    later = Compressor(draft="auto")
    assert later.draft == GEMMA
    assert later.fingerprint != before


def test_the_fingerprint_is_that_of_the_draft_named_outright(ship: Callable[..., None]) -> None:
    ship({SMALL: 0.6, GEMMA: 0.8})
    pretend_pulled(GEMMA)
    assert Compressor(draft="auto").fingerprint == Compressor(draft=GEMMA).fingerprint


def test_the_audit_record_names_the_draft_that_was_taken(ship: Callable[..., None]) -> None:
    class Kept:
        def __init__(self) -> None:
            self.records: list[Mapping[str, object]] = []

        def record(self, event: str, fields: Mapping[str, object]) -> None:
            self.records.append(fields)

    ship({GEMMA: 0.8})
    pretend_pulled(GEMMA)
    audit = Kept()
    Compressor(draft="auto", audit=audit).compress([Segment("short", "tool_result")], "why?")
    assert audit.records[0]["scorer"] == f"fused:{GEMMA}"


def test_with_nothing_pulled_the_hint_names_the_default_draft() -> None:
    compressor = Compressor(draft="auto", config=CompressionConfig(min_tokens=0, min_result_tokens=0, on_error="raise"))
    with pytest.raises(DraftError, match=f"specprefill models pull {SMALL}"):
        compressor.compress([Segment("word " * 600, "tool_result")], "which word?")


def test_the_choice_loads_no_model_library() -> None:
    code = "import sys; from specprefill_agents import Compressor; Compressor(draft='auto'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "huggingface_hub"} & set(done.stdout.split())


def test_changed_weights_under_the_same_name_are_never_answered_from_the_cache(tiny_draft: str, home: Path, tmp_path: Path) -> None:
    name = str(shutil.copytree(tiny_draft, tmp_path / "draft"))
    draft = load_draft(name)
    presets = home / "presets"
    presets.mkdir(parents=True)
    preset = HeadPreset("tiny", ((1, 0),), "<|im_start|>", match_fields(draft.model.config))
    (presets / "tiny.json").write_text(preset.to_json(), encoding="utf-8")
    asked = (["the disk is full and the build has failed"], "which disk?")
    with ScoreCache(tmp_path / "cache") as disk:
        (first,) = load_key_index(name, device="cpu", disk=disk).score(*asked)
        (again,) = load_key_index(name, device="cpu", disk=disk).score(*asked)
        torch.manual_seed(1)
        weights = {key: torch.randn_like(value) for key, value in load_file(f"{name}/model.safetensors").items()}
        save_file(weights, f"{name}/model.safetensors", {"format": "pt"})
        (changed,) = load_key_index(name, device="cpu", disk=disk).score(*asked)
    assert (first.cached, again.cached, changed.cached) == (False, True, False)
    assert load_draft(name).revision != draft.revision
    assert changed.scores.tolist() != first.scores.tolist()


def test_weights_that_came_without_a_commit_are_told_apart_by_their_values(tiny_draft: str, tmp_path: Path) -> None:
    from specprefill_agents.draft.loading import revision
    from specprefill_agents.draft.registry import DraftLocation

    model = load_draft(tiny_draft).model
    hub = DraftLocation("owner/model", "hub", "owner/model")
    model.config._commit_hash = None
    first = revision(hub, model)
    with torch.no_grad():
        model.layers[1].mlp.up_proj.weight[0, 0] += 1
    assert revision(hub, model) != first
    model.config._commit_hash = "f" * 40
    assert revision(hub, model) == "f" * 16


def test_a_damaged_manifest_of_a_pulled_draft_says_how_to_get_it_anew(tiny_draft: str) -> None:
    shutil.copytree(tiny_draft, pulled_directory(SMALL))
    (pulled_directory(SMALL) / "specprefill.json").write_text(json.dumps([]), encoding="utf-8")
    with pytest.raises(DraftError, match=f"manifest of draft '{SMALL}' is damaged.*specprefill models pull {SMALL}"):
        load_draft(SMALL)
