"""`import specprefill_agents` stays cheap: it loads no model library and no framework."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_FORBIDDEN = ("torch", "transformers", "langchain", "langgraph", "llama_index", "specprefill_langchain", "specprefill_llamaindex")
_CODE = """
import json, sys, time
before = time.perf_counter()
{statement}
seconds = time.perf_counter() - before
print(json.dumps([seconds, list(sys.modules)]))
"""


def measure(statement: str) -> tuple[float, list[str]]:
    """Seconds that a statement takes in a new interpreter, and the modules that are loaded after it."""
    done = subprocess.run([sys.executable, "-c", _CODE.format(statement=statement)], capture_output=True, text=True, check=True)
    seconds, modules = json.loads(done.stdout)
    return seconds, modules


@pytest.mark.parametrize(
    "statement",
    [
        "import specprefill_agents",
        "from specprefill_agents import Compressor, CompressionConfig, Segment, Session",
        "from specprefill_agents import Compressor; Compressor()",
        "from specprefill_agents.cli import main",
    ],
)
def test_neither_a_model_library_nor_a_framework_is_loaded(statement: str) -> None:
    _, modules = measure(statement)
    assert [name for name in modules if name.partition(".")[0].startswith(_FORBIDDEN)] == []


def test_the_import_takes_under_three_tenths_of_a_second() -> None:
    # The one timing of the suite: a promise to users. The best of five leaves out what a busy machine adds.
    assert min(measure("import specprefill_agents")[0] for _ in range(5)) < 0.3
