"""SpecPrefillLLM around LlamaIndex's real DeepSeek, which asks a server on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from llama_index.llms.deepseek import DeepSeek

from specprefill_agents import Compressor
from specprefill_llamaindex import SpecPrefillLLM
from tests.llamaindex.llm.timetables import NOT_THINKING
from tests.openai_server import Recorded, serving


@pytest.fixture
def server() -> Iterator[Recorded]:
    with serving() as recorded:
        yield recorded


@pytest.fixture
def compressor(lexical: Callable[..., Compressor]) -> Compressor:
    return lexical(keep_ratio=0.2)


@pytest.fixture
def deepseek(server: Recorded) -> Callable[..., DeepSeek]:
    """Makes models of the server; they do not think unless told to."""

    def make(**settings: Any) -> DeepSeek:
        values = {
            "model": "deepseek-flash",
            "api_key": "none",
            "api_base": server.url,
            "context_window": 1_000_000,
            "is_function_calling_model": True,
            "additional_kwargs": NOT_THINKING,
            "max_retries": 0,
        }
        return DeepSeek(**{**values, **settings})

    return make


@pytest.fixture
def llm(deepseek: Callable[..., DeepSeek], compressor: Compressor) -> SpecPrefillLLM:
    return SpecPrefillLLM(deepseek(), compressor)
