"""Request bodies: read no further than the limits allow, and taken for nothing but strict JSON."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from specprefill_agents.serving.problems import ClientGone, Problem


async def read_body(request: Request, max_bytes: int, limit_s: float) -> bytes:
    """The whole body. Raises `Problem` for one that is no JSON by its type, too long or too slow, `ClientGone` when it breaks off."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "not_json", "the body must be sent as application/json")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise _too_long(max_bytes)
    try:
        return await asyncio.wait_for(_within(request, max_bytes), limit_s)
    except (TimeoutError, asyncio.TimeoutError) as error:  # two classes before Python 3.11
        raise Problem(408, "too_slow", f"the body did not arrive within {limit_s:g} s") from error
    except ClientDisconnect as error:
        raise ClientGone from error


async def _within(request: Request, max_bytes: int) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            raise _too_long(max_bytes)
    return bytes(body)


def _too_long(max_bytes: int) -> Problem:
    return Problem(413, "too_long", f"a body may have {max_bytes:,} bytes")


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is. Raises `Problem`; lone surrogates may be written as escapes, not as bytes."""
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise Problem(400, "not_utf8", "the body is not UTF-8") from error
    except RecursionError as error:
        raise Problem(400, "too_deep", "the JSON is nested too deeply") from error
    except ValueError as error:
        raise Problem(400, "not_json", "the body is not valid JSON") from error
    if not isinstance(value, dict):
        raise Problem(422, "invalid", "the body must be a JSON object")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
