"""`specprefill compress --jsonl`: a request a line in, an answer a line out, in the same order (`serving.contract`).

Answers are ASCII, so that a lone surrogate survives as an escape. A bad line is answered with its error; the rest goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, BinaryIO

from specprefill_agents.serving.contract import BadRequest, answer, is_id, parse_request
from specprefill_agents.serving.pool import CompressorPool


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
        if not is_id(fields.get("id")):
            raise BadRequest("id must be a string or an integer")
        return {"id": fields["id"], **answer(parse_request(fields), pool)}
    except BadRequest as error:
        return {"id": fields.get("id") if is_id(fields.get("id")) else None, "error": str(error)}


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(_decode(line), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadRequest("not a JSON object")
    return value


def _decode(line: bytes) -> str:
    """UTF-8 in which a client may have left lone surrogates; bytes that are not even that become lone surrogates."""
    try:
        return line.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return line.decode("utf-8", "surrogateescape")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
