"""The one upstream of a gateway: asked with the client's own headers, less those that are none of its business."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from specprefill_agents.gateway.problems import Problem
from specprefill_agents.gateway.settings import GatewaySettings

Headers = Sequence[tuple[bytes, bytes]]

_OWN_PREFIX = b"x-specprefill-"
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade".split()
)
_NOT_SENT = _HOP_BY_HOP | frozenset(b"accept-encoding authorization content-length cookie expect forwarded host".split())
_NOT_RETURNED = _HOP_BY_HOP | frozenset(b"set-cookie alt-svc strict-transport-security".split())
_JSON_OR_STREAM = ("application/json", "text/event-stream")


class Upstream:
    """A client of `settings.upstream`. It follows no redirects, keeps no cookies, and tries nothing twice."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._base = settings.upstream.rstrip("/")
        silence = settings.upstream_timeout_s
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(silence, connect=settings.connect_timeout_s),
            limits=httpx.Limits(max_connections=settings.max_connections),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # one caller's must not go out with another's request
            follow_redirects=False,
        )

    @asynccontextmanager
    async def ask(
        self, method: str, path: str, headers: Headers, authorization: str | None, body: bytes | None = None
    ) -> AsyncIterator[httpx.Response]:
        """The answer to a request, still unread; leaving closes it. Raises `Problem` where there is none, or none that can be passed on."""
        sent = [(name, value) for name, value in headers if name not in _NOT_SENT and not name.startswith((_OWN_PREFIX, b"x-forwarded-"))]
        sent.append((b"accept-encoding", b"identity"))
        if authorization is not None:
            sent.append((b"authorization", authorization.encode("latin-1")))
        try:
            request = self._client.build_request(method, self._base + path, headers=sent, content=body)
            answer = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise problem_of(error) from error
        try:
            _check(answer)
            yield answer
        finally:
            await answer.aclose()

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()


def returned_headers(answer: httpx.Response) -> list[tuple[bytes, bytes]]:
    """The headers of an answer that are for the client."""
    return [(name.lower(), value) for name, value in answer.headers.raw if name.lower() not in _NOT_RETURNED]


def problem_of(error: httpx.HTTPError) -> Problem:
    """What a client is told of an upstream that cannot be reached, says nothing, or stops in the middle."""
    if isinstance(error, httpx.TimeoutException):
        return Problem(504, "the upstream did not answer in time")
    return Problem(502, f"the upstream could not be asked ({type(error).__name__})")


def _check(answer: httpx.Response) -> None:
    """Raises `Problem` for an answer that no client of this API can read; its status stays where it is an error's."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if answer.status_code < 400 and (answer.status_code >= 300 or kind not in _JSON_OR_STREAM):
        what = f"status {answer.status_code}" if answer.status_code >= 300 else "something other than JSON"
        raise Problem(502, f"the upstream answered with {what}")
    if answer.status_code >= 400 and kind == "text/html":
        raise Problem(answer.status_code, f"the upstream answered with status {answer.status_code} and a page", _retry(answer.headers))


def _retry(headers: Mapping[str, str]) -> dict[str, str]:
    return {"retry-after": headers["retry-after"]} if "retry-after" in headers else {}
