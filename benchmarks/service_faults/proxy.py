"""A proxy on loopback before a service, which can be told to be slow, to talk nonsense, to refuse, or to hang up."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any, Literal, TypeAlias

Mood: TypeAlias = Literal["well", "late", "nonsense", "busy", "cut"]

LATE_S = 5.0
UPSTREAM_S = 120.0


class Proxy:
    """Passes requests to `port` of loopback, each in the `mood` of the moment that it comes in."""

    def __init__(self, port: int, random: Random) -> None:
        self.mood: Mood = "well"
        self.random = random
        self.port = port
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        """Answers in threads until the end."""
        with self._server:
            thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
            thread.start()
            try:
                yield self
            finally:
                self._server.shutdown()
                thread.join()

    def nonsense(self) -> bytes:
        """What no service says."""
        score = {"tokens": 1, "offsets": "AAAA", "scores": "////"}
        return self.random.choice(
            (
                self.random.randbytes(200),
                b"",
                b"null",
                b"[" * 100_000,
                b'{"scorer": "another", "scores": []}',
                json.dumps({"scorer": None, "scores": [score, None]}).encode(),
                b"<html><body>A page</body></html>",
            )
        )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # threads may wait for a service that is frozen
    proxy: Proxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hung up are none of its errors."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._relay("GET", None)

    def do_POST(self) -> None:
        self._relay("POST", self.rfile.read(int(self.headers["Content-Length"])))

    def _relay(self, method: str, body: bytes | None) -> None:
        mood = self.server.proxy.mood
        if mood == "nonsense":
            self._say(200, self.server.proxy.nonsense())
        elif mood == "busy":
            self._say(503, b"{}")
        else:
            if mood == "late":
                time.sleep(LATE_S)
            try:
                status, answer = self._asked(method, body)
            except (OSError, http.client.HTTPException):
                self.close_connection = True  # as the service does that is not there
                return
            self._say(status, answer, cut=mood == "cut")

    def _asked(self, method: str, body: bytes | None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.proxy.port, timeout=UPSTREAM_S)
        try:
            connection.request(method, self.path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _say(self, status: int, body: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base names it
        """Says nothing."""
