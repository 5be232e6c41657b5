"""ChatSpecPrefill: any chat model, reading its tool outputs compressed. What it answers, bills and streams stays its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config, run_in_executor
from langchain_core.tools import BaseTool
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator
from typing_extensions import Self, override

from specprefill_agents.compressor import Compressor
from specprefill_agents.prompt.original_notes import reads_originals
from specprefill_agents.session.sessions import MAX_SESSIONS, Sessions
from specprefill_agents.session.shared import SessionStore
from specprefill_agents.session.stepping import described
from specprefill_langchain.conversations import opening_of, own_conversation_id
from specprefill_langchain.figures import KEY, Tail, atell, figures_of, marked, tell
from specprefill_langchain.reasoning import sending_reasoning
from specprefill_langchain.rewiring import rewired
from specprefill_langchain.runnable import PromptCompressor
from specprefill_langchain.step import compress_step, model_name
from specprefill_langchain.threads import ContextPool
from specprefill_langchain.unbinding import unbound

_CALL = "specprefill_call"
"""The keyword by which a call's config reaches the methods that LangChain does not hand it to."""


@dataclass(frozen=True, slots=True)
class _Call:
    """What is known of one call. Its text is the same for all, as it is part of the key under which answers are cached."""

    config: RunnableConfig = field(repr=False)


class ChatSpecPrefill(BaseChatModel):
    """The chat model `inner` with the tool outputs in its input compressed; everything else goes to it, and comes back, as it is.

    Use it where the model itself is used: `ChatSpecPrefill(inner=model, compressor=compressor)` in a chain, a graph node or
    an agent. `inner` may have tools or other arguments bound. Callbacks fire once, with the name, parameters and profile of
    `inner`; its cache, rate limiter, callbacks, tags, metadata and streaming settings hold where none are given here.

    What is decided about a tool output depends only on the messages up to it, so a growing conversation keeps its prefix.
    With `configurable={"session_id": ...}` (or `thread_id`) in the config the decisions are also remembered, for the
    `max_sessions` conversations used last; `sessions`, a `SessionStore` made with the same compressor, shares them with other
    processes. `query` replaces the question derived from the messages. Give the agent
    `expand_tool(compressor)`, by which its model reads what a gap stands for, and not `SpecPrefillMiddleware` as well, which
    would cut the same texts before. In asynchronous calls the draft works in one thread of this instance.

    Answers carry, under `response_metadata["specprefill"]`, the `original_tokens` and `kept_tokens` of all tool outputs, the
    `scorer_ms`, `cache_hits` and `cache_misses` of what was new, `fallback_reason` and `note`; a stream carries them on its last chunk. The
    same goes out as the custom event `specprefill` of the run around each call, where there is one.

    Around a ChatDeepSeek it also sends the `reasoning_content` of turns that called tools back as it was received. DeepSeek
    refuses requests without it in thinking mode, and langchain-deepseek 1.1.1 drops it.

    Raises `ValueError` at construction where `inner` is no chat model, bound or not. What `inner` raises passes through.
    """

    model_config = ConfigDict(extra="forbid")

    inner: Runnable[LanguageModelInput, AIMessage] = Field(exclude=True)
    compressor: Compressor = Field(exclude=True)
    query: str | None = None
    max_sessions: int = Field(default=MAX_SESSIONS, ge=1)
    sessions: SessionStore | None = Field(default=None, exclude=True)
    _model: BaseChatModel = PrivateAttr()
    _bound: dict[str, Any] = PrivateAttr(default_factory=dict)
    _sessions: Sessions = PrivateAttr()
    _worker: ContextPool = PrivateAttr(default_factory=lambda: ContextPool(thread_name_prefix="specprefill-chat-model"))

    @model_validator(mode="after")
    def _take_over_inner(self) -> Self:
        found = unbound(self.inner)
        self._model, self._bound = sending_reasoning(found.model), found.arguments
        self._sessions = Sessions(self.compressor, self.max_sessions, model_name(self._model), self.sessions)
        for name, value in found.settings.items():
            if name not in self.model_fields_set:
                setattr(self, name, value)
        self.metadata = _joined(found.metadata, self.metadata or {})
        return self

    # After the one above, which knows the model; the base's own has run before it.
    @model_validator(mode="after")
    def _take_over_profile(self) -> Self:
        self.profile = self.profile or self._resolve_model_profile()
        return self

    @property
    def model_name(self) -> str:
        """The name of the model inside; "" where it has none."""
        return model_name(self._model) or ""

    @property
    @override
    def _llm_type(self) -> str:
        # LangChain and LangGraph go by it where providers differ, so it is that of the model inside.
        return self._model._llm_type

    @property
    @override
    def _identifying_params(self) -> dict[str, Any]:
        return {**self._model._identifying_params, KEY: self.compressor.fingerprint}

    @override
    def _resolve_model_profile(self) -> ModelProfile | None:
        return self._model.profile

    @override
    def invoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: list[str] | None = None, **kwargs: Any
    ) -> AIMessage:
        return super().invoke(input, config, stop=stop, **_placed(config, kwargs))

    @override
    async def ainvoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: list[str] | None = None, **kwargs: Any
    ) -> AIMessage:
        return await super().ainvoke(input, config, stop=stop, **_placed(config, kwargs))

    @override
    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: list[str] | None = None, **kwargs: Any
    ) -> Iterator[AIMessageChunk]:
        return super().stream(input, config, stop=stop, **_placed(config, kwargs))

    @override
    def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: list[str] | None = None, **kwargs: Any
    ) -> AsyncIterator[AIMessageChunk]:
        return super().astream(input, config, stop=stop, **_placed(config, kwargs))

    # Of the versions of events, only the third does not come by one of the methods above.
    @override
    def stream_events(self, input: LanguageModelInput, config: RunnableConfig | None = None, *, version: Any = "v2", **kwargs: Any) -> Any:
        return super().stream_events(input, config, version=version, **(_placed(config, kwargs) if version == "v3" else kwargs))

    @override
    def astream_events(self, input: LanguageModelInput, config: RunnableConfig | None = None, *, version: Any = "v2", **kwargs: Any) -> Any:
        return super().astream_events(input, config, version=version, **(_placed(config, kwargs) if version == "v3" else kwargs))

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call, arguments = self._arguments(stop, kwargs)
        sent, figures = self._compress(messages, call, arguments.get("tools"))
        tell(figures, call.config)
        return self._marked(self._model._generate(sent, run_manager=run_manager, **arguments), figures)

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call, arguments = self._arguments(stop, kwargs)
        sent, figures = await run_in_executor(self._worker, self._compress, messages, call, arguments.get("tools"))
        await atell(figures, call.config)
        return self._marked(await self._model._agenerate(sent, run_manager=run_manager, **arguments), figures)

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        call, arguments = self._arguments(stop, kwargs)
        sent, figures = self._compress(messages, call, arguments.get("tools"))
        tell(figures, call.config)
        tail = Tail(figures)
        for chunk in self._model._stream(sent, run_manager=run_manager, **arguments):
            self.compressor.guard.observe_guesses(chunk.message.response_metadata)
            yield from tail.after(chunk)
        yield from tail.end()

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        call, arguments = self._arguments(stop, kwargs)
        sent, figures = await run_in_executor(self._worker, self._compress, messages, call, arguments.get("tools"))
        await atell(figures, call.config)
        tail = Tail(figures)
        async for chunk in self._model._astream(sent, run_manager=run_manager, **arguments):
            self.compressor.guard.observe_guesses(chunk.message.response_metadata)
            for ready in tail.after(chunk):
                yield ready
        for ready in tail.end():
            yield ready

    def _marked(self, result: ChatResult, figures: dict[str, Any]) -> ChatResult:
        for generation in result.generations:
            self.compressor.guard.observe_guesses(generation.message.response_metadata)
        return marked(result, figures)

    def _compress(self, messages: Sequence[BaseMessage], call: _Call, tools: object) -> tuple[list[BaseMessage], dict[str, Any]]:
        session = self._sessions.get(own_conversation_id(call.config), opening_of(messages))
        originals, head = reads_originals(self._model), described(self.compressor, tools)
        step = compress_step(self.compressor, session, messages, self.query, with_originals=originals, head=head)
        return list(step.sent), figures_of(step.result.usage)

    def _arguments(self, stop: list[str] | None, given: dict[str, Any]) -> tuple[_Call, dict[str, Any]]:
        """What is known of a call, and the arguments of the model inside: those of the call before those bound to it."""
        arguments = {**self._bound, **given}
        call = arguments.pop(_CALL, None) or _Call(ensure_config())
        if stop is not None or "stop" not in arguments:
            arguments["stop"] = stop
        return call, arguments

    @override
    def _should_stream(
        self,
        *,
        async_api: bool,
        run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> bool:
        # The model inside says whether it streams; the settings here may still forbid it.
        _, arguments = self._arguments(None, kwargs)
        allowed = super()._should_stream(async_api=async_api, run_manager=run_manager, **{"stream": True, **kwargs})
        return allowed and self._model._should_stream(async_api=async_api, run_manager=run_manager, **arguments)

    @override
    def _should_use_protocol_streaming(
        self,
        *,
        async_api: bool,
        run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> bool:
        _, arguments = self._arguments(None, kwargs)
        allowed = super()._should_use_protocol_streaming(async_api=async_api, run_manager=run_manager, **kwargs)
        return allowed and self._model._should_use_protocol_streaming(async_api=async_api, run_manager=run_manager, **arguments)

    @override
    def bind_tools(
        self, tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool], *, tool_choice: Any = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """This model with tools, described as the model inside describes them."""
        chosen = {} if tool_choice is None else {"tool_choice": tool_choice}
        return self._in_front(self._model.bind_tools(tools, **chosen, **kwargs))

    @override
    def with_structured_output(
        self, schema: dict[str, Any] | type | None = None, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """This model with answers in the form of `schema`, by whichever `method` the model inside offers."""
        structured = self._model.with_structured_output(schema, include_raw=include_raw, **kwargs)  # type: ignore[arg-type]
        return self._in_front(structured)

    def _in_front(self, built: Runnable[LanguageModelInput, Any]) -> Runnable[LanguageModelInput, Any]:
        """What the model inside `built` around itself, built around this one."""
        made: Runnable[LanguageModelInput, Any] = rewired(built, self._around)
        if made is not built:
            return made
        # It shows no model that could be replaced, so its prompt is compressed before it gets there.
        before = PromptCompressor(
            self.compressor, self.query, max_sessions=self.max_sessions, sessions=self.sessions, model_id=self.model_name or None
        )
        return before | built

    def _around(self, model: BaseChatModel) -> Self:
        """This one around another copy of the model inside, such as one for another endpoint."""
        copy = self.model_copy()
        copy._model = sending_reasoning(model)
        return copy

    @override
    def get_token_ids(self, text: str) -> list[int]:
        """As the model inside counts."""
        return self._model.get_token_ids(text)

    @override
    def get_num_tokens(self, text: str) -> int:
        """As the model inside counts."""
        return self._model.get_num_tokens(text)

    @override
    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None, **kwargs: Any) -> int:
        """As the model inside counts; of `messages` as they are, not as they would be sent."""
        return self._model.get_num_tokens_from_messages(messages, tools, **kwargs)

    @override
    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        # Answers are cached by these: whatever decides what the model reads must be among them.
        call, arguments = self._arguments(stop, kwargs)
        arm = self.compressor.guard.arm(own_conversation_id(call.config) or "")
        settings = {"fingerprint": self.compressor.fingerprint, "query": self.query, "arm": arm}
        return {**self._model._get_invocation_params(**arguments), KEY: settings}

    @override
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        _, arguments = self._arguments(stop, kwargs)
        return self._model._get_ls_params(**arguments)

    @override
    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None], /) -> dict[str, Any]:
        return self._model._combine_llm_outputs(llm_outputs)


def _joined(inner: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of both; the versions of packages, which every model notes, of both too."""
    name = "lc_versions"
    return {**inner, **own, name: {**(inner.get(name) or {}), **(own.get(name) or {})}}


def _placed(config: RunnableConfig | None, arguments: dict[str, Any]) -> dict[str, Any]:
    return {_CALL: _Call(ensure_config(config)), **arguments}
