"""LocalLLM: a local transformers model as a LlamaIndex LLM. Text in, text out; the target of a compressed prompt."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, ClassVar, Literal

from llama_index.core.base.llms.generic_utils import (
    achat_to_completion_decorator,
    astream_chat_to_completion_decorator,
    chat_to_completion_decorator,
    stream_chat_to_completion_decorator,
)
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import LLM

from specprefill_agents.draft.registry import DEFAULT_DRAFT
from specprefill_agents.prompt.original_notes import original_in
from specprefill_agents.storage.forking import RestartingPool
from specprefill_agents.targets.chat_template import ChatTurn
from specprefill_agents.targets.loading import CACHE_BYTES, TargetSettings, load_target
from specprefill_agents.targets.local import Generation, LocalTarget
from specprefill_agents.targets.sampling import Sampling
from specprefill_agents.targets.tools import ToolCall
from specprefill_llamaindex.messages import ASSISTANT_ROLES, SYSTEM_ROLES, TOOL_ROLES, calls_in, tool_call_id
from specprefill_llamaindex.threads import in_thread

_END = object()


class LocalLLM(LLM):
    """Answers with a causal language model on this machine; its weights are loaded when they are first needed.

    `model` is a name as `specprefill models list` shows, a directory with safetensors, a GGUF file or a hub name.
    `max_tokens`, `temperature`, `top_p`, `top_k`, `seed` and `stop` can be given per call too, with the units and ranges of
    `targets.sampling.Sampling`; the fields from `device` to `positions` are those of `targets.loading.TargetSettings`. Answers
    carry in `additional_kwargs` the `prompt_tokens`, `completion_tokens` and `total_tokens` that LlamaIndex counts by, the
    `finish_reason` ("stop" or "length") and `time_to_first_token_ms`; in a stream the last part does, which adds no text.
    Asynchronous calls work in one thread of this instance; leaving a stream ends its work.

    Inside `SpecPrefillLLM`, `positions="original"` reads of a compressed tool output the kept tokens of the whole, each at its
    place in it, without gap marks; "contiguous" reads the compressed text. Text only; no tool calling.
    """

    reads_originals: ClassVar[bool] = True

    model: str = Field(default=DEFAULT_DRAFT, description="Which model answers.")
    max_tokens: int = Field(default=256, ge=1, description="Length of an answer at most, in tokens.")
    temperature: float = Field(default=0.0, ge=0, description="0 takes the likeliest token, above it tokens are drawn.")
    top_p: float = Field(default=1.0, gt=0, le=1, description="Tokens are drawn from the likeliest that have this probability together.")
    top_k: int | None = Field(default=None, ge=1, description="Tokens are drawn from so many of the likeliest.")
    seed: int | None = Field(default=None, description="Makes what is drawn repeatable.")
    stop: list[str] = Field(default_factory=list, description="Texts that end an answer, and are left out of it.")
    positions: Literal["contiguous", "original"] = Field(default="contiguous", description="Where kept tokens of an output stand.")
    device: str = Field(default="auto", description="Where the model runs.")
    dtype: str = Field(default="auto", description="Its number format.")
    bits: Literal[8, 4] | None = Field(default=None, description="Bits of a weight; None leaves them in the number format.")
    threads: int | None = Field(default=None, description="CPU threads; None leaves them as they are.")
    cache_bytes: int = Field(default=CACHE_BYTES, ge=0, description="For what was read of earlier prompts.")
    assistant: str | None = Field(default=None, description="A model that guesses what is said next.")
    copies: bool = Field(default=True, description="Whether what was said before is such a guess too.")

    _loading: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _worker: RestartingPool = PrivateAttr(default_factory=lambda: RestartingPool(thread_name_prefix="specprefill-local"))

    @classmethod
    def class_name(cls) -> str:
        """Name under which LlamaIndex serializes this component."""
        return "SpecPrefillLocalLLM"

    @cached_property
    def target(self) -> LocalTarget:
        """The loaded model. Raises `UnknownDraftError` or `DraftError` when there is none by that name."""
        return load_target(self.model, TargetSettings.of(self))

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex fits prompts into; loads the model, which knows its window."""
        window = self._target().window
        sizes = {} if window is None else {"context_window": window}
        return LLMMetadata(num_output=self.max_tokens, is_chat_model=True, model_name=self.model, **sizes)

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The answer, whole."""
        return self._answer(messages, **kwargs)

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """The answer in parts."""
        return self._parts(messages, **kwargs)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """As `chat`."""
        return await self._aanswer(messages, **kwargs)

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """As `stream_chat`."""
        return self._aparts(messages, **kwargs)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The answer to a user who says `prompt`."""
        return chat_to_completion_decorator(self._answer)(prompt, **kwargs)

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """As `complete`, in parts."""
        return stream_chat_to_completion_decorator(self._parts)(prompt, **kwargs)

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """As `complete`."""
        return await achat_to_completion_decorator(self._aanswer)(prompt, **kwargs)

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """As `stream_complete`."""

        async def parts(messages: Sequence[ChatMessage], **arguments: Any) -> ChatResponseAsyncGen:
            return self._aparts(messages, **arguments)

        return await astream_chat_to_completion_decorator(parts)(prompt, **kwargs)

    def _answer(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        turns, lookup = _turns(messages), _originals(messages)
        return self._response(self._target().generate(turns, self._sampling(kwargs), lookup=lookup))

    def _parts(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        stream = self._target().stream(_turns(messages), self._sampling(kwargs), lookup=_originals(messages))
        text = ""
        try:
            while True:
                try:
                    delta = next(stream)
                except StopIteration as done:
                    yield self._response(done.value)
                    return
                text += delta
                yield ChatResponse(message=ChatMessage(text, role=MessageRole.ASSISTANT), delta=delta)
        finally:
            stream.close()

    async def _aanswer(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return await in_thread(self._worker, self._answer, messages, **kwargs)

    async def _aparts(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        stream = self._parts(messages, **kwargs)
        try:
            while True:
                part: Any = await in_thread(self._worker, next, stream, _END)
                if part is _END:
                    return
                yield part
        finally:
            self._worker.submit(stream.close)  # behind the token that may be in the making

    def _target(self) -> LocalTarget:
        with self._loading:
            return self.target

    def _sampling(self, given: dict[str, Any]) -> Sampling:
        stop = given.get("stop", self.stop) or ()
        return Sampling(
            max_new_tokens=given.get("max_tokens", self.max_tokens),
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            **{name: given.get(name, getattr(self, name)) for name in ("temperature", "top_p", "top_k", "seed")},
        )

    def _response(self, generation: Generation) -> ChatResponse:
        read, made = generation.prompt_tokens, generation.completion_tokens
        about = {"finish_reason": generation.finish_reason, "time_to_first_token_ms": generation.time_to_first_token_ms}
        usage = {"prompt_tokens": read, "completion_tokens": made, "total_tokens": read + made}
        message = ChatMessage(generation.text, role=MessageRole.ASSISTANT)
        return ChatResponse(message=message, delta="", raw={**asdict(generation), "usage": usage}, additional_kwargs={**usage, **about})


def _originals(messages: Sequence[ChatMessage]) -> list[str]:
    return [original.text for message in messages if (original := original_in(message.additional_kwargs))]


def _turns(messages: Sequence[ChatMessage]) -> list[ChatTurn]:
    return [_turn(message) for message in messages]


def _turn(message: ChatMessage) -> ChatTurn:
    text = "\n".join(_texts(message))
    original = original_in(message.additional_kwargs)
    whole = (original.text, original.spans) if original and original.spans is not None else None
    if message.role in TOOL_ROLES:
        name = message.additional_kwargs.get("name")
        return ChatTurn("tool", text, (), name if isinstance(name, str) else None, tool_call_id(message) or "", whole)
    if message.role in ASSISTANT_ROLES:
        calls = calls_in(message).items()
        return ChatTurn("assistant", text, tuple(ToolCall(call.tool, call.arguments, call_id) for call_id, call in calls))
    return ChatTurn("system" if message.role in SYSTEM_ROLES else "user", text, whole=whole)


def _texts(message: ChatMessage) -> Iterator[str]:
    """The message's texts. Raises ValueError for content that a text model cannot read."""
    for block in message.blocks:
        if isinstance(block, TextBlock):
            yield block.text
        elif not isinstance(block, (ThinkingBlock, ToolCallBlock)):
            raise ValueError(f"LocalLLM reads text only; a {message.role.value} message holds a {type(block).__name__}")
