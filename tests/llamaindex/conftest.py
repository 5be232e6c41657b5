"""What every test of LlamaIndex needs around it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def loop_of_synchronous_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """LlamaIndex's synchronous synthesizers run in an event loop that they make and never close: here there is one, and it is closed."""
    if inspect.iscoroutinefunction(request.function):
        yield
        return
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()
    asyncio.set_event_loop(None)
