"""What is said to a worker and what it answers: one JSON object a line, a greeting first, then one reply per request."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

from benchmarks.peers.environment import PeerError

STDERR_CHARS = 1_000


@dataclass(frozen=True, slots=True)
class Request:
    """Texts to compress together for a question. `budget_tokens` of `context_tokens` may be kept, both in target tokens."""

    contexts: tuple[str, ...]
    question: str
    budget_tokens: int
    context_tokens: int


@dataclass(frozen=True, slots=True)
class Reply:
    """The compressed text, or the error the peer ended with; `seconds` is what the peer took."""

    text: str | None
    error: str | None
    seconds: float


class Worker:
    """A running worker; use as a context manager. Requests are answered in turn.

    `greeting` is what the worker said of itself at the start: its versions. Raises `PeerError` when it ends early.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115, closed with the worker
        self._process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=dict(environment), encoding="utf-8"
        )
        try:
            self.greeting: dict[str, str] = self._read()["ready"]
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def ask(self, request: Request) -> Reply:
        """Compress one request."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(asdict(request)) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PeerError(self._ended()) from None
        return Reply(**self._read())

    def close(self) -> None:
        """End the worker and wait for it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it ended with a request unread
            self._process.stdin.close()
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise PeerError(self._ended())
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise PeerError(f"the worker wrote a line that is no JSON object: {line[:200]!r}")
        return answer

    def _ended(self) -> str:
        self._process.wait()
        self._log.seek(0)
        said = self._log.read().decode("utf-8", "replace").strip()
        return f"the worker ended with status {self._process.returncode}: {said[-STDERR_CHARS:]}"
