"""LangChain's own suites, on ChatSpecPrefill around ChatDeepSeek, against a server on loopback, with compression on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_deepseek import ChatDeepSeek
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from pydantic import model_validator

from specprefill_agents import CompressionConfig, Compressor
from specprefill_langchain import ChatSpecPrefill
from tests.openai_server import Recorded, serving

CUT = Compressor(
    config=CompressionConfig(scorer="bm25", min_tokens=0, min_result_tokens=0, keep_ratio=0.3, target_tokenizer="o200k_base"),
    cache="memory",
)


class Wrapped(ChatSpecPrefill):
    """Takes the parameters of a ChatDeepSeek, and puts compression around it."""

    @model_validator(mode="before")
    @classmethod
    def _around_deepseek(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        return {"inner": ChatDeepSeek(**parameters), "compressor": CUT}


class TestStandardUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return Wrapped

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "deepseek-flash", "api_key": "none"}


class TestStandardIntegration(ChatModelIntegrationTests):
    _server: Recorded

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _serve(cls) -> Iterator[None]:
        with serving() as cls._server:
            yield

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return Wrapped

    @property
    def chat_model_params(self) -> dict[str, Any]:
        # The suite writes turns that called tools without reasoning, and forces calls; a model that thinks takes neither.
        thinking = {"thinking": {"type": "disabled"}}
        return {"model": "deepseek-flash", "api_key": "none", "base_url": self._server.url, "stream_usage": True, "extra_body": thinking}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "deepseek-v4-pro"

    @property
    def supported_usage_metadata_details(self) -> dict[Any, Any]:
        return {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        model = self.chat_model_class(**self.chat_model_params)
        prompt = "the same question " * 40
        model.invoke(prompt)
        if not stream:
            return model.invoke(prompt)
        chunks = list(model.stream(prompt))
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        assert isinstance(whole, AIMessageChunk)
        return whole
