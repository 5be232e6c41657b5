"""A request's body with its tool outputs compressed: every other byte of it is the client's own."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from specprefill_agents.compressor import Compressor
from specprefill_agents.gateway.access import Caller
from specprefill_agents.gateway.bodies import parsed
from specprefill_agents.gateway.messages import opening_of, put_back, rounds
from specprefill_agents.gateway.respelling import respelled
from specprefill_agents.gateway.settings import GatewaySettings
from specprefill_agents.session.sessions import Sessions, name_of
from specprefill_agents.session.stepping import compress_rounds, failed
from specprefill_agents.types import CompressionResult

EVENT = "gateway"
"""What audit records of this package are events of."""


@dataclass(frozen=True, slots=True)
class CallReport:
    """One model call: the messages it was asked with, the messages as `sent`, and what compressing them did and cost.

    `conversation_id` is the one that the client named (`is_named`), else one made of what the conversation begins with; both
    tell tenants apart. `call_id` tells the call from every other.
    """

    messages: tuple[Any, ...]
    sent: tuple[Any, ...]
    result: CompressionResult
    tools: tuple[Any, ...]
    model: str
    tenant: str
    conversation_id: str
    is_named: bool
    arm: str
    call_id: str = field(default_factory=lambda: uuid.uuid4().hex[:8])


@dataclass(frozen=True, slots=True)
class Prepared:
    """A body as it goes to the upstream, and what was done to it."""

    body: bytes
    report: CallReport


class BodyCompressor:
    """Compresses the bodies of requests, each within the conversation that it goes on with. May be shared by threads."""

    def __init__(self, compressor: Compressor, settings: GatewaySettings) -> None:
        self._compressor = compressor
        self._settings = settings
        self._sessions = Sessions(compressor, settings.max_sessions, None)

    def prepare(self, data: bytes, caller: Caller) -> Prepared:
        """`data` with its tool outputs compressed. Raises `Problem` for what is beyond a limit or no JSON object.

        Messages in no known form pass as they are, for the upstream to judge. A part that fails leaves the body as it was, and
        an audit record, unless `compressor.config.on_error` is "raise".
        """
        text, request = parsed(data, self._settings)
        messages = request.get("messages")
        messages = messages if isinstance(messages, list) else []
        tools, model = request.get("tools"), request.get("model")
        opening = f"{caller.tenant}/{opening_of(messages)}"
        name = None if caller.session is None else f"{caller.tenant}/{caller.session}"
        sent, result = compress_rounds(self._compressor, self._sessions.get(name, opening), messages, rounds, put_back, EVENT)
        body, sent, result = self._rewritten(data, text, request, messages, sent, result)
        report = CallReport(
            messages=tuple(messages),
            sent=tuple(sent),
            result=result,
            tools=tuple(tools) if isinstance(tools, list) else (),
            model=model if isinstance(model, str) else "",
            tenant=caller.tenant,
            conversation_id=name or name_of(opening),
            is_named=name is not None,
            arm=self._compressor.guard.arm(name or name_of(opening)),
        )
        return Prepared(body, report)

    def _rewritten(
        self, data: bytes, text: str, request: dict[str, Any], messages: list[Any], sent: list[Any], result: CompressionResult
    ) -> tuple[bytes, list[Any], CompressionResult]:
        """The body with the messages as sent; the very same bytes where these are the same."""
        if all(new is old for new, old in zip(sent, messages, strict=True)):
            return data, messages, result
        try:
            return respelled(text, request, {**request, "messages": sent}).encode("utf-8"), sent, result
        except Exception as error:
            if self._compressor.config.on_error == "raise":
                raise
            return data, messages, failed(self._compressor, EVENT, "writing the request anew", error)
