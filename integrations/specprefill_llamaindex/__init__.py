"""Speculative prefill for LlamaIndex: tool outputs and retrieved nodes reach the model compressed, everything else untouched.

Importing this package loads neither torch nor llama-index; every public name is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from specprefill_agents.errors import missing_extra

if TYPE_CHECKING:
    from specprefill_llamaindex.events import CompressionEndEvent, CompressionStartEvent
    from specprefill_llamaindex.expanding import expand_tool
    from specprefill_llamaindex.llm import SpecPrefillLLM
    from specprefill_llamaindex.llm_local import LocalLLM
    from specprefill_llamaindex.memory import SpecPrefillMemoryBlock
    from specprefill_llamaindex.metering import Meter
    from specprefill_llamaindex.postprocessor import NODE_ID_KEY, SPANS_KEY, TOKENS_KEY, SpecPrefillPostprocessor
    from specprefill_llamaindex.step import StepReport

_HOMES = {
    "CompressionEndEvent": "events",
    "CompressionStartEvent": "events",
    "LocalLLM": "llm_local",
    "Meter": "metering",
    "NODE_ID_KEY": "postprocessor",
    "SPANS_KEY": "postprocessor",
    "SpecPrefillLLM": "llm",
    "SpecPrefillMemoryBlock": "memory",
    "SpecPrefillPostprocessor": "postprocessor",
    "StepReport": "step",
    "TOKENS_KEY": "postprocessor",
    "expand_tool": "expanding",
}

__all__ = [
    "NODE_ID_KEY",
    "SPANS_KEY",
    "TOKENS_KEY",
    "CompressionEndEvent",
    "CompressionStartEvent",
    "LocalLLM",
    "Meter",
    "SpecPrefillLLM",
    "SpecPrefillMemoryBlock",
    "SpecPrefillPostprocessor",
    "StepReport",
    "expand_tool",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f"{__name__}.{home}")
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("llama_index"):
            raise
        raise missing_extra(name, "llamaindex") from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
