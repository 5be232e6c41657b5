"""Every reply of a peer, kept in a file beside its environment, so that no text is ever compressed twice.

A peer may need minutes for one row. An interrupted run takes up again behind its last reply, and a change of the metrics
costs no second run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from benchmarks.peers.protocol import Reply, Request, Worker


class Journal:
    """Replies in a file that only grows, one JSON object a line, by a hash of the request and of `subject`, all that decides an answer."""

    def __init__(self, file: Path, subject: Mapping[str, str]) -> None:
        self._file = file
        self._subject = dict(subject)
        self._held: dict[str, Reply] = {}
        for line in file.read_text(encoding="utf-8").split("\n") if file.is_file() else ():
            try:
                row = json.loads(line)
                self._held[row["key"]] = Reply(**row["reply"])
            except (ValueError, KeyError, TypeError):
                continue  # a run that was killed may have left a line half written

    def get(self, request: Request) -> Reply | None:
        """The reply to `request`, if there is one."""
        return self._held.get(self._key(request))

    def put(self, request: Request, reply: Reply) -> None:
        """Keep `reply` at once."""
        key = self._key(request)
        self._held[key] = reply
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8", newline="\n") as lines:
            lines.write("\n" + json.dumps({"key": key, "reply": asdict(reply)}))

    def _key(self, request: Request) -> str:
        canonical = json.dumps([self._subject, asdict(request)], sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:32]


class Peer:
    """Answers from the journal, and starts the worker when that does not suffice. Use as a context manager."""

    def __init__(self, start: Callable[[], Worker], journal: Journal) -> None:
        self._start = start
        self._journal = journal
        self._worker: Worker | None = None

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._worker is not None:
            self._worker.close()

    def compress(self, request: Request) -> Reply:
        """The reply to `request`. Raises `PeerError` when the worker fails; an error of the peer itself is a reply."""
        held = self._journal.get(request)
        if held is None:
            self._worker = self._worker or self._start()
            held = self._worker.ask(request)
            self._journal.put(request, held)
        return held
