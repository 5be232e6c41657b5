"""One request of a client, and as many of the upstream as its model calls `expand` before it answers."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from specprefill_agents.accounting.first_chunk import FirstChunk
from specprefill_agents.gateway.answers import STREAM, is_late, read_answer, value_of
from specprefill_agents.gateway.compressing import Prepared
from specprefill_agents.gateway.expanding import answered, calls_of, events_without_own, with_usage, without_own
from specprefill_agents.gateway.metering import Accounts
from specprefill_agents.gateway.problems import Problem
from specprefill_agents.gateway.relaying import Outgoing
from specprefill_agents.gateway.settings import GatewaySettings
from specprefill_agents.gateway.upstream import returned_headers
from specprefill_agents.storage.originals import Originals

_END_OF_EVENT = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class _Turn:
    """An answer that was read: all of it, and the pieces that the client has not been sent."""

    data: bytes
    held: list[bytes]


@dataclass(frozen=True, slots=True)
class ExpandLoop:
    """Asks on while a model only expands, and passes on what it says to the client.

    `ask` sends a body to the upstream; `run` runs work in a thread. The texts of a stream are passed on as they come, its calls
    when it has ended; an answer in one piece is the last turn's. The usage told is that of all turns.
    """

    ask: Callable[[bytes], AbstractAsyncContextManager[httpx.Response]]
    run: Callable[[Callable[[], Any]], Awaitable[Any]]
    accounts: Accounts
    settings: GatewaySettings

    async def relay(self, prepared: Prepared, originals: Originals, told: list[tuple[bytes, bytes]], out: Outgoing) -> None:
        """Ask, and pass on the answer. Raises `Problem` or an error of httpx where a turn fails."""
        usages: list[object] = []
        turns: list[Any] = []
        current = prepared
        while True:
            first = FirstChunk()
            async with self.ask(current.body) as answer:
                kind = answer.headers["content-type"]
                if answer.status_code != 200:
                    await self._refused(answer, told, out)
                    return
                is_stream = kind.startswith(STREAM)
                headers = [(name, value) for name, value in returned_headers(answer) if name != b"content-length"]
                if is_stream and not out.has_begun:
                    await out.begin(200, [*headers, *told])
                turn = await self._read(answer, first, out if is_stream else None)
            try:
                found = read_answer(turn.data, kind)
            except ValueError as error:
                raise Problem(502, f"{error}") from error
            self.accounts.answered(current.report, turn.data, kind, first.ms)
            own, others = calls_of(found.message)
            if own and not others and len(usages) < self.settings.max_expansions:
                usages.append(found.usage)
                turns += await self.run(partial(answered, found.message, originals))
                current = await self.run(partial(self._continued, prepared, list(turns)))
                continue
            if is_stream:
                await self._finish_stream(turn, found.message if own else None, usages, out)
            else:
                await out.begin(200, [*headers, *told])
                await out.piece(_rewritten(turn.data, bool(own), usages))
            await out.end()
            return

    def _continued(self, prepared: Prepared, turns: list[Any]) -> Prepared:
        continued = prepared.continued(turns)
        self.accounts.asked(continued.report)
        return continued

    async def _refused(self, answer: httpx.Response, told: list[tuple[bytes, bytes]], out: Outgoing) -> None:
        """Pass on an error; after the beginning of an answer it can only break off."""
        if out.has_begun:
            raise Problem(502, f"the upstream answered with status {answer.status_code} after it had begun")
        await out.begin(answer.status_code, [*returned_headers(answer), *told])
        async for piece in answer.aiter_raw():
            await out.piece(piece)
        await out.end()

    async def _read(self, answer: httpx.Response, first: FirstChunk, out: Outgoing | None) -> _Turn:
        """Read an answer whole; pass on the events before its calls, where there is somebody to pass them on to."""
        pieces: list[bytes] = []
        held: list[bytes] = []
        async for event in _events(self._limited(answer)) if out else self._limited(answer):
            pieces.append(event)
            if out:
                first.came()
            if out is None or held or is_late(event):
                held.append(event)
            else:
                await out.piece(event)
        return _Turn(b"".join(pieces), held)

    async def _limited(self, answer: httpx.Response) -> AsyncIterator[bytes]:
        """An answer as it comes. Raises `Problem` where it is too large to be held."""
        left = self.settings.max_answer_bytes
        async for piece in answer.aiter_raw():
            left -= len(piece)
            if left < 0:
                raise Problem(502, f"the answer is larger than {self.settings.max_answer_bytes} bytes")
            yield piece

    async def _finish_stream(self, turn: _Turn, message: Mapping[str, Any] | None, usages: list[object], out: Outgoing) -> None:
        """Send what was held; where `message` calls `expand`, what it has for the client in place of that."""
        values = [value_of(event) for event in turn.held]
        if message is None:
            for event, value in zip(turn.held, values, strict=True):
                summed = value and with_usage(value, usages)
                await out.piece(event if not summed or summed is value else _as_event(summed))
            return
        about = {name: part for name, part in (values[0] or {}).items() if name not in ("choices", "usage")}
        for made in events_without_own(message, about):
            await out.piece(_as_event(made))
        for event, value in zip(turn.held, values, strict=True):
            if value is None:
                await out.piece(event)
            elif value.get("usage") is not None:
                await out.piece(_as_event(with_usage({**about, "choices": [], "usage": value["usage"]}, usages)))


async def _events(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The events of a stream, each with what ends it; what stands after the last in one piece."""
    rest = b""
    async for piece in pieces:
        seen, rest, start = max(0, len(rest) - 3), rest + piece, 0
        for found in _END_OF_EVENT.finditer(rest, seen):
            yield rest[start : found.end()]
            start = found.end()
        rest = rest[start:]
    if rest:
        yield rest


def _rewritten(data: bytes, is_expanding: bool, usages: list[object]) -> bytes:
    """An answer for the client: the very same bytes where it has no calls of `expand`, and none were made before it."""
    if not is_expanding and not usages:
        return data
    whole = json.loads(data)
    return json.dumps(with_usage(without_own(whole), usages), ensure_ascii=False).encode("utf-8", "replace")


def _as_event(value: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") + b"\n\n"
