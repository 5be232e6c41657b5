"""The machine contract of `specprefill compress --jsonl`: a request a line in, an answer a line out, in the same order.

Answers are ASCII, so that a lone surrogate survives as an escape. A bad line is answered with its error; the rest goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast, get_args

from specprefill_agents.errors import ConfigError
from specprefill_agents.types import CompressedSegment, KeepRatio, Kind, Segment, Usage

if TYPE_CHECKING:
    from specprefill_agents.cli.pool import CompressorPool

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Request:
    """One line, checked."""

    id: str | int
    segments: tuple[Segment, ...]
    query: str
    keep_ratio: KeepRatio | None


class BadLine(Exception):
    """A line that is no request."""


def answer_lines(lines: Iterable[bytes], out: BinaryIO, pool: CompressorPool) -> None:
    """Answer each line as soon as it is read; blank lines are passed over."""
    for line in lines:
        if line.strip():
            out.write(json.dumps(_answer(line, pool)).encode("ascii") + b"\n")
            out.flush()


def _answer(line: bytes, pool: CompressorPool) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    try:
        fields = _object(line)
        request = parse_request(fields)
        result = pool.at(request.keep_ratio).compress(request.segments, request.query)
    except (BadLine, ConfigError) as error:
        return {"id": fields.get("id") if _is_id(fields.get("id")) else None, "error": str(error)}
    return {"id": request.id, "segments": [segment_json(segment) for segment in result.segments], "usage": usage_json(result.usage)}


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(_decode(line), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadLine(f"not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadLine("not a JSON object")
    return value


def _decode(line: bytes) -> str:
    """UTF-8 in which a client may have left lone surrogates; bytes that are not even that become lone surrogates."""
    try:
        return line.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return line.decode("utf-8", "surrogateescape")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def parse_request(fields: dict[str, Any]) -> Request:
    """A request from a line's JSON object. Raises `BadLine` naming the field; unknown fields are left for later versions."""
    _require(_is_id(fields.get("id")), "id", "a string or an integer")
    segments = fields.get("segments")
    _require(isinstance(segments, list), "segments", "a list of objects")
    _require(isinstance(fields.get("query"), str), "query", "a string")
    keep_ratio = fields.get("keep_ratio")
    _require(keep_ratio in (None, "auto") or _is_number(keep_ratio), "keep_ratio", "a number in (0, 1], or auto")
    parsed = tuple(_segment(f"segments[{index}]", value) for index, value in enumerate(fields["segments"]))
    return Request(fields["id"], parsed, fields["query"], keep_ratio)


def _segment(where: str, value: object) -> Segment:
    if not isinstance(value, dict):
        raise BadLine(f"{where} must be an object")
    kind, name = value.get("kind"), value.get("name")
    kind = "tool_result" if kind is None else kind
    _require(isinstance(value.get("text"), str), f"{where}.text", "a string")
    _require(kind in KINDS, f"{where}.kind", f"one of {', '.join(KINDS)}")
    _require(name is None or isinstance(name, str), f"{where}.name", "a string")
    keep = value.get("keep", [])
    _require(isinstance(keep, list) and all(_is_span(span, len(value["text"])) for span in keep), f"{where}.keep", "a list of [start, end]")
    return Segment(value["text"], cast(Kind, kind), name, keep=tuple((start, end) for start, end in keep))


def _require(holds: bool, field: str, allowed: str) -> None:
    if not holds:
        raise BadLine(f"{field} must be {allowed}")


def _is_id(value: object) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool)


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
