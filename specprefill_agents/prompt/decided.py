"""A decision and the texts it is about -> what is sent. Pure: the same decision and texts always give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from specprefill_agents.config import CompressionConfig
from specprefill_agents.prompt.render import RepeatMarks, gap_marks, render
from specprefill_agents.types import CompressedSegment, Kind, Span

EXCERPT_BREAK = "\n[…]\n"
"""Between parts of an earlier text that do not touch."""


def decided_text(config: CompressionConfig, kind: Kind, original: str, decided: CompressedSegment, sources: Mapping[str, str]) -> str:
    """What is sent of `original` by `decided`, whose own text is not read.

    `sources` holds the whole text of every earlier segment that `decided.recalled` names; raises KeyError for a missing one.
    """
    return body(config, kind, original, decided) + recalled_text(decided, sources)


def body(config: CompressionConfig, kind: Kind, original: str, decided: CompressedSegment) -> str:
    """What is sent of `original` itself, without what is recalled of earlier texts."""
    if decided.outcome != "compressed":
        return original
    repeat = decided.repeat
    if repeat is None:
        return render(original, decided.spans, gap_marks(config, kind, decided.marks, decided.original_id), decided.forms)
    if not decided.spans and repeat.gaps:
        return config.repeat_mark.format(source=repeat.label)
    own = gap_marks(config, kind, decided.marks, decided.original_id)
    there = RepeatMarks(line=config.repeat_line_mark, text=config.repeat_line_mark, source=repeat.label)
    return render(original, decided.spans, own, decided.forms, dict.fromkeys(repeat.gaps, there))


def recalled_text(decided: CompressedSegment, sources: Mapping[str, str]) -> str:
    """What `decided` brings back of earlier texts, each part under its heading on lines of its own; "" for nothing."""
    return "".join(f"\n{part.heading}\n{excerpt(sources[part.source], part.spans)}" for part in decided.recalled)


def excerpt(original: str, spans: Sequence[Span]) -> str:
    """The parts of a text in `spans`, without line breaks at their ends."""
    return EXCERPT_BREAK.join(original[start:end].strip("\r\n") for start, end in spans)
