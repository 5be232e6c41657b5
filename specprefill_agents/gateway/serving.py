"""A gateway as a server of its own, made from its settings alone."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI

from specprefill_agents.accounting.ledger_file import LedgerFile
from specprefill_agents.compressor import Compressor
from specprefill_agents.gateway.app import create_app
from specprefill_agents.gateway.settings import GatewaySettings
from specprefill_agents.guardrails.settings_file import load_guardrails
from specprefill_agents.observe.audit import JsonlAudit


def app_from(settings: GatewaySettings) -> FastAPI:
    """The application with a compressor of its own, whose draft is loaded here: a missing one is an error at once.

    Raises `ConfigError`, or what loading the draft raises.
    """
    compressor = Compressor(
        settings.draft,
        settings.compression,
        audit=JsonlAudit(settings.audit) if settings.audit else None,
        guardrails=load_guardrails(settings.guardrails) if settings.guardrails else None,
    )
    app = create_app(settings, compressor, LedgerFile(settings.ledger).append if settings.ledger else None)
    compressor.load()
    return app


def server_of(app: FastAPI, settings: GatewaySettings) -> uvicorn.Server:
    """A server of `app`, to be run over a socket that listens; it logs no requests."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,  # both are the upstream's
        limit_concurrency=settings.max_connections,
        timeout_graceful_shutdown=5,
        proxy_headers=False,
        lifespan="on",
        ws="none",
    )
    return uvicorn.Server(config)
