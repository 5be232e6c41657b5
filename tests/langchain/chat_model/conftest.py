"""ChatSpecPrefill around a real ChatDeepSeek that asks a server on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_deepseek import ChatDeepSeek

from specprefill_agents import Compressor
from specprefill_langchain import ChatSpecPrefill
from tests.langchain.chat_model.timetables import NOT_THINKING
from tests.openai_server import Recorded, serving


@pytest.fixture
def server() -> Iterator[Recorded]:
    with serving() as recorded:
        yield recorded


@pytest.fixture
def compressor(lexical: Callable[..., Compressor]) -> Compressor:
    return lexical(keep_ratio=0.2)


@pytest.fixture
def deepseek(server: Recorded) -> Callable[..., ChatDeepSeek]:
    """Makes models of the server; they do not think unless told to."""

    def make(**settings: Any) -> ChatDeepSeek:
        values = {"model": "deepseek-flash", "api_key": "none", "base_url": server.url, "stream_usage": True, "extra_body": NOT_THINKING}
        return ChatDeepSeek(**{**values, **settings})

    return make


@pytest.fixture
def chat(deepseek: Callable[..., ChatDeepSeek], compressor: Compressor) -> ChatSpecPrefill:
    return ChatSpecPrefill(inner=deepseek(), compressor=compressor)
