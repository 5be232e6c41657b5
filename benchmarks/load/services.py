"""Services in processes of their own, with a score cache that is new, on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

START_S = 180.0


@dataclass(frozen=True, slots=True)
class Started:
    """A service that is ready: its address, its process, and the seconds until then."""

    url: str
    pid: int
    seconds: float


@contextmanager
def service(draft: str, more: Sequence[str] = ()) -> Iterator[Started]:
    """`specprefill serve` with this draft and `more` arguments, once it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "specprefill_agents.cli", "serve", "--port", str(port), "--draft", draft, *more]
    with running(command, port) as started:
        yield started


@contextmanager
def running(command: Sequence[str], port: int) -> Iterator[Started]:
    """A command that serves on `port` of loopback, once it is ready; it is ended by SIGTERM."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "SPECPREFILL_CACHE_DIR": f"{folder}/cache"}
        begun = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as process:
            url = f"http://127.0.0.1:{port}"
            try:
                _wait(url, process)
                yield Started(url, process.pid, time.perf_counter() - begun)
            finally:
                process.terminate()
                process.wait()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + START_S
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise RuntimeError(f"the service ended with status {process.returncode}")
        try:
            if httpx.get(f"{url}/readyz", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"the service was not ready within {START_S:g} s")
