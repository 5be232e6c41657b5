"""One set of weights serves a target, its assistant and the scorer, at the same time, and goes with the last of them."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.made.draft import write_tiny_draft
from specprefill_agents.draft.capture import HeadCapture
from specprefill_agents.draft.loading import load_draft
from specprefill_agents.draft.sharing import shared
from specprefill_agents.targets.chat_template import ChatTurn
from specprefill_agents.targets.loading import TargetSettings, load_target
from specprefill_agents.targets.sampling import Sampling

HERE = torch.device("cpu")
SETTINGS = TargetSettings(device="cpu", dtype="float32", cache_bytes=0)


@pytest.fixture
def name(tmp_path: Path) -> str:
    """A model that no other test loads."""
    write_tiny_draft(tmp_path)
    return str(tmp_path)


def test_a_target_its_assistant_and_a_draft_have_the_same_weights(name: str) -> None:
    target = load_target(name, TargetSettings(device="cpu", dtype="float32", assistant=name))
    assert target.assistant
    assert target.assistant.model is target.model
    assert load_target(name, SETTINGS).model is target.model
    assert load_draft(name, layers=1, device="cpu", dtype="float32").model is target.model.base_model
    assert load_draft(name, device="cpu", dtype="float32", with_head=True).model is not target.model
    assert load_draft(name, device="cpu", dtype="bfloat16").model is not target.model.base_model


def test_weights_go_with_their_last_user(name: str) -> None:
    target = load_target(name, SETTINGS)
    assert shared(name, HERE, torch.float32)
    del target
    gc.collect()
    assert shared(name, HERE, torch.float32) is None


def test_scoring_and_answering_at_the_same_time_do_not_disturb_each_other(name: str) -> None:
    target = load_target(name, SETTINGS)
    ids = torch.arange(3, 200)[None]
    turns, sampling = [ChatTurn("user", "Tell me about ships.")], Sampling(max_new_tokens=60)

    def keys() -> list[np.ndarray]:
        with HeadCapture(target.model.base_model, [(0, 1), (1, 3)], "key") as capture, torch.inference_mode():
            return [capture.run(ids).numpy() for _ in range(40)]

    alone, answer = keys()[0], target.generate(turns, sampling).token_ids
    found: list[np.ndarray] = []
    worker = threading.Thread(target=lambda: found.extend(keys()))
    worker.start()
    answers = [target.generate(turns, sampling).token_ids for _ in range(3)]
    worker.join()
    assert answers == [answer] * 3
    assert len(found) == 40
    assert all(np.array_equal(one, alone) for one in found)
