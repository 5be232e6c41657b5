"""Runs of the demo's agent with a model that answers once, and what they show."""

from __future__ import annotations

import io
from datetime import datetime, timezone
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatResult
from pydantic import PrivateAttr
from rich.console import Console

from specprefill_agents import Compressor
from specprefill_langchain.demo import Played, play

SATURDAY = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)


class Writer(GenericFakeChatModel):
    """Answers once, and remembers what it was sent."""

    _read: list[BaseMessage] = PrivateAttr(default_factory=list)

    @property
    def read(self) -> list[BaseMessage]:
        """Every message of every request."""
        return self._read

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self._read.extend(messages)
        return super()._generate(messages, *args, **kwargs)


def writer() -> Writer:
    """A model that answers "By a pattern."."""
    return Writer(messages=iter([AIMessage("By a pattern.")]))


def watch(compressor: Compressor, model: BaseChatModel) -> tuple[Played, str]:
    """A played demo and its plain output."""
    screen = io.StringIO()
    played = play(Console(file=screen, width=120), compressor, model, "a test", now=lambda: SATURDAY)
    return played, screen.getvalue()
