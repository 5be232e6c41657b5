"""An answer on its way to a client: work ends when the client leaves, and waits for one that reads slowly, but not for ever."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send


class Outgoing:
    """The way to a client: `has_begun` once it was told a status. Raises `TimeoutError` where it leaves unread what it is sent."""

    def __init__(self, send: Send, timeout_s: float) -> None:
        self._send = send
        self._timeout_s = timeout_s
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        """Send what a server interface sends."""
        self.has_begun = True
        with anyio.fail_after(self._timeout_s):
            await self._send(message)

    async def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the status and the headers."""
        await self({"type": "http.response.start", "status": status, "headers": headers})

    async def piece(self, data: bytes) -> None:
        """Send some of the body."""
        await self({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """Nothing follows."""
        await self({"type": "http.response.body", "body": b"", "more_body": False})


class WhileConnected(Response):
    """A response that `work` sends; the work is cancelled when the client disconnects."""

    def __init__(self, work: Callable[[Outgoing], Awaitable[None]], timeout_s: float) -> None:
        super().__init__()
        self._work = work
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an application of a server interface; the body of the request has been read."""
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(watch)
            await self._work(Outgoing(send, self._timeout_s))
            group.cancel_scope.cancel()
