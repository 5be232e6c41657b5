"""The face of specprefill_langchain: complete, lazy, and clear about what is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import specprefill_langchain


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_every_public_name_has_a_home_and_every_home_a_public_name() -> None:
    assert set(specprefill_langchain.__all__) == set(specprefill_langchain._HOMES)
    assert dir(specprefill_langchain) == sorted(specprefill_langchain.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = specprefill_langchain.no_such_name


def test_importing_it_loads_no_framework_and_no_model_library() -> None:
    code = "import sys, specprefill_langchain; print([m for m in ('langchain', 'langchain_core', 'torch') if m in sys.modules])"
    assert run(code) == "[]"


@pytest.mark.parametrize(
    "name", ["ChatSpecPrefill", "Meter", "PromptCompressor", "SpecPrefillDocumentCompressor", "SpecPrefillMiddleware", "StepReport"]
)
def test_a_name_does_not_load_torch(name: str) -> None:
    assert run(f"import sys; from specprefill_langchain import {name}; print('torch' in sys.modules)") == "False"


def test_without_langchain_the_error_is_the_pip_command() -> None:
    code = (
        "import sys; sys.modules['langchain'] = sys.modules['langchain_core'] = None\n"
        "try:\n    from specprefill_langchain import SpecPrefillMiddleware\n"
        "except ImportError as error:\n    print(error)"
    )
    assert "pip install 'specprefill-agents[langchain]'" in run(code)
