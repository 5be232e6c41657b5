"""A tiny target with nothing that speeds it up."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from specprefill_agents.targets.loading import TargetSettings, load_target
from specprefill_agents.targets.local import LocalTarget


@pytest.fixture(scope="session")
def target(tiny_draft: str) -> LocalTarget:
    """Random weights so large that what a token attends to decides what it says."""
    loaded = load_target(tiny_draft, TargetSettings(device="cpu", dtype="float32", cache_bytes=0, copies=False))
    target = replace(loaded, model=copy.deepcopy(loaded.model))  # the loaded weights are shared with whoever loads them too
    for layer in target.model.model.layers:
        for matrix in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj, layer.self_attn.o_proj):
            matrix.weight.mul_(20)
    return target
