"""The scorer and the compressor as an ASGI application, the same on one host and on Ray Serve."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from specprefill_agents import __version__
from specprefill_agents.serving.openapi import COMPRESSED, IDENTITY, SCORED, STATUS, answers, body, compress_request, score_request
from specprefill_agents.serving.problems import Problem
from specprefill_agents.serving.service import Service
from specprefill_agents.serving.settings import ServiceSettings
from specprefill_agents.serving.work import Executing

PROBLEMS = (400, 401, 408, 413, 415, 422, 500, 503)
"""Statuses of a request that is not answered."""


def make_app(settings: ServiceSettings | None = None, executing: Executing | None = None) -> FastAPI:
    """An application with routes to score and to compress, probes, metrics and an OpenAPI document.

    It loads its draft when it is started. `executing` runs the work, in place of the application's own threads;
    `app.state.service` is the `Service` behind it. Raises `ConfigError` or `UnknownDraftError` for settings that cannot work.
    """
    settings = settings or ServiceSettings()
    service = Service(settings, executing)
    app = FastAPI(
        title="specprefill-agents",
        version=__version__,
        summary="Scores and compresses what agents read, with a small draft model.",
        lifespan=service.lifespan,
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
    )
    app.state.service = service
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http_problem)

    @app.post("/v1/score", responses=answers(SCORED, *PROBLEMS), openapi_extra=body(score_request(settings)), response_class=Response)
    async def score(request: Request) -> Response:
        """Importance of each token of each context for a query."""
        return await service.answer(request, service.engine.score)

    @app.post(
        "/v1/compress", responses=answers(COMPRESSED, *PROBLEMS), openapi_extra=body(compress_request(settings)), response_class=Response
    )
    async def compress(request: Request) -> Response:
        """What a query needs of the segments, as `specprefill compress --jsonl` answers a line."""
        return await service.answer(request, service.engine.compress)

    @app.get("/v1/scorer", responses=answers(IDENTITY, 401, 503), response_class=Response)
    async def scorer(request: Request) -> Response:
        """Which scorer this is."""
        service.check_token(request)
        service.check_ready()
        return JSONResponse(service.engine.identity())

    @app.get("/healthz", responses=answers(STATUS) | {503: answers(STATUS)[200]}, response_class=Response)
    async def healthz() -> Response:
        """Whether the process is alive and its draft did not fail to load."""
        has_failed = service.state == "failed"
        return JSONResponse({"status": "failed" if has_failed else "alive"}, 503 if has_failed else 200)

    @app.get("/readyz", responses=answers(STATUS) | {503: answers(STATUS)[200]}, response_class=Response)
    async def readyz() -> Response:
        """Whether the draft is loaded and has read a text."""
        return JSONResponse({"status": service.state}, 200 if service.state == "ready" else 503)

    @app.get("/metrics", responses={200: {"content": {"text/plain": {}}}, 401: answers({}, 401)[401]}, response_class=Response)
    async def metrics(request: Request) -> Response:
        """Counters for Prometheus."""
        service.check_token(request)
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return app


async def _problem(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    return problem.response()


async def _http_problem(_: Request, error: Exception) -> Response:
    """No such route, or no such method there."""
    assert isinstance(error, HTTPException)
    response = Problem(error.status_code, "no_route", str(error.detail)).response()
    response.headers.update(error.headers or {})
    return response
