"""Which segments are protected, which are candidates, and why."""

from __future__ import annotations

from specprefill_agents.config import CompressionConfig
from specprefill_agents.types import Segment

_CANDIDATE_KINDS = frozenset({"tool_result", "document"})


def protection_reason(segment: Segment, tokens: int, config: CompressionConfig) -> str | None:
    """Why `segment`, of so many target `tokens`, must pass unchanged, or None when it is a candidate for compression."""
    if segment.kind not in _CANDIDATE_KINDS and not (segment.kind == "user" and config.compress_user):
        return f"kind {segment.kind} is protected"
    if segment.kind == "tool_result" and tokens < config.min_result_tokens:
        return f"shorter than min_result_tokens ({tokens} < {config.min_result_tokens})"
    if segment.name is not None and segment.kind == "tool_result" and segment.name in config.exclude_tools:
        return f"tool {segment.name} is excluded"
    if config.keep_ratio_of(segment.name if segment.kind == "tool_result" else None) == 1:
        return "keep_ratio is 1"
    if not segment.text or segment.text.isspace():
        return "nothing to compress"
    return None
