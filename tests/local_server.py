"""transformers' own OpenAI-compatible server over a local model, in a process of its own, and what it was sent.

A recorder stands in front of it: each request goes through byte for byte and is kept, each answer comes back as it is made.
"""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Any

from tests.loopback import running
from tests.openai_server import Recorded

RUNNING = re.compile(r"Uvicorn running on http://127\.0\.0\.1:(\d+)")


@contextmanager
def serving_model(directory: str) -> Iterator[Recorded]:
    """Runs the server on a free port of 127.0.0.1; its model is loaded before it answers."""
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", directory]
    command += ["--host", "127.0.0.1", "--port", "0", "--device", "cpu", "--dtype", "float32"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as process:
        assert process.stdout
        port = _port(process.stdout)
        # Its log is read on, or the server would stop at a full pipe.
        reader = threading.Thread(target=process.stdout.read, daemon=True)
        reader.start()
        try:
            with _recording(port) as recorded:
                yield recorded
        finally:
            process.terminate()
            process.wait()
            reader.join()


def _port(log: IO[str]) -> int:
    """The port that the server found, once it answers."""
    said: list[str] = []
    for line in log:
        said.append(line)
        if found := RUNNING.search(line):
            return int(found[1])
    raise AssertionError("the server did not start:\n" + "".join(said))


@contextmanager
def _recording(upstream: int) -> Iterator[Recorded]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Recorder)
    with running(server) as url:
        recorded = Recorded(f"{url}/v1")
        server.recorded, server.upstream = recorded, upstream  # type: ignore[attr-defined]
        yield recorded


class _Recorder(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.recorded.bodies.append(body)  # type: ignore[attr-defined]
        connection = http.client.HTTPConnection("127.0.0.1", self.server.upstream)  # type: ignore[attr-defined]
        connection.request("POST", self.path, body, {"Content-Type": self.headers["Content-Type"]})
        answer = connection.getresponse()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Connection", "close")
        self.end_headers()
        while piece := answer.read1():
            self.wfile.write(piece)
        connection.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base names it
        """Says nothing."""
