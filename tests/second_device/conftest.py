"""The second device, built once a run, and the models of the tests that run on it."""

from __future__ import annotations

import subprocess
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.utils import cpp_extension

from benchmarks.made.draft import write_tiny_draft
from specprefill_agents.draft import loading

NAME = "privateuseone"
"""What PyTorch calls a device of somebody else's."""


@pytest.fixture(scope="session")
def second_device(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a device that is not the processor. Needs a C++ compiler."""
    library = tmp_path_factory.mktemp("device") / "device.so"
    headers = [f"-I{path}" for path in cpp_extension.include_paths()]
    places = [f"-L{path}" for path in cpp_extension.library_paths()]
    source = Path(__file__).with_name("device.cpp")
    subprocess.run(["c++", "-std=c++20", "-shared", "-fPIC", *headers, source, "-o", library, *places, "-ltorch_cpu", "-lc10"], check=True)
    torch.ops.load_library(library)
    module = types.SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: 1,
        _is_in_bad_fork=lambda: False,
        manual_seed_all=lambda seed: None,
    )
    torch._register_device_module(NAME, module)
    return NAME


@pytest.fixture(scope="session")
def tiny_draft(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Directory of a 2-layer random Llama with a byte-level tokenizer."""
    directory = tmp_path_factory.mktemp("tiny-draft")
    write_tiny_draft(directory)
    return str(directory)


@pytest.fixture(scope="session", autouse=True)
def exact() -> Iterator[None]:
    """In 16 bits two ways of summing may decide otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "cpu_multiplies_bfloat16", lambda: False)
        yield
