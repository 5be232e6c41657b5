"""ChatLocal: a local transformers model as a LangChain chat model. Text in, text out; the target of a compressed prompt."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ChatMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field, PrivateAttr
from typing_extensions import override

from specprefill_agents.draft.registry import DEFAULT_DRAFT
from specprefill_agents.targets.chat_template import ChatTurn
from specprefill_agents.targets.tools import ToolCall
from specprefill_agents.targets.local import Generation, LocalTarget

_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "HumanMessageChunk": "user"}


class ChatLocal(BaseChatModel):
    """Answers with a causal language model on this machine; its weights are loaded at the first call.

    `model` is a name as `specprefill models list` shows, a directory with safetensors, a GGUF file or a hub name.
    `max_tokens`, `temperature` and `seed` can be given per call too (`model.bind(max_tokens=64)`). Answers carry
    `usage_metadata`, and in `response_metadata` the `finish_reason` ("stop" or "length") and `time_to_first_token_ms`.
    Calls from several threads share one model and take turns token by token. Text only; no tool calling.
    """

    model: str = DEFAULT_DRAFT
    max_tokens: int = Field(default=256, ge=1)
    temperature: float = Field(default=0.0, ge=0)
    seed: int | None = None
    device: str = "auto"
    dtype: str = "auto"
    threads: int | None = None
    _loading: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @cached_property
    def target(self) -> LocalTarget:
        """The loaded model. Raises `UnknownDraftError` or `DraftError` when there is none by that name."""
        return LocalTarget.load(self.model, device=self.device, dtype=self.dtype, threads=self.threads)

    @property
    @override
    def _llm_type(self) -> str:
        return "specprefill-local"

    @property
    @override
    def _identifying_params(self) -> dict[str, Any]:
        settings = ("model", "max_tokens", "temperature", "seed", "device", "dtype")
        return {name: getattr(self, name) for name in settings}

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        generation = self._target().generate(_turns(messages), stop=stop or (), **self._sampling(kwargs))
        message = AIMessage(content=generation.text, usage_metadata=_usage(generation), response_metadata=self._about(generation))
        return ChatResult(generations=[ChatGeneration(message=message)])

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        stream = self._target().stream(_turns(messages), stop=stop or (), **self._sampling(kwargs))
        while True:
            try:
                delta = next(stream)
            except StopIteration as done:
                generation: Generation = done.value
                break
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=delta))
            if run_manager:
                run_manager.on_llm_new_token(delta, chunk=chunk)
            yield chunk
        last = AIMessageChunk(
            content="", usage_metadata=_usage(generation), response_metadata=self._about(generation), chunk_position="last"
        )
        yield ChatGenerationChunk(message=last)

    def _target(self) -> LocalTarget:
        with self._loading:
            return self.target

    def _sampling(self, given: dict[str, Any]) -> dict[str, Any]:
        return {
            "max_new_tokens": given.get("max_tokens", self.max_tokens),
            "temperature": given.get("temperature", self.temperature),
            "seed": given.get("seed", self.seed),
        }

    def _about(self, generation: Generation) -> dict[str, Any]:
        return {
            "model_name": self.model,
            "finish_reason": generation.finish_reason,
            "time_to_first_token_ms": generation.time_to_first_token_ms,
        }


def _usage(generation: Generation) -> UsageMetadata:
    read, made = generation.prompt_tokens, generation.completion_tokens
    return UsageMetadata(input_tokens=read, output_tokens=made, total_tokens=read + made)


def _turns(messages: list[BaseMessage]) -> list[ChatTurn]:
    return [_turn(message) for message in messages]


def _turn(message: BaseMessage) -> ChatTurn:
    role = message.role if isinstance(message, ChatMessage) else _ROLES.get(message.type, message.type)
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    tools = tuple(ToolCall(call["name"], call["args"], call["id"] or "") for call in calls)
    if isinstance(message, ToolMessage):
        return ChatTurn(role, _text(message), tools, message.name, message.tool_call_id)
    return ChatTurn(role, _text(message), tools)


def _text(message: BaseMessage) -> str:
    """The message's text. Raises ValueError for content that a text model cannot read."""
    blocks = [message.content] if isinstance(message.content, str) else message.content
    unreadable = sorted({str(b.get("type")) for b in blocks if isinstance(b, dict)} - {"text", "reasoning", "tool_call", "tool_use"})
    if unreadable:
        raise ValueError(f"ChatLocal reads text only; a {message.type} message holds content of type {', '.join(unreadable)}")
    return str(message.text)
