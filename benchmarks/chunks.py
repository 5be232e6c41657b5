"""The baseline for units: chunks of a fixed length, as the published algorithm keeps them (arXiv 2502.02789)."""

from __future__ import annotations

from specprefill_agents.prompt.units import Layout, Limits
from specprefill_agents.prompt.units.layout import LayoutBuilder

CHUNK_CHARS = 128
"""About 32 tokens."""


def chunk_layout(text: str, limits: Limits) -> Layout:  # noqa: ARG001 (a splitter's signature)
    """Chunks of `CHUNK_CHARS` characters, wherever that cuts; no chunk needs another, none belongs to a block of its own."""
    builder = LayoutBuilder("plain")
    for start in range(0, len(text), CHUNK_CHARS):
        builder.add(min(start + CHUNK_CHARS, len(text)))
    return builder.build()
