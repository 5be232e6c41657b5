"""The scorer service in a process of its own on a port that stays the same, which can be killed, frozen, ended and started again."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeAlias

import httpx

from benchmarks.store_faults.worker import variables

Engine: TypeAlias = Literal["uvicorn", "ray"]
REPLICAS = 2


class LocalService:
    """A service of `scorer` over `draft` on a free port of loopback; each start has a score cache of its own in `folder`."""

    def __init__(self, folder: Path, draft: str, scorer: str, engine: Engine = "uvicorn") -> None:
        self.port = _free_port()
        self._folder = folder
        self._command = _COMMANDS[engine](self.port, draft, scorer)
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is to be found, running or not."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def has_ended(self) -> bool:
        """Whether there is no process, or none any more."""
        return self._process is None or self._process.poll() is not None

    def is_ready(self) -> bool:
        """Whether it takes requests. Raises RuntimeError when it ended by itself."""
        if self.has_ended:
            raise RuntimeError(f"the service ended:\n{self._errors.read_text(encoding='utf-8', errors='replace')[-2_000:]}")
        try:
            return httpx.get(f"{self.url}/readyz", trust_env=False, timeout=1).status_code == 200
        except httpx.TransportError:
            return False

    def start(self) -> None:
        """Begin to start; returns at once."""
        self._starts += 1
        cache = str(self._folder / f"service-{self._starts}")
        environment = {**os.environ, **variables(self._folder), "SPECPREFILL_CACHE_DIR": cache, "OMP_NUM_THREADS": "1"}
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=errors, env=environment)

    def kill(self) -> None:
        """End it at once, as a lost machine would."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def end(self) -> None:
        """Ask it to end once its requests are answered; returns at once."""
        self._signal(signal.SIGTERM)

    def freeze(self) -> None:
        """Let it take connections and answer nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it answer again."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    @property
    def _errors(self) -> Path:
        return self._folder / "service.err"

    def __enter__(self) -> LocalService:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.end()
        if self._process is not None:
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()


def kill_replica(chance: random.Random) -> str:
    """End one replica on Ray Serve, whatever it is doing; returns its name."""
    import ray

    if not ray.is_initialized():
        ray.init(address="auto", logging_level="error")
    names = sorted(
        actor["name"] for actor in ray.util.list_named_actors(all_namespaces=True) if actor["name"].startswith("SERVE_REPLICA::")
    )
    name = chance.choice(names)
    ray.kill(ray.get_actor(name, namespace="serve"))
    return name


def _uvicorn(port: int, draft: str, scorer: str) -> Sequence[str]:
    return [sys.executable, "-m", "specprefill_agents.cli", "serve", "--port", str(port), "--draft", draft, "--scorer", scorer]


def _ray(port: int, draft: str, scorer: str) -> Sequence[str]:
    return [sys.executable, "-m", "benchmarks.load.replicas", str(port), draft, str(REPLICAS), scorer]


_COMMANDS = {"uvicorn": _uvicorn, "ray": _ray}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
