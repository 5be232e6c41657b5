"""SpecPrefillLLM: any LLM, reading its tool outputs compressed. What it answers, bills and streams stays its own."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.bridge.pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM, ToolSelection
from llama_index.core.prompts import BasePromptTemplate, ChatPromptTemplate
from llama_index.core.tools.types import BaseTool

from specprefill_agents import CompressionConfig, Compressor
from specprefill_agents.accounting.first_chunk import FirstChunk
from specprefill_agents.draft.registry import DEFAULT_DRAFT
from specprefill_agents.prompt.original_notes import reads_originals
from specprefill_agents.session.sessions import MAX_SESSIONS, Sessions
from specprefill_agents.session.stepping import described
from specprefill_agents.storage.forking import RestartingPool
from specprefill_llamaindex.figures import amarked_stream, figures_of, marked, marked_stream, tell
from specprefill_llamaindex.metering import Metered
from specprefill_llamaindex.reasoning import wants_reasoning, with_reasoning
from specprefill_llamaindex.step import StepReport, compress_step
from specprefill_llamaindex.telling import Listeners
from specprefill_llamaindex.threads import in_thread

Model = TypeVar("Model", bound=BaseModel)

_OF_PROMPTS = (
    "system_prompt",
    "messages_to_prompt",
    "completion_to_prompt",
    "output_parser",
    "pydantic_program_mode",
    "query_wrapper_prompt",
)
"""Settings that hold for what an LLM makes of prompts itself; those of the model inside hold where none are given."""

_OF_CALLS = ("callback_manager", "rate_limiter")
"""Settings that hold for calls, which only the model inside makes: what is set here is set there."""


class SpecPrefillLLM(FunctionCallingLLM):
    """The LLM `inner_llm` with the tool outputs in its input compressed; everything else goes to it, and comes back, as it is.

    Use it where the model itself is used: `FunctionAgent(llm=SpecPrefillLLM(model, compressor), tools=[...])`, in a
    `ReActAgent`, an `AgentWorkflow`, a chat engine or alone. Give a `compressor`, or the `draft` and `config` to make one
    from. What can be completed, predicted and structured is what `inner_llm` can; completions hold no tool outputs and are
    passed on. Its callbacks and events fire once, from `inner_llm`.

    What is decided about a tool output depends only on the messages up to it, so a growing conversation keeps its prefix,
    in another process too; decisions of the `max_sessions` conversations used last are remembered. `query` replaces the
    question derived from the messages. Give the agent `expand_tool(compressor)`, by which its model reads what a gap stands
    for. In asynchronous calls the draft works in one thread of this instance, not on the event loop.

    Tool outputs are the texts of tool messages, and a ReActAgent's observations while it runs; once it has answered it keeps
    them as part of one assistant message, which stays whole, as all that an assistant said. LlamaIndex does not tell which
    outputs are errors.

    Answers carry under `additional_kwargs["specprefill"]` the `original_tokens` and `kept_tokens` of all tool outputs, the
    `scorer_ms`, `cache_hits` and `cache_misses` of what was new, `fallback_reason` and `note`; so does every part of a stream. Agents pass
    that on to nobody: the same goes out as a `CompressionEndEvent`, and to `on_step` with the messages; both before the call.
    `ledger`, a `LedgerFile`, a `Meter` or a function, is told after each what it cost, by the usage in the answer's `raw`;
    not of structured predictions, whose usage LlamaIndex keeps to itself, nor of a stream that is left before its end.

    To DeepSeek it also sends the `reasoning_content` of turns that called tools back as it was received, which DeepSeek
    insists on in thinking mode and LlamaIndex leaves out; `send_reasoning` says so for other chat-completions providers.

    Serializes by draft and config; `inner_llm`, which may hold keys, and a compressor with parts of its own must be handed to
    `from_dict` again. Raises `ConfigError` or `UnknownDraftError` at construction. What `inner_llm` raises passes through.
    """

    model_config = ConfigDict(extra="forbid")

    inner_llm: LLM = Field(exclude=True, description="The model that is asked.")
    draft: str = Field(default=DEFAULT_DRAFT, description="Name of the local draft model.", frozen=True)
    config: CompressionConfig = Field(default_factory=CompressionConfig, description="Settings of the compressor.", frozen=True)
    query: str | None = Field(default=None, description="What tool outputs are read for; None derives it from the messages.")
    max_sessions: int = Field(default=MAX_SESSIONS, ge=1, description="How many conversations are remembered.", frozen=True)
    send_reasoning: bool = Field(default=False, description="Whether the reasoning of turns that called tools is sent back.")
    on_step: Callable[[StepReport], None] | None = Field(default=None, exclude=True, description="Is told of each call.", frozen=True)
    ledger: Any = Field(default=None, exclude=True, description="Where the cost of each call goes.", frozen=True)

    _compressor: Compressor = PrivateAttr()
    _listeners: Listeners = PrivateAttr()
    _sessions: Sessions = PrivateAttr()
    _worker: RestartingPool = PrivateAttr(default_factory=lambda: RestartingPool(thread_name_prefix="specprefill-llm"))

    def __init__(
        self,
        inner_llm: LLM,
        compressor: Compressor | None = None,
        *,
        draft: str = DEFAULT_DRAFT,
        config: CompressionConfig | Mapping[str, Any] | None = None,
        query: str | None = None,
        max_sessions: int = MAX_SESSIONS,
        send_reasoning: bool | None = None,
        on_step: Callable[[StepReport], None] | None = None,
        ledger: Metered | None = None,
        **settings: Any,
    ) -> None:
        given = config if isinstance(config, CompressionConfig) else CompressionConfig.from_dict(config or {})
        made = compressor or Compressor(draft, given)
        fields: dict[str, Any] = {"inner_llm": inner_llm, "draft": made.draft, "config": made.config}
        fields |= {"query": query, "max_sessions": max_sessions, "on_step": on_step, "ledger": ledger}
        fields |= {"send_reasoning": wants_reasoning(inner_llm) if send_reasoning is None else send_reasoning}
        taken = {name: getattr(inner_llm, name, None) for name in (*_OF_PROMPTS, *_OF_CALLS)}
        super().__init__(**{**taken, **settings}, **fields)
        for name in settings.keys() & set(_OF_CALLS):
            setattr(inner_llm, name, settings[name])
        self._compressor = made
        self._listeners = Listeners(made, on_step, ledger)
        self._sessions = Sessions(made, max_sessions, self._model_name or None)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in _OF_CALLS:
            setattr(self.inner_llm, name, value)

    @classmethod
    def class_name(cls) -> str:
        """Name under which LlamaIndex serializes this component."""
        return "SpecPrefillLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """That of the model inside."""
        return self.inner_llm.metadata

    @property
    def compressor(self) -> Compressor:
        """What does the work."""
        return self._compressor

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The model's answer to the messages with their tool outputs compressed. Blocks while the draft reads what is new."""
        step = self._step(messages, kwargs)
        response = self.inner_llm.chat(self._wire(step), **kwargs)
        self._listeners.answered(step, response)
        return marked(response, figures_of(step.result.usage))

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """As `chat`, in parts."""
        step = self._step(messages, kwargs)
        first = FirstChunk()
        stream = self.inner_llm.stream_chat(self._wire(step), **kwargs)
        return marked_stream(stream, figures_of(step.result.usage), first, partial(self._listeners.answered, step, first=first))

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """As `chat`, with the work done in this instance's one worker thread."""
        step = await self._astep(messages, kwargs)
        response = await self.inner_llm.achat(self._wire(step), **kwargs)
        await self._listeners.aanswered(step, response)
        return marked(response, figures_of(step.result.usage))

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """As `achat`, in parts."""
        step = await self._astep(messages, kwargs)
        first = FirstChunk()
        stream = await self.inner_llm.astream_chat(self._wire(step), **kwargs)
        return amarked_stream(stream, figures_of(step.result.usage), first, partial(self._listeners.aanswered, step, first=first))

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """As the model inside completes."""
        return self.inner_llm.complete(prompt, formatted=formatted, **kwargs)

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """As the model inside completes."""
        return self.inner_llm.stream_complete(prompt, formatted=formatted, **kwargs)

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """As the model inside completes."""
        return await self.inner_llm.acomplete(prompt, formatted=formatted, **kwargs)

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """As the model inside completes."""
        return await self.inner_llm.astream_complete(prompt, formatted=formatted, **kwargs)

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        return self._caller()._prepare_chat_with_tools_compat(
            tools,
            user_msg=user_msg,
            chat_history=None if chat_history is None else list(chat_history),  # models add the user's message to it
            verbose=verbose,
            allow_parallel_tool_calls=allow_parallel_tool_calls,
            tool_required=tool_required,
            **kwargs,
        )

    def _validate_chat_with_tools_response(
        self, response: ChatResponse, tools: Sequence[BaseTool], allow_parallel_tool_calls: bool = False, **kwargs: Any
    ) -> ChatResponse:
        return self._caller()._validate_chat_with_tools_response(
            response, tools, allow_parallel_tool_calls=allow_parallel_tool_calls, **kwargs
        )

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """As the model inside reads its answers."""
        return self._caller().get_tool_calls_from_response(response, error_on_no_tool_call=error_on_no_tool_call, **kwargs)

    def structured_predict(
        self, output_cls: type[Model], prompt: BasePromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Model:
        """An `output_cls`, by whichever way the model inside has to one."""
        prompt, arguments = self._in_prompt(prompt, prompt_args)
        made: Model = self._predictor().structured_predict(output_cls, prompt, llm_kwargs=llm_kwargs, **arguments)
        return made

    async def astructured_predict(
        self, output_cls: type[Model], prompt: BasePromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Model:
        """As `structured_predict`."""
        prompt, arguments = await self._ain_prompt(prompt, prompt_args)
        made: Model = await self._predictor().astructured_predict(output_cls, prompt, llm_kwargs=llm_kwargs, **arguments)
        return made

    def stream_structured_predict(
        self, output_cls: type[Model], prompt: BasePromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Generator[Any, None, None]:
        """As `structured_predict`, in parts."""
        prompt, arguments = self._in_prompt(prompt, prompt_args)
        return self._predictor().stream_structured_predict(output_cls, prompt, llm_kwargs=llm_kwargs, **arguments)

    async def astream_structured_predict(
        self, output_cls: type[Model], prompt: BasePromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> AsyncGenerator[Any, None]:
        """As `structured_predict`, in parts."""
        prompt, arguments = await self._ain_prompt(prompt, prompt_args)
        return await self._predictor().astream_structured_predict(output_cls, prompt, llm_kwargs=llm_kwargs, **arguments)

    def _step(self, messages: Sequence[ChatMessage], arguments: Mapping[str, Any]) -> StepReport:
        started = time.perf_counter()
        originals, head = reads_originals(self.inner_llm), described(self._compressor, arguments.get("tools"))
        step = compress_step(self._compressor, self._sessions, messages, self.query, with_originals=originals, head=head)
        tools, model = tuple(arguments.get("tools") or ()), str(arguments.get("model") or self._model_name)
        step = self._listeners.asked(replace(step, tools=tools, model=model))
        tell(step, 1000 * (time.perf_counter() - started))
        return step

    async def _astep(self, messages: Sequence[ChatMessage], arguments: Mapping[str, Any]) -> StepReport:
        return await in_thread(self._worker, self._step, messages, arguments)

    def _wire(self, step: StepReport) -> list[ChatMessage]:
        """The messages that the model inside is handed."""
        return with_reasoning(step.sent) if self.send_reasoning else list(step.sent)

    def _in_prompt(self, prompt: BasePromptTemplate, arguments: dict[str, Any]) -> tuple[BasePromptTemplate, dict[str, Any]]:
        """A prompt and its arguments with the tool outputs of its messages compressed; the very same where it has none."""
        messages = prompt.format_messages(llm=self.inner_llm, **arguments)
        return self._as_prompt(self._step(messages, {}), prompt, arguments)

    async def _ain_prompt(self, prompt: BasePromptTemplate, arguments: dict[str, Any]) -> tuple[BasePromptTemplate, dict[str, Any]]:
        messages = prompt.format_messages(llm=self.inner_llm, **arguments)
        return self._as_prompt(await self._astep(messages, {}), prompt, arguments)

    def _as_prompt(
        self, step: StepReport, prompt: BasePromptTemplate, arguments: dict[str, Any]
    ) -> tuple[BasePromptTemplate, dict[str, Any]]:
        wire = self._wire(step)
        if all(new is old for new, old in zip(wire, step.messages, strict=True)):
            return prompt, arguments
        return ChatPromptTemplate(message_templates=wire), {}

    def _predictor(self) -> LLM:
        """The model inside; with the settings of prompts of this one, where they were set otherwise."""
        own = {name: getattr(self, name) for name in _OF_PROMPTS}
        changed = {name: value for name, value in own.items() if value is not getattr(self.inner_llm, name)}
        return self.inner_llm.model_copy(update=changed) if changed else self.inner_llm

    def _caller(self) -> FunctionCallingLLM:
        """The model inside, which must be one that calls tools."""
        if not isinstance(self.inner_llm, FunctionCallingLLM):
            raise ValueError(
                f"{self.inner_llm.class_name()}, the model in SpecPrefillLLM, does not call tools; a ReActAgent works with any model"
            )
        return self.inner_llm

    @property
    def _model_name(self) -> str:
        # Some models say their name only at the cost of loading it.
        named = getattr(self.inner_llm, "model", None) or getattr(self.inner_llm, "model_name", None)
        return named if isinstance(named, str) else self.inner_llm.metadata.model_name
