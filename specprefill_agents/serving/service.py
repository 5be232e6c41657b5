"""Service: an engine behind HTTP. Limits, readiness, counting, and errors that say nothing of what was sent."""

from __future__ import annotations

import asyncio
import hmac
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

from fastapi import FastAPI, Request, Response

from specprefill_agents.errors import SpecPrefillError
from specprefill_agents.serving.bodies import read_body
from specprefill_agents.serving.engine import Engine
from specprefill_agents.serving.metrics import ServiceMetrics
from specprefill_agents.serving.problems import ClientGone, Problem
from specprefill_agents.serving.settings import ServiceSettings
from specprefill_agents.serving.work import RETRY_AFTER_S, Answering, Executing, Work

logger = logging.getLogger("specprefill_agents.serving")

CLIENT_GONE = 499
"""The status under which a request is counted whose client did not wait."""


class Service:
    """State of one application. `state` is `loading`, then `ready` or `failed`; `loaded` is set once it is one of those.

    Of a failure, `failure` keeps the error, and `when_failed` is called: a command ends then, a probe would see it.
    """

    def __init__(self, settings: ServiceSettings, executing: Executing | None = None) -> None:
        self.engine = Engine(settings)
        self.state: Literal["loading", "ready", "failed"] = "loading"
        self.failure: Exception | None = None
        self.when_failed: Callable[[], None] = lambda: None
        self.loaded = threading.Event()
        self._settings = settings
        self._work = Work(settings.threads, settings.max_waiting, settings.time_limit_s, executing)
        self.metrics = ServiceMetrics(lambda: self._work.taken, lambda: self.state == "ready")

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Loads beside the event loop, so that probes are answered meanwhile; at the end waits for what was begun."""
        loading = asyncio.create_task(self._load())
        try:
            yield
        finally:
            loading.cancel()
            self._work.close()

    async def _load(self) -> None:
        try:
            await self._work.load(self.engine.load)
        except Exception as error:
            self.state, self.failure = "failed", error
            logger.error("the scorer could not be loaded: %s", _said(error))
            self.when_failed()
        else:
            self.state = "ready"
        self.loaded.set()

    def check_token(self, request: Request) -> None:
        """Raise `Problem` unless the request carries the token, where there is one."""
        token = self._settings.token
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if token is not None and not (scheme.lower() == "bearer" and hmac.compare_digest(given.encode("latin-1"), token.encode())):
            raise Problem(401, "unauthorized", "a bearer token is needed")

    def check_ready(self) -> None:
        """Raise `Problem` until the draft has read a text."""
        if self.state != "ready":
            raise Problem(503, self.state, "the scorer is being loaded" if self.state == "loading" else "the scorer failed", RETRY_AFTER_S)

    async def answer(self, request: Request, function: Answering) -> Response:
        """What `function` makes of the request's body, or the problem with it. Counted either way."""
        started = time.perf_counter()
        try:
            response = await self._answer(request, function)
        except Problem as problem:
            response = problem.response()
        except ClientGone:
            response = Response(status_code=CLIENT_GONE)
        except Exception as error:
            # Its text may quote what was scored, so the type alone is said, here and to the client.
            logger.error("%s failed: %s", request.url.path, _said(error))
            response = Problem(500, "internal", "the request could not be worked on").response()
        self.metrics.answered(request.url.path, response.status_code, time.perf_counter() - started)
        return response

    async def _answer(self, request: Request, function: Answering) -> Response:
        self.check_token(request)
        self.check_ready()
        with self._work.place():
            body = await read_body(request, self._settings.max_body_bytes, self._settings.body_limit_s)
            return Response(await self._work.run(function, body, _gone(request)), media_type="application/json")


async def _gone(request: Request) -> None:
    """Returns when the client has closed the connection; the body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _said(error: Exception) -> str:
    """An error without what it may quote: this library's own with its text, of others the type."""
    is_own = isinstance(error, (SpecPrefillError, ImportError))
    return f"{type(error).__name__}: {error}" if is_own else type(error).__name__
