"""The same application in replicas on Ray Serve: as many as the queue asks for, each with a draft that has read a text.

Requests reach a replica's threads in batches of about `BATCH_TOKENS` tokens, so that what a replica has taken on is bounded in
tokens, not in requests; the price is that what comes next waits for a whole batch. The draft still reads text by text: one pass
over several texts would change the last bits of their scores, and with them what a decision says. Replicas on one host share
stored keys through the user's score cache.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from ray import serve

from specprefill_agents.serving.app import make_app
from specprefill_agents.serving.engine import Engine
from specprefill_agents.serving.settings import Address, ServiceSettings, check_host
from specprefill_agents.serving.work import Answering

BATCH_TOKENS = 16_384
BYTES_PER_TOKEN = 4
"""About; a batch is bounded before anything is tokenized."""
BATCH_WAIT_S = 0.005
TARGET_REQUESTS = 4.0
"""Requests in a replica, waiting or worked on, that autoscaling aims at."""


@dataclass(frozen=True, slots=True)
class _Job:
    function: Answering
    body: bytes


def batch_tokens(jobs: Sequence[_Job]) -> int:
    """About how many tokens the bodies of `jobs` have; each at least one, and none more than a batch holds."""
    return sum(min(BATCH_TOKENS, 1 + len(job.body) // BYTES_PER_TOKEN) for job in jobs)


class Batches:
    """Runs what one application is asked, in batches, in `threads` threads."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="specprefill-batch")

    async def __call__(self, function: Answering, body: bytes) -> bytes:
        """`function(body)`. Raises what that raises."""
        answered: bytes | Exception = await self._run(_Job(function, body))
        if isinstance(answered, Exception):
            raise answered
        return answered

    @serve.batch(max_batch_size=BATCH_TOKENS, batch_size_fn=batch_tokens, batch_wait_timeout_s=BATCH_WAIT_S)
    async def _run(self, jobs: list[_Job]) -> list[bytes | Exception]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(self._threads, _answered, job) for job in jobs))


def _answered(job: _Job) -> bytes | Exception:
    """One job's problem is not that of the batch."""
    try:
        return job.function(job.body)
    except Exception as error:
        return error


def loaded_app(settings: ServiceSettings) -> FastAPI:
    """The application of one replica. Blocks until its draft has read a text, so that no request meets a cold one."""
    app = make_app(settings, Batches(settings.threads))
    app.state.service.engine.load()
    return app


def deployment(settings: ServiceSettings, max_replicas: int, *, min_replicas: int = 1, drain_s: float = 30) -> Any:
    """A Ray Serve application of `min_replicas` to `max_replicas` replicas, by the length of their queues."""

    def build() -> FastAPI:  # Ray takes an object of any other kind for an application itself
        return loaded_app(settings)

    made = serve.deployment(
        serve.ingress(build)(),
        name="specprefill",
        max_ongoing_requests=settings.threads + settings.max_waiting,
        max_queued_requests=settings.max_waiting,
        autoscaling_config={"min_replicas": min_replicas, "max_replicas": max_replicas, "target_ongoing_requests": TARGET_REQUESTS},
        graceful_shutdown_timeout_s=drain_s,
    )
    return made.bind()


def run(settings: ServiceSettings, address: Address, max_replicas: int, begun: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, on the Ray cluster that is running, else on one of this machine.

    `begun` is told the URL once a replica answers. Raises `ConfigError` or `UnknownDraftError` for settings that cannot work.
    """
    check_host(address.host, settings.token)
    Engine(settings)  # so that what cannot work is said here, not by a replica
    serve.start(http_options={"host": address.host, "port": address.port, "request_timeout_s": settings.time_limit_s})
    ended = threading.Event()
    # Not before Ray has set its own, after whose SIGTERM the process aborts.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        serve.run(deployment(settings, max_replicas, drain_s=address.drain_s), name="specprefill", route_prefix="/")
        begun(f"http://{address.host}:{address.port}")
        ended.wait()
    finally:
        serve.shutdown()
