"""Callbacks that keep what they are told."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import BaseCallbackHandler


class Recorder(BaseCallbackHandler):
    """The names of the callbacks that fire, without the tokens."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.names: list[str | None] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.seen.append("on_chat_model_start")
        self.names.append(kwargs["invocation_params"].get("model"))

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.seen.append("on_llm_end")

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.seen.append("on_llm_error")
