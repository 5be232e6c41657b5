"""A request's body with its tool outputs compressed: every other byte of it is the client's own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from specprefill_agents.compressor import Compressor
from specprefill_agents.gateway.access import Caller
from specprefill_agents.gateway.bodies import parsed
from specprefill_agents.gateway.expanding import TOOL, takes_tool
from specprefill_agents.gateway.messages import opening_of, part_of, put_back, rounds
from specprefill_agents.gateway.respelling import respelled
from specprefill_agents.gateway.settings import GatewaySettings
from specprefill_agents.session.sessions import Sessions, name_of
from specprefill_agents.session.stepping import compress_rounds, described, failed
from specprefill_agents.storage.last_used import LastUsed
from specprefill_agents.storage.originals import Originals, default_originals
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
    """A body as it goes to the upstream, and what was done to it.

    `originals` are what its model may ask for by `expand`; None where it has no such tool. `source` is the client's body, which
    reads as `read` and goes out as `sent`.
    """

    body: bytes
    report: CallReport
    originals: Originals | None
    source: str
    read: Mapping[str, Any]
    sent: Mapping[str, Any]

    def continued(self, turns: Sequence[Any]) -> Prepared:
        """The same with further messages, none of which is compressed or the client's."""
        sent = {**self.sent, "messages": [*self.sent["messages"], *turns]}
        done = CompressionResult((), replace(self.report.result.usage, scorer_ms=0.0))
        report = replace(self.report, sent=tuple(sent["messages"]), result=done)
        return replace(self, body=respelled(self.source, self.read, sent).encode("utf-8"), report=report)


class BodyCompressor:
    """Compresses the bodies of requests, each within the conversation that it goes on with. May be shared by threads.

    Tenants share the draft, and nothing that was computed of a text. Where `settings.expand` is on, each tenant's originals are
    those that `originals_of` gives for its name.
    """

    def __init__(
        self, compressor: Compressor, settings: GatewaySettings, originals_of: Callable[[str], Originals] = default_originals
    ) -> None:
        self._compressor = compressor
        self._settings = settings
        self._originals_of = originals_of
        self._sessions = Sessions(compressor, settings.max_sessions, None)
        self._tenants = LastUsed[Compressor](settings.max_tenants)

    def prepare(self, data: bytes, caller: Caller) -> Prepared:
        """`data` with its tool outputs compressed. Raises `Problem` for what is beyond a limit or no JSON object.

        Messages in no known form pass as they are, for the upstream to judge. A part that fails leaves the body as it was, and
        an audit record, unless `compressor.config.on_error` is "raise".
        """
        text, request = parsed(data, self._settings)
        messages = request.get("messages")
        messages = messages if isinstance(messages, list) else []
        opening = f"{caller.tenant}/{opening_of(messages)}"
        name = None if caller.session is None else f"{caller.tenant}/{caller.session}"
        conversation_id = name or name_of(opening)
        compressor = self._compressor_of(caller.tenant)
        session = self._sessions.get(name, opening, compressor)
        head = described(compressor, request.get("tools"))
        compressed, result = compress_rounds(compressor, session, messages, rounds, put_back, part_of, EVENT, head)
        sent = _with(request, messages, compressed, self._settings.expand and takes_tool(request))
        body, sent, result = self._written(data, text, request, sent, result)
        tools, model = sent.get("tools"), request.get("model")
        report = CallReport(
            messages=tuple(messages),
            sent=tuple(sent["messages"]) if messages else (),
            result=result,
            tools=tuple(tools) if isinstance(tools, list) else (),
            model=model if isinstance(model, str) else "",
            tenant=caller.tenant,
            conversation_id=conversation_id,
            is_named=name is not None,
            arm=self._compressor.guard.arm(conversation_id),
        )
        is_expanding = sent.get("tools") is not request.get("tools")
        return Prepared(body, report, compressor.originals if is_expanding else None, text, request, sent)

    def _written(
        self, data: bytes, text: str, request: dict[str, Any], sent: dict[str, Any], result: CompressionResult
    ) -> tuple[bytes, dict[str, Any], CompressionResult]:
        """The body that reads as `sent`; the very same bytes where that is the request as it was."""
        if sent is request:
            return data, request, result
        try:
            return respelled(text, request, sent).encode("utf-8"), sent, result
        except Exception as error:
            if self._compressor.config.on_error == "raise":
                raise
            return data, request, failed(self._compressor, EVENT, "writing the request anew", error)

    def _compressor_of(self, tenant: str) -> Compressor:
        """What a tenant's requests are compressed with; held for the `max_tenants` used last."""
        return self._tenants.get(tenant, lambda: self._made_for(tenant))

    def _made_for(self, tenant: str) -> Compressor:
        own = self._compressor.for_tenant(tenant)
        return own.keeping_in(self._originals_of(tenant)) if self._settings.expand else own


def _with(request: dict[str, Any], messages: list[Any], compressed: list[Any], is_expanding: bool) -> dict[str, Any]:
    """The request with its messages compressed, and with the tool where it is wanted; the identical object where nothing changed."""
    changed: dict[str, Any] = {}
    if any(new is not old for new, old in zip(compressed, messages, strict=True)):
        changed["messages"] = compressed
    if is_expanding:
        changed["tools"] = [*request["tools"], TOOL]
    return {**request, **changed} if changed else request
