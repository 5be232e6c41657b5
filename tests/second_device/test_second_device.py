"""What runs on a GPU, on a device that refuses the processor's tensors: as on the processor. `make test-device`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from specprefill_agents import CompressionConfig, Compressor, Segment
from specprefill_agents.draft.registry import DEFAULT_DRAFT
from specprefill_agents.scoring.base import Scorer
from specprefill_agents.scoring.key_index import load_key_index
from specprefill_agents.scoring.speculative import load_speculative
from specprefill_agents.targets.chat_template import ChatTurn
from specprefill_agents.targets.grammar import Grammar
from specprefill_agents.targets.loading import TargetSettings, load_target
from specprefill_agents.targets.local import Generation
from specprefill_agents.targets.sampling import Sampling
from specprefill_agents.targets.tools import ToolSpec
from specprefill_agents.types import Span

LISTING = "".join(f"Shelf {number} holds {number * 37 % 101} books about birds.\n" for number in range(60))
QUESTION = "How many books does shelf 41 hold?"
KEPT: tuple[Span, ...] = ((0, 34), (68, 102))
TURNS = [ChatTurn("user", LISTING[:34], whole=(LISTING[:136], KEPT)), ChatTurn("user", QUESTION)]
DRAWN = Sampling(max_new_tokens=24, temperature=0.8, top_p=0.9, top_k=40, seed=7)
LEND = ToolSpec("lend", "Lends a book.", {"type": "object", "properties": {"shelf": {"type": "integer"}}, "required": ["shelf"]})


def test_the_device_refuses_what_lies_on_another(second_device: str) -> None:
    here, elsewhere = torch.ones(2, 2, device=second_device), torch.ones(2, 2)
    assert (here @ here).tolist() == [[2, 2], [2, 2]]
    with pytest.raises(RuntimeError, match="same device"):
        here @ elsewhere
    with pytest.raises(RuntimeError, match="same device"):
        torch.nn.functional.embedding(torch.tensor([1]), here)


@pytest.mark.parametrize("load", [load_key_index, load_speculative])
def test_a_scorer_gives_the_same_scores(second_device: str, load: Callable[..., Scorer]) -> None:
    contexts = [LISTING, "", "Übergröße: 3 m × 2 m\n" * 4]
    usual, found = (load(DEFAULT_DRAFT, device=at).score(contexts, QUESTION) for at in ("cpu", second_device))
    for one, other in zip(usual, found, strict=True):
        np.testing.assert_allclose(other.scores, one.scores, rtol=1e-3, atol=1e-5)


def test_a_compressor_keeps_the_same(second_device: str) -> None:
    config = CompressionConfig(keep_ratio=0.2, min_tokens=0, min_result_tokens=0, target_tokenizer="o200k_base", on_error="raise")
    usual, found = (
        Compressor(DEFAULT_DRAFT, config, device=at, cache="memory").compress([Segment(LISTING)], QUESTION) for at in ("cpu", second_device)
    )
    assert "Shelf 41" in found.segments[0].text
    assert found.segments == usual.segments


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({}, {}),
        ({}, {"sampling": DRAWN}),
        ({"prefill_tokens": 16}, {}),
        ({"positions": "original"}, {}),
        ({"assistant": DEFAULT_DRAFT}, {}),
        ({}, {"grammar": Grammar((LEND,)), "sampling": Sampling(max_new_tokens=80)}),
    ],
    ids=["greedy", "drawn", "in small passes", "at original positions", "guessed by another model", "by a grammar"],
)
def test_a_target_gives_the_same_answers(
    second_device: str, tiny_draft: str, settings: Mapping[str, Any], asked: Mapping[str, Any]
) -> None:
    usual, found = (conversation(tiny_draft, at, settings, asked) for at in ("cpu", second_device))
    assert [one.token_ids for one in found] == [one.token_ids for one in usual]
    assert [one.cached_tokens for one in found] == [one.cached_tokens for one in usual]
    assert found[1].cached_tokens > 0


def test_a_trained_model_gives_the_same_answer(second_device: str) -> None:
    usual, found = (conversation(DEFAULT_DRAFT, at, {"copies": True}, {}) for at in ("cpu", second_device))
    assert [one.text for one in found] == [one.text for one in usual]


def conversation(name: str, device: str, settings: Mapping[str, Any], asked: Mapping[str, Any]) -> list[Generation]:
    """Two answers of a model as a target on a device; the second goes on from what was read for the first."""
    target = load_target(name, TargetSettings(device=device, dtype="float32", **settings))
    assert target.model.device.type == device
    asked = {"sampling": Sampling(max_new_tokens=24), **asked}
    first = target.generate(TURNS, **asked)
    return [first, target.generate([*TURNS, ChatTurn("assistant", first.text), ChatTurn("user", "And shelf 4?")], **asked)]
