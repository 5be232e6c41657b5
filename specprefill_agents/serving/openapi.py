"""What the OpenAPI document says of requests and answers; the checks themselves are made by `engine` and `contract`."""

from __future__ import annotations

from typing import Any, TypeAlias

from specprefill_agents.serving.contract import KINDS, SETTINGS
from specprefill_agents.serving.settings import ServiceSettings

Schema: TypeAlias = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
SHARE: Schema = {"oneOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1}, {"const": "auto"}]}
SPAN: Schema = {"type": "array", "items": COUNT, "minItems": 2, "maxItems": 2}
STATUS: Schema = {"type": "object", "properties": {"status": {"enum": ["alive", "loading", "ready", "failed"]}}, "required": ["status"]}
PROBLEM: Schema = {
    "type": "object",
    "properties": {"error": {"type": "object", "properties": {"code": TEXT, "message": TEXT}, "required": ["code", "message"]}},
    "required": ["error"],
}
IDENTITY: Schema = {
    "type": "object",
    "properties": {"scorer": TEXT, "takes_titles": {"type": "boolean"}, "version": TEXT},
    "required": ["scorer", "takes_titles", "version"],
}
SCORED: Schema = {
    "type": "object",
    "properties": {
        "scorer": {"type": "string", "description": "identity of the scorer; equal identities give equal bytes"},
        "scores": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "tokens": {**COUNT, "description": "T"},
                    "offsets": {
                        **TEXT,
                        "contentEncoding": "base64",
                        "description": "T pairs of little-endian int64: characters of the context",
                    },
                    "scores": {
                        **TEXT,
                        "contentEncoding": "base64",
                        "description": "T little-endian float64, comparable within the request",
                    },
                    "cached": {"type": "boolean", "description": "whether the context was read before"},
                },
                "required": ["tokens", "offsets", "scores", "cached"],
            },
        },
    },
    "required": ["scorer", "scores"],
}
COMPRESSED: Schema = {
    "type": "object",
    "properties": {
        "id": {"type": ["string", "integer"]},
        "segments": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"text": TEXT, "spans": {"type": "array", "items": SPAN}},
                "required": ["text", "spans"],
            },
        },
        "usage": {
            "type": "object",
            "properties": {
                "original_tokens": COUNT,
                "kept_tokens": COUNT,
                "scorer_ms": {"type": "number"},
                "fallback_reason": {"type": ["string", "null"]},
                "note": TEXT,
            },
            "required": ["original_tokens", "kept_tokens", "scorer_ms", "fallback_reason"],
        },
    },
    "required": ["segments", "usage"],
}

SETTING_SCHEMAS: dict[str, Schema] = {
    "min_tokens": COUNT,
    "min_result_tokens": COUNT,
    "exclude_tools": {"type": "array", "items": TEXT},
    "tool_keep_ratio": {"type": "object", "additionalProperties": SHARE},
    "compress_user": {"type": "boolean"},
    "neighbour_bonus": {"type": "number", "minimum": 0, "maximum": 1},
    "originals": {"type": "boolean"},
}
assert set(SETTING_SCHEMAS) == set(SETTINGS)


def score_request(settings: ServiceSettings) -> Schema:
    """A request to score, under these limits."""
    most = settings.max_contexts
    return {
        "type": "object",
        "properties": {
            "contexts": {"type": "array", "items": TEXT, "maxItems": most},
            "query": TEXT,
            "titles": {"type": ["array", "null"], "items": {"type": ["string", "null"]}, "description": "one for each context"},
            "tenant": {"type": ["string", "null"], "maxLength": 200, "description": "whose texts they are; what is kept of them is theirs"},
        },
        "required": ["contexts", "query"],
        "example": {"contexts": ["The key hangs in room 12.", "The log has nothing else to say."], "query": "Where is the key?"},
    }


def compress_request(settings: ServiceSettings) -> Schema:
    """A request to compress, under these limits."""
    segment: Schema = {
        "type": "object",
        "properties": {
            "text": TEXT,
            "kind": {"enum": list(KINDS), "description": "tool_result unless said otherwise"},
            "name": {"type": ["string", "null"], "description": "the tool's name, or the document's title"},
            "keep": {"type": "array", "items": SPAN, "description": "spans of characters that must survive"},
        },
        "required": ["text"],
    }
    return {
        "type": "object",
        "properties": {
            "id": {"type": ["string", "integer"], "description": "comes back with the answer"},
            "segments": {"type": "array", "items": segment, "maxItems": settings.max_contexts},
            "query": TEXT,
            "keep_ratio": {"oneOf": [*SHARE["oneOf"], {"type": "null"}], "description": "share of target tokens to keep"},
            "config": {"type": ["object", "null"], "properties": SETTING_SCHEMAS, "additionalProperties": False},
        },
        "required": ["segments", "query"],
        "example": {
            "segments": [
                {"text": "The key hangs in room 12.\nThe log has nothing else to say.\n", "kind": "tool_result", "name": "read_file"}
            ],
            "query": "Where is the key?",
            "keep_ratio": 0.3,
            "config": {"min_tokens": 0},
        },
    }


def body(schema: Schema) -> Schema:
    """The `openapi_extra` of a route that takes this as JSON."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def answers(schema: Schema, *problems: int) -> dict[int | str, Schema]:
    """The `responses` of a route that answers this as JSON, or one of these statuses."""
    said = {400: "not JSON", 401: "no token", 408: "too slow", 413: "too long", 415: "not sent as JSON", 422: "not a request"}
    said |= {500: "failed", 503: "not ready, too many requests, or not done in time; Retry-After says when to try again"}
    found: dict[int | str, Schema] = {200: {"description": "done", "content": {"application/json": {"schema": schema}}}}
    return found | {status: {"description": said[status], "content": {"application/json": {"schema": PROBLEM}}} for status in problems}
