"""The dashboard's server: this machine only, one reader of the files, nothing to write to.

Addresses begin with a secret word, as other users of the machine can reach the port too, and a request must name this host,
so that no page from elsewhere can ask under a name of its own.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from specprefill_agents.observe.dashboard.board import Board
from specprefill_agents.observe.dashboard.detail import MakeScorer, NoHeatMap, detail_of, heat_map
from specprefill_agents.observe.dashboard.page import policy, render_dashboard
from specprefill_agents.observe.dashboard.view import Filters, view_of
from specprefill_agents.observe.explain import visible

HOST: Final = "127.0.0.1"
POLL_MS = 2_000
_JSON = "application/json"
_HTML = "text/html; charset=utf-8"


class Answers:
    """What the page is told. Safe to share between threads: one of them reads files at a time, one makes heat maps."""

    def __init__(self, board: Board, make_scorer: MakeScorer, poll_ms: int = POLL_MS, now: Callable[[], float] = time.time) -> None:
        self._board = board
        self._make_scorer = make_scorer
        self._poll_ms = poll_ms
        self._now = now
        self._lock = threading.Lock()
        self._scoring = threading.Lock()

    def page(self) -> str:
        """The page with all in view."""
        return render_dashboard(self._data(Filters()), is_live=True)

    def static_page(self, filters: Filters) -> str:
        """A page that needs no server: one view, and the details of the decisions listed in it."""
        data = self._data(filters)
        found = [(row["id"], self._board.record_of(row["id"])) for row in data["view"]["decisions"]]
        details = {str(number): detail_of(one[1]) for number, one in found if one}
        return render_dashboard({**data, "details": details}, is_live=False)

    def view(self, filters: Filters, known: str) -> tuple[str, dict[str, Any] | None]:
        """What is in view, and its tag; None where that is `known`."""
        with self._lock:
            self._board.look()
            tag = f'"{self._board.version}-{int(self._now() // 60) if filters.seconds else 0}"'
            return tag, None if tag == known else self._view(filters)

    def detail(self, number: int) -> dict[str, Any] | None:
        """One decision; None where it is gone."""
        with self._lock:
            found = self._board.record_of(number)
        return detail_of(found[1]) if found else None

    def heat_map(self, number: int) -> str:
        """The heat map of one decision. Raises `NoHeatMap` and ImportError."""
        with self._lock:
            found = self._board.record_of(number)
            settings = dict(self._board.settings)
        if found is None:
            raise NoHeatMap("the record is gone: its file was removed")
        with self._scoring:
            return heat_map(found[1], settings, self._make_scorer)

    def _data(self, filters: Filters) -> dict[str, Any]:
        with self._lock:
            self._board.look()
            view = self._view(filters)
            return {"view": view, "files": [path.name for path in self._board.files], "poll_ms": self._poll_ms}

    def _view(self, filters: Filters) -> dict[str, Any]:
        now = self._now()
        return {**view_of(self._board.rows, filters, now), "now": now, "unreadable": self._board.unreadable_lines}


class DashboardServer(ThreadingHTTPServer):
    """Serves one board at `url` on this machine; port 0 takes a free one. Raises OSError where the port is taken."""

    daemon_threads = True

    def __init__(self, answers: Answers, port: int = 0) -> None:
        self.answers = answers
        self.word = secrets.token_urlsafe(12)
        super().__init__((HOST, port), _Handler)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/{self.word}/"


class _Handler(BaseHTTPRequestHandler):
    server: DashboardServer
    timeout = 60

    def do_GET(self) -> None:
        """Answer one request."""
        url = urlsplit(self.path)
        word, _, name = url.path.removeprefix("/").partition("/")
        host = self.headers.get("Host", "")
        if host not in {f"{HOST}:{self.server.server_port}", f"localhost:{self.server.server_port}"}:
            self._say(HTTPStatus.FORBIDDEN, "text/plain", "another host")
        elif not secrets.compare_digest(word.encode(), self.server.word.encode()):
            self._say(HTTPStatus.NOT_FOUND, "text/plain", "no such page")
        else:
            self._answer(name, {key: values[-1] for key, values in parse_qs(url.query, errors="surrogatepass").items()})

    def _answer(self, name: str, asked: dict[str, str]) -> None:
        answers = self.server.answers
        if name == "":
            self._say(HTTPStatus.OK, _HTML, answers.page(), policy(is_live=True) + "; frame-ancestors 'none'")
        elif name == "view.json":
            filters = Filters(asked.get("conversation", ""), asked.get("tool", ""), _number(asked.get("seconds")))
            tag, view = answers.view(filters, self.headers.get("If-None-Match", ""))
            status = HTTPStatus.OK if view else HTTPStatus.NOT_MODIFIED
            self._say(status, _JSON, json.dumps(view) if view else "", tag=tag)
        elif name == "decision.json":
            found = answers.detail(int(_number(asked.get("id"), -1)))
            self._say(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND, _JSON, json.dumps(found))
        elif name == "heatmap":
            self._heat_map(int(_number(asked.get("id"), -1)))
        else:
            self._say(HTTPStatus.NOT_FOUND, "text/plain", "no such page")

    def _heat_map(self, number: int) -> None:
        try:
            # The page has a policy of its own in it.
            self._say(HTTPStatus.OK, _HTML, self.server.answers.heat_map(number), "frame-ancestors 'self'")
        except (NoHeatMap, ImportError) as error:
            self._say(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", f"No heat map: {visible(str(error))}")

    def _say(self, status: HTTPStatus, kind: str, body: str, policy: str = "default-src 'none'", tag: str = "") -> None:
        data = body.encode("utf-8", "backslashreplace")
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(data)),
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            **({"ETag": tag} if tag else {}),
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if status is not HTTPStatus.NOT_MODIFIED:
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Requests are not logged: their address holds the secret word."""


def _number(given: str | None, otherwise: float = 0) -> float:
    try:
        found = float(given or otherwise)
    except ValueError:
        return otherwise
    return found if abs(found) < 1e12 else otherwise
