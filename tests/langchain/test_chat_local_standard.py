"""LangChain's own suites over ChatLocal: the tiny model where any answer of the right form will do, the embedded one for the rest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from specprefill_langchain import ChatLocal


class TestStandardUnit(ChatModelUnitTests):
    """The unit suite; nothing is loaded."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatLocal

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "smollm2-135m"}


class TestStandardIntegration(ChatModelIntegrationTests):
    """The integration suite over the tiny model. It samples, so that its random strings end."""

    @pytest.fixture(autouse=True)
    def _tiny(self, tiny_draft: str, tmp_path: Path) -> None:
        type(self)._directory = tiny_draft
        type(self)._other = str(tmp_path / "other")
        shutil.copytree(tiny_draft, self._other)

    _directory = _other = ""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatLocal

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": self._directory, "max_tokens": 3000, "temperature": 1.0, "seed": 0, "device": "cpu", "dtype": "float32"}

    @property
    def model_override_value(self) -> str:
        return self._other

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True
