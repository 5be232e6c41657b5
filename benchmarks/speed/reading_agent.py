"""An agent that reads one made-up file after the other: real `create_agent`, tools and middleware; only what to read is scripted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from langchain.agents import create_agent
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool

from benchmarks.speed.text import questions, stdlib_text
from specprefill_agents import Compressor
from specprefill_langchain import SpecPrefillMiddleware


class Reader(BaseChatModel):
    """Calls `read` for `outputs` parts, one after the other, then answers at once."""

    outputs: int

    @property
    def _llm_type(self) -> str:
        return "reader"

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any) -> Reader:
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages))])

    async def _agenerate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return self._generate(messages)

    def _next(self, messages: Sequence[BaseMessage]) -> AIMessage:
        done = sum(message.type == "tool" for message in messages)
        if done == self.outputs:
            return AIMessage("done")
        asked = next(str(message.content) for message in messages if message.type == "human")
        number = int(re.findall(r"\d+", asked)[-1])
        call = {"name": "read", "args": {"part": number * self.outputs + done}, "id": f"call-{number}-{done}"}
        return AIMessage("", tool_calls=[call])


def reading_agent(compressor: Compressor, outputs: int, chars: int) -> Any:
    """An agent whose outputs have `chars` characters each, every one another part of the standard library's text."""

    @tool
    async def read(part: int) -> str:
        """One part of the text."""
        return stdlib_text((part + 1) * chars)[part * chars :]

    return create_agent(Reader(outputs=outputs), [read], middleware=[SpecPrefillMiddleware(compressor)])


def asked_for(conversation: int) -> dict[str, Any]:
    """What an agent is asked in the conversation of this number: the number is how it knows what to read."""
    known = questions()
    return {"messages": [HumanMessage(f"{known[conversation % len(known)]} (number {conversation})")]}
