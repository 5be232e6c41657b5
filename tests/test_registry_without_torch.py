"""Scorers that need a draft, where torch is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
sys.modules["torch"] = None
from specprefill_agents import CompressionConfig, Compressor, Segment
made = Compressor(config=CompressionConfig(scorer="{scorer}", target_tokenizer="estimate", min_tokens=0), cache="memory")
print(made.compress([Segment("some text to score " * 50)], "score?").usage.fallback_reason)
"""


@pytest.mark.parametrize("scorer", ["fused", "key_index", "speculative"])
def test_the_reason_is_the_pip_command_that_mends_it(scorer: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(scorer=scorer)], capture_output=True, text=True, check=True)
    assert "pip install 'specprefill-agents[draft]'" in done.stdout
