"""A gateway in front of a server with DeepSeek's fields and rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openai import OpenAI

from tests.gateway.running import running
from tests.openai_server import Recorded, serving


@pytest.fixture
def upstream() -> Iterator[Recorded]:
    with serving() as recorded:
        yield recorded


@pytest.fixture
def gateway(upstream: Recorded) -> Iterator[str]:
    with running(upstream.url) as url:
        yield url


@pytest.fixture
def client() -> Iterator[Callable[..., OpenAI]]:
    """Makes the official client of a base URL."""
    made: list[OpenAI] = []

    def make(url: str, key: str = "key-1", **settings: Any) -> OpenAI:
        made.append(OpenAI(base_url=url, api_key=key, max_retries=0, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()
