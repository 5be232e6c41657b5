"""What a compressed tool output was before, noted on the message for a model on this machine, which can make more of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage

from specprefill_agents.types import CompressedSegment, Span

KEY = "specprefill_original"
"""Key of `additional_kwargs`. No other model is shown it."""


@dataclass(frozen=True, slots=True)
class Original:
    """A whole text and the `spans` of it that are kept; without spans the message also shows what none of them holds."""

    text: str
    spans: tuple[Span, ...] | None


def reads_originals(model: object) -> bool:
    """Whether a chat model, which may have arguments bound to it, wants to know them: by its attribute `reads_originals`."""
    return bool(getattr(getattr(model, "bound", model), "reads_originals", False))


def noted(message: BaseMessage, text: str, decided: CompressedSegment) -> dict[str, Any]:
    """The message's `additional_kwargs` with its whole `text` and what was decided on it."""
    spans = None if decided.recalled else [list(span) for span in decided.spans]
    return {**message.additional_kwargs, KEY: {"text": text, "spans": spans}}


def original_of(message: BaseMessage) -> Original | None:
    """What is noted on a message; None where nothing is."""
    note = message.additional_kwargs.get(KEY)
    if not note:
        return None
    spans = note["spans"]
    return Original(note["text"], None if spans is None else tuple((start, end) for start, end in spans))
