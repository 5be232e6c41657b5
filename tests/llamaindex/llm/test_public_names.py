"""What importing the names around SpecPrefillLLM loads."""

from __future__ import annotations

import subprocess
import sys

import specprefill_llamaindex


def test_every_public_name_has_a_home_and_every_home_a_public_name() -> None:
    assert set(specprefill_llamaindex.__all__) == set(specprefill_llamaindex._HOMES)


def test_the_wrapper_of_models_loads_no_torch() -> None:
    names = "CompressionEndEvent, Meter, SpecPrefillLLM, StepReport"
    code = f"import sys; from specprefill_llamaindex import {names}; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
