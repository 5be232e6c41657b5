"""A real gateway on loopback, run by uvicorn in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from specprefill_agents import CompressionConfig, Compressor, Originals
from specprefill_agents.accounting.metering import OnStep
from specprefill_agents.gateway.app import create_app
from specprefill_agents.gateway.serving import server_of
from specprefill_agents.gateway.settings import GatewaySettings
from specprefill_agents.observe.audit import AuditLog
from specprefill_agents.observe.loopback import listening

LEXICAL: dict[str, Any] = {
    "scorer": "bm25",
    "keep_ratio": 0.2,
    "min_tokens": 0,
    "min_result_tokens": 0,
    "target_tokenizer": "o200k_base",
    "originals": False,
}


def lexical(audit: AuditLog | None = None, **settings: Any) -> Compressor:
    """A compressor as a gateway takes one, that scores with BM25."""
    return Compressor(config=CompressionConfig.from_dict({**LEXICAL, **settings}), cache="memory", audit=audit)


def in_memory(tenant: str) -> Originals:
    """A store of a tenant's own."""
    return Originals.in_memory(tenant=tenant)


@contextmanager
def running(
    upstream: str,
    compressor: Compressor | None = None,
    on_step: OnStep | None = None,
    originals_of: Callable[[str], Originals] = in_memory,
    **settings: Any,
) -> Iterator[str]:
    """Runs a gateway before `upstream` on a free port of 127.0.0.1; gives its base URL."""
    made = GatewaySettings(upstream=upstream, port=0, **settings)
    with listening(made.host, made.port) as socket:
        server = server_of(create_app(made, compressor or lexical(), on_step, originals_of), made)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{socket.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join()
