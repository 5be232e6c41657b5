"""Speculative prefill for agents: a small local draft model decides which parts of tool outputs a larger model reads.

Importing this package loads neither torch, transformers nor any framework; every public name is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from specprefill_agents.compressor import Compressor
    from specprefill_agents.config import CompressionConfig
    from specprefill_agents.errors import (
        ConfigError,
        DraftError,
        DraftFetchError,
        NotKeptError,
        ScoringError,
        SpecPrefillError,
        TargetError,
        UnknownDraftError,
    )
    from specprefill_agents.guardrails.guard import Guard
    from specprefill_agents.guardrails.settings import Guardrails
    from specprefill_agents.guardrails.settings_file import load_guardrails
    from specprefill_agents.prompt.expand import expand
    from specprefill_agents.scoring.base import Scorer
    from specprefill_agents.session import Session, Turn
    from specprefill_agents.storage.originals import Originals
    from specprefill_agents.types import (
        CompressedSegment,
        CompressionResult,
        Segment,
        Span,
        TokenScores,
        Usage,
    )

__version__ = "0.1.0"

_HOMES = {
    "Compressor": "compressor",
    "CompressionConfig": "config",
    "ConfigError": "errors",
    "NotKeptError": "errors",
    "DraftError": "errors",
    "DraftFetchError": "errors",
    "ScoringError": "errors",
    "SpecPrefillError": "errors",
    "TargetError": "errors",
    "UnknownDraftError": "errors",
    "Guard": "guardrails.guard",
    "Guardrails": "guardrails.settings",
    "load_guardrails": "guardrails.settings_file",
    "Originals": "storage.originals",
    "Scorer": "scoring.base",
    "Session": "session",
    "Turn": "session",
    "CompressedSegment": "types",
    "CompressionResult": "types",
    "Segment": "types",
    "Span": "types",
    "TokenScores": "types",
    "Usage": "types",
    "expand": "prompt.expand",
}

__all__ = [
    "CompressedSegment",
    "CompressionConfig",
    "CompressionResult",
    "Compressor",
    "ConfigError",
    "DraftError",
    "DraftFetchError",
    "Guard",
    "Guardrails",
    "NotKeptError",
    "Originals",
    "Scorer",
    "ScoringError",
    "Segment",
    "Session",
    "Span",
    "SpecPrefillError",
    "TargetError",
    "TokenScores",
    "Turn",
    "UnknownDraftError",
    "Usage",
    "__version__",
    "expand",
    "load_guardrails",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
