"""Runs the service on one host with uvicorn: loopback unless there is a token, nothing of requests in its log, a graceful end."""

from __future__ import annotations

from collections.abc import Callable

import uvicorn

from specprefill_agents.observe.loopback import listening, url_of
from specprefill_agents.serving.app import make_app
from specprefill_agents.serving.service import Service
from specprefill_agents.serving.settings import Address, ServiceSettings, check_host


def server(settings: ServiceSettings, address: Address) -> uvicorn.Server:
    """A server that is not started. Raises `ConfigError` for an address that needs a token, or settings that cannot work."""
    check_host(address.host, settings.token)
    return uvicorn.Server(
        uvicorn.Config(
            make_app(settings),
            host=address.host,
            port=address.port,
            access_log=False,
            log_level="warning",
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=address.drain_s,
            limit_concurrency=address.max_connections,
        )
    )


def run(settings: ServiceSettings, address: Address, begun: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; then take no more, and end what was begun. `begun` is told the URL once it listens.

    Raises `OSError` where it cannot listen, and what loading the draft raises.
    """
    made = server(settings, address)
    service: Service = made.config.app.state.service  # type: ignore[union-attr]

    def end() -> None:
        made.should_exit = True

    service.when_failed = end
    with listening(address.host, address.port) as socket:
        begun(url_of(socket))
        made.run(sockets=[socket])
    if service.failure is not None:
        raise service.failure
