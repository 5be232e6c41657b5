"""What a request for compression looks like, and its answer: the same in a line of `specprefill compress --jsonl` and over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast, get_args

from specprefill_agents.errors import ConfigError
from specprefill_agents.serving.pool import CompressorPool
from specprefill_agents.types import CompressedSegment, KeepRatio, Kind, Segment, Usage

KINDS: tuple[Kind, ...] = get_args(Kind)

SETTINGS = ("min_tokens", "min_result_tokens", "exclude_tools", "tool_keep_ratio", "compress_user", "neighbour_bonus", "originals")
"""What else of the configuration a request may set. Not what loads or runs something: scorers, tokenizers, expressions."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, checked."""

    segments: tuple[Segment, ...]
    query: str
    keep_ratio: KeepRatio | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


class BadRequest(Exception):
    """Not a request. What it says names the field, and quotes no text."""


def answer(request: Request, pool: CompressorPool) -> dict[str, Any]:
    """The answer to a request, without its id. Raises `BadRequest` for a setting out of range."""
    try:
        compressor = pool.at(request.keep_ratio, request.settings)
    except ConfigError as error:
        raise BadRequest(str(error)) from error
    result = compressor.compress(request.segments, request.query)
    return {"segments": [segment_json(segment) for segment in result.segments], "usage": usage_json(result.usage)}


def parse_request(fields: Mapping[str, Any]) -> Request:
    """A request from a JSON object. Raises `BadRequest` naming the field; unknown fields are left for later versions."""
    segments = fields.get("segments")
    _require(isinstance(segments, list), "segments", "a list of objects")
    _require(isinstance(fields.get("query"), str), "query", "a string")
    keep_ratio = fields.get("keep_ratio")
    _require(keep_ratio in (None, "auto") or _is_number(keep_ratio), "keep_ratio", "a number in (0, 1], or auto")
    parsed = tuple(_segment(f"segments[{index}]", value) for index, value in enumerate(fields["segments"]))
    return Request(parsed, fields["query"], keep_ratio, _settings(fields.get("config")))


def _settings(value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    is_known = isinstance(value, dict) and all(name in SETTINGS for name in value)
    _require(is_known, "config", f"an object with settings named {', '.join(SETTINGS)}")
    return cast(Mapping[str, Any], value)


def _segment(where: str, value: object) -> Segment:
    if not isinstance(value, dict):
        raise BadRequest(f"{where} must be an object")
    kind, name = value.get("kind"), value.get("name")
    kind = "tool_result" if kind is None else kind
    _require(isinstance(value.get("text"), str), f"{where}.text", "a string")
    _require(kind in KINDS, f"{where}.kind", f"one of {', '.join(KINDS)}")
    _require(name is None or isinstance(name, str), f"{where}.name", "a string")
    keep = value.get("keep", [])
    _require(isinstance(keep, list) and all(_is_span(span, len(value["text"])) for span in keep), f"{where}.keep", "a list of [start, end]")
    return Segment(value["text"], cast(Kind, kind), name, keep=tuple((start, end) for start, end in keep))


def is_id(value: object) -> bool:
    """Whether a request may be called that."""
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def _require(holds: bool, field: str, allowed: str) -> None:
    if not holds:
        raise BadRequest(f"{field} must be {allowed}")


def _is_span(value: object, length: int) -> bool:
    """Whether it is a pair of places in a text of so many characters, the first no later than the second."""
    return isinstance(value, list) and len(value) == 2 and all(type(end) is int for end in value) and 0 <= value[0] <= value[1] <= length


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def segment_json(segment: CompressedSegment) -> dict[str, Any]:
    """A segment as the contract writes it."""
    return {"text": segment.text, "spans": [list(span) for span in segment.spans]}


def usage_json(usage: Usage) -> dict[str, Any]:
    """A usage as the contract writes it."""
    return {
        "original_tokens": usage.original_tokens,
        "kept_tokens": usage.kept_tokens,
        "scorer_ms": round(usage.scorer_ms, 3),
        "fallback_reason": usage.fallback_reason,
        **({"note": usage.note} if usage.note else {}),
    }
