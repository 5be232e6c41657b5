"""Conversations that ask a service, each one request at a time: a new tool output with the latest before it, and a new question."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.speed.text import questions, stdlib_text

OUTPUTS_IN_VIEW = 4
RETRY_S = 0.1
MOST_TRIES = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request asks."""

    contexts: tuple[str, ...]
    query: str

    @property
    def body(self) -> dict[str, Any]:
        """As the service reads it."""
        return {"contexts": list(self.contexts), "query": self.query}


@dataclass(frozen=True, slots=True)
class Answered:
    """A request, how long its answer took, what it was, and how often the service was too busy before."""

    asked: Asked
    seconds: float
    scores: list[dict[str, Any]]
    refused: int


def conversation(number: int, requests: int, chars: int) -> list[Asked]:
    """The requests of conversation `number`. Each brings a text of `chars` characters that none had before."""
    pool, asked = stdlib_text(4_000_000), questions()
    begin = number * requests
    outputs = [f"output {begin + step}\n" + pool[(begin + step) * chars % (len(pool) - chars) :][:chars] for step in range(requests)]
    return [
        Asked(tuple(outputs[max(0, step + 1 - OUTPUTS_IN_VIEW) : step + 1]), f"{asked[(begin + step) % len(asked)]} ({begin + step})")
        for step in range(requests)
    ]


async def ask_all(url: str, conversations: Sequence[Sequence[Asked]]) -> tuple[list[Answered], float]:
    """Every answer, and the seconds from the first request to the last answer, with all conversations at once."""
    limits = httpx.Limits(max_connections=len(conversations), max_keepalive_connections=len(conversations))
    async with httpx.AsyncClient(base_url=url, timeout=300, limits=limits, trust_env=False) as client:
        started = time.perf_counter()
        answered = await asyncio.gather(*(_held(client, asked) for asked in conversations))
        return [one for part in answered for one in part], time.perf_counter() - started


async def _held(client: httpx.AsyncClient, asked: Sequence[Asked]) -> list[Answered]:
    return [await _answer(client, one) for one in asked]


async def _answer(client: httpx.AsyncClient, asked: Asked) -> Answered:
    started = time.perf_counter()
    for refused in range(MOST_TRIES):
        response = await client.post("/v1/score", json=asked.body)
        if response.status_code == 200:
            return Answered(asked, time.perf_counter() - started, response.json()["scores"], refused)
        if response.status_code != 503:
            response.raise_for_status()
        await asyncio.sleep(RETRY_S)
    raise TimeoutError(f"refused {MOST_TRIES} times")
