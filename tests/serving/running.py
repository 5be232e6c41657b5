"""The service on a free port of loopback, in a thread or in a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from specprefill_agents import CompressionConfig
from specprefill_agents.serving.service import Service
from specprefill_agents.serving.settings import Address, ServiceSettings
from specprefill_agents.serving.single_host import server

BM25 = CompressionConfig(scorer="bm25", min_tokens=0, min_result_tokens=0, target_tokenizer="o200k_base")


@dataclass(frozen=True)
class Running:
    """A service that listens."""

    url: str
    port: int
    service: Service
    client: httpx.Client


@contextmanager
def serving(settings: ServiceSettings | None = None, *, waits: bool = True, port: int = 0) -> Iterator[Running]:
    """Runs a service that scores by BM25 unless `settings` say otherwise; once it is ready, unless told not to wait.

    With `port` 0 on a free one.
    """
    made = server(settings or ServiceSettings(config=BM25), Address())
    service: Service = made.config.app.state.service  # type: ignore[union-attr]
    with socket.create_server(("127.0.0.1", port)) as listening:
        port = listening.getsockname()[1]
        thread = threading.Thread(target=made.run, args=([listening],), daemon=True)
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
                if waits:
                    assert service.loaded.wait(30)
                    assert service.state == "ready"
                yield Running(f"http://127.0.0.1:{port}", port, service, client)
        finally:
            made.should_exit = True
            thread.join()


@contextmanager
def serving_process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`specprefill serve` on a free port, and its address, once it is ready."""
    command = [sys.executable, "-m", "specprefill_agents.cli", "serve", "--port", "0", "--scorer", "bm25", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            url = process.stderr.readline().removeprefix("specprefill: serving bm25 on ").strip()
            with httpx.Client(timeout=30, trust_env=False) as client:
                while client.get(f"{url}/readyz").status_code != 200:
                    pass
            yield process, url
        finally:
            if process.poll() is None:
                process.kill()


def raw(port: int, sent: bytes, *, closes: bool = False) -> bytes:
    """What a server on this port says to these bytes, up to the end of the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(sent)
        if closes:
            connection.shutdown(socket.SHUT_WR)
        said = bytearray()
        while piece := connection.recv(65_536):
            said += piece
    return bytes(said)


def problem(response: httpx.Response) -> tuple[int, str]:
    """Status and code of a refused request."""
    answered: dict[str, Any] = response.json()
    assert set(answered) == {"error"}
    assert set(answered["error"]) == {"code", "message"}
    return response.status_code, answered["error"]["code"]
