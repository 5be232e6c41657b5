"""The gateway as an application for any server of the ASGI: three routes, everything else is not found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from specprefill_agents.accounting.first_chunk import FirstChunk
from specprefill_agents.accounting.metering import OnStep
from specprefill_agents.compressor import Compressor
from specprefill_agents.errors import ConfigError
from specprefill_agents.gateway.access import Access, Caller
from specprefill_agents.gateway.answers import STREAM, Held
from specprefill_agents.gateway.bodies import read_body
from specprefill_agents.gateway.compressing import EVENT, BodyCompressor, CallReport, Prepared
from specprefill_agents.gateway.looping import ExpandLoop
from specprefill_agents.gateway.metering import Accounts
from specprefill_agents.gateway.problems import Problem
from specprefill_agents.gateway.relaying import Outgoing, WhileConnected
from specprefill_agents.gateway.settings import GatewaySettings
from specprefill_agents.gateway.upstream import Upstream, problem_of, returned_headers
from specprefill_agents.gateway.workers import Workers
from specprefill_agents.observe.audit import without_quotes
from specprefill_agents.session.stepping import failed
from specprefill_agents.storage.originals import Originals, default_originals
from specprefill_agents.types import Usage

BASE = "/v1"
"""What a client's base URL ends with here, in place of which the upstream's own base URL stands."""


def create_app(
    settings: GatewaySettings,
    compressor: Compressor,
    on_step: OnStep | None = None,
    originals_of: Callable[[str], Originals] = default_originals,
) -> FastAPI:
    """The application. `on_step` is told what each answered call cost, for instance `LedgerFile.append`.

    `originals_of` gives the store of a tenant, where `settings.expand` is on. Raises `ConfigError` where the key or the tokens
    that `settings` name are missing, and for a compressor that keeps originals which nobody can ask for, or keeps none that
    models will ask for.
    """
    if (compressor.originals is not None) != settings.expand:
        raise ConfigError(
            "compressor", "one that keeps originals" if not settings.expand else "one without", f"as expand={settings.expand}"
        )
    gateway = Gateway(settings, compressor, on_step, originals_of)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await gateway.close()

    app = FastAPI(title="specprefill gateway", openapi_url=None, lifespan=lifespan)
    app.add_api_route("/healthz", _healthy, methods=["GET"])
    app.add_api_route(f"{BASE}/models", gateway.models, methods=["GET"])
    app.add_api_route(f"{BASE}/chat/completions", gateway.chat, methods=["POST"])
    app.add_exception_handler(Problem, _told)
    app.add_exception_handler(HTTPException, _told)
    return app


async def _healthy() -> Response:
    return JSONResponse({"status": "ok"})


async def _told(_: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        error = Problem(error.status_code, str(error.detail), error.headers or {})
    assert isinstance(error, Problem)
    return error.response()


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that the upstream is asked, since when `first` runs."""

    report: CallReport
    first: FirstChunk


class Gateway:
    """What the routes do. Used from one event loop."""

    def __init__(
        self, settings: GatewaySettings, compressor: Compressor, on_step: OnStep | None, originals_of: Callable[[str], Originals]
    ) -> None:
        self._settings = settings
        self._compressor = compressor
        self._access = Access(settings)
        self._bodies = BodyCompressor(compressor, settings, originals_of)
        self._accounts = Accounts(compressor, on_step, settings.max_tenants)
        self._workers = Workers(settings.workers, settings.max_waiting)
        self._upstream = Upstream(settings)

    async def models(self, request: Request) -> Response:
        """The upstream's models."""
        caller = self._access.caller(request.headers)
        return self._answer(partial(self._relay_models, request, caller))

    async def chat(self, request: Request) -> Response:
        """The upstream's answer to the request with its tool outputs compressed."""
        caller = self._access.caller(request.headers)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            # Other types a page in a browser may send anywhere without asking first.
            raise Problem(415, "the content type must be application/json")
        data = await read_body(request, self._settings)
        return self._answer(partial(self._relay_chat, request, caller, data))

    async def close(self) -> None:
        """Finish what was begun."""
        await self._upstream.close()
        self._workers.close()
        self._accounts.close()

    async def _relay_models(self, request: Request, caller: Caller, out: Outgoing) -> None:
        async with self._upstream.ask("GET", _path(request), request.headers.raw, caller.authorization) as answer:
            await self._relay(answer, [], None, out)

    async def _relay_chat(self, request: Request, caller: Caller, data: bytes, out: Outgoing) -> None:
        prepared = await self._workers.run(partial(self._prepare, data, caller))
        told = _headers(prepared.report.result.usage)
        ask = partial(self._upstream.ask, "POST", _path(request), request.headers.raw, caller.authorization)
        if prepared.originals is not None:
            loop = ExpandLoop(ask, self._workers.run, self._accounts, self._settings)
            await loop.relay(prepared, prepared.originals, told, out)
            return
        first = FirstChunk()
        async with ask(prepared.body) as answer:
            await self._relay(answer, told, _Call(prepared.report, first), out)

    def _prepare(self, data: bytes, caller: Caller) -> Prepared:
        prepared = self._bodies.prepare(data, caller)
        self._accounts.asked(prepared.report)
        return prepared

    async def _relay(self, answer: httpx.Response, told: list[tuple[bytes, bytes]], call: _Call | None, out: Outgoing) -> None:
        """Pass an answer on byte for byte as it comes; of one to a call, see that its cost is recorded."""
        await out.begin(answer.status_code, [*returned_headers(answer), *told])
        kind = answer.headers["content-type"] if call else ""
        held = Held(self._settings.max_answer_bytes if self._accounts.is_kept else 0)
        try:
            async for piece in answer.aiter_raw():
                held.add(piece)
                if call is not None and kind.startswith(STREAM):
                    call.first.came()
                await out.piece(piece)
            held.ends()
        finally:  # a client may leave when it has read the last event, before the stream itself has ended
            if call is not None and answer.status_code == 200 and held.is_whole:
                self._accounts.answered(call.report, held.data, kind, call.first.ms)
        await out.end()

    def _answer(self, relay: Callable[[Outgoing], Awaitable[None]]) -> Response:
        return WhileConnected(partial(self._guarded, relay), self._settings.client_timeout_s)

    async def _guarded(self, relay: Callable[[Outgoing], Awaitable[None]], out: Outgoing) -> None:
        """Relay; what goes wrong is told to the client where it has been told nothing, else the connection ends."""
        try:
            await relay(out)
            return
        except Problem as error:
            problem = error
            if out.has_begun:
                failed(self._compressor, EVENT, "a further turn", error)
        except httpx.HTTPError as error:
            problem = problem_of(error)
            failed(self._compressor, EVENT, "an answer of the upstream", error)
        except TimeoutError as error:
            problem = Problem(408, "the answer was not read")
            failed(self._compressor, EVENT, "sending to a client", error)
        except Exception as error:
            problem = Problem(500, f"a request failed ({type(error).__name__})")
            failed(self._compressor, EVENT, "a request", error)
        if not out.has_begun:
            response = problem.response()
            await out.begin(response.status_code, response.raw_headers)
            await out.piece(bytes(response.body))
            await out.end()


def _path(request: Request) -> str:
    """Of a request, below the base URL."""
    query = request.url.query
    return request.url.path.removeprefix(BASE) + (f"?{query}" if query else "")


def _headers(usage: Usage) -> list[tuple[bytes, bytes]]:
    """What was done to a request, as headers of its answer."""
    told = {"original-tokens": str(usage.original_tokens), "kept-tokens": str(usage.kept_tokens)}
    if usage.fallback_reason:
        told["fallback"] = " ".join((without_quotes(usage.fallback_reason) or "").split())
    return [(f"x-specprefill-{name}".encode(), value.encode("ascii", "replace")) for name, value in told.items()]
