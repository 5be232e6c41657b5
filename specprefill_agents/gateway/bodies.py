"""The body of a request: read within limits, and understood as far as compression needs."""

from __future__ import annotations

import json
from typing import Any

import anyio
from fastapi import Request

from specprefill_agents.gateway.problems import Problem
from specprefill_agents.gateway.settings import GatewaySettings


async def read_body(request: Request, settings: GatewaySettings) -> bytes:
    """The body of a request, raising `Problem` for one that is too large or too slow.

    What is too large is read to its end all the same, and forgotten: a client that is still sending does not read answers.
    """
    data, size = bytearray(), 0
    try:
        with anyio.fail_after(settings.body_timeout_s):
            async for piece in request.stream():
                size += len(piece)
                if size <= settings.max_body_bytes:
                    data += piece
                else:
                    data.clear()
    except TimeoutError:
        raise Problem(408, "the request did not arrive in time", {"connection": "close"}) from None
    if size > settings.max_body_bytes:
        raise Problem(413, f"the request is larger than {settings.max_body_bytes} bytes")
    return bytes(data)


def parsed(data: bytes, settings: GatewaySettings) -> tuple[str, dict[str, Any]]:
    """A body as text, and as the JSON object that it must be. Raises `Problem`."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Problem(400, "the request is not UTF-8") from None
    try:
        found = json.loads(text)
    except RecursionError:
        raise _too_deep(settings) from None
    except ValueError:
        raise Problem(400, "the request is not JSON") from None
    if not isinstance(found, dict):
        raise Problem(400, "the request is not a JSON object")
    _check_depth(found, settings)
    messages = found.get("messages")
    if isinstance(messages, list) and len(messages) > settings.max_messages:
        raise Problem(413, f"the request has more than {settings.max_messages} messages")
    return text, found


def _check_depth(value: object, settings: GatewaySettings) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > settings.max_depth:
            raise _too_deep(settings)
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
            if isinstance(inner, (dict, list))
        ]


def _too_deep(settings: GatewaySettings) -> Problem:
    return Problem(400, f"the request is nested deeper than {settings.max_depth} levels")
