"""ChatLocal: a local transformers model as a LangChain chat model. Text in, text and tool calls out; the target of a compressed prompt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput, ModelProfile
from langchain_core.language_models.chat_models import agenerate_from_stream, generate_from_stream
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field, PrivateAttr
from typing_extensions import override

from specprefill_agents.draft.registry import DEFAULT_DRAFT
from specprefill_agents.prompt.original_notes import original_in
from specprefill_agents.targets.loading import CACHE_BYTES, TargetSettings, load_target
from specprefill_agents.targets.local import LocalTarget
from specprefill_agents.targets.sampling import Sampling
from specprefill_langchain.local_answers import AnswerParts
from specprefill_langchain.local_messages import turns_of
from specprefill_langchain.local_structured import structured
from specprefill_langchain.local_tools import LocalRequest


class ChatLocal(BaseChatModel):
    """Answers with a causal language model on this machine; its weights are loaded at the first call.

    `model` is a name as `specprefill models list` shows, a directory with safetensors, a GGUF file or a hub name.
    `model`, `max_tokens`, `temperature`, `top_p`, `top_k`, `seed` and `stop` can be given per call too
    (`chat.bind(max_tokens=64)`), with the units and ranges of `targets.sampling.Sampling`; the fields from `device` to `positions`
    are those of `targets.loading.TargetSettings`. Answers carry `usage_metadata`, with what was read for an earlier answer as
    `cache_read`, and in `response_metadata` the `finish_reason` ("stop", "tool_calls" or "length"), `time_to_first_token_ms`,
    and how many tokens were guessed and accepted. Tools are shown as the model's chat template shows them, else in words; a
    forced call and a structured output follow their schema whatever the model would say, as far as `max_tokens` goes.

    Behind `SpecPrefillMiddleware` or `ChatSpecPrefill`, `positions="original"` reads of a compressed tool output the kept
    tokens of the whole, each at its place in it, without gap marks; "contiguous" reads the compressed text.
    Calls from several threads share one model and take turns token by token. Text only.
    """

    reads_originals: ClassVar[bool] = True

    model: str = DEFAULT_DRAFT
    max_tokens: int = Field(default=256, ge=1)
    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=1)
    seed: int | None = None
    stop: list[str] | None = None
    device: str = "auto"
    dtype: str = "auto"
    bits: Literal[8, 4] | None = None
    threads: int | None = None
    cache_bytes: int = Field(default=CACHE_BYTES, ge=0)
    assistant: str | None = None
    copies: bool = True
    positions: Literal["contiguous", "original"] = "contiguous"
    _loading: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _targets: dict[str, LocalTarget] = PrivateAttr(default_factory=dict)

    @property
    def target(self) -> LocalTarget:
        """The loaded model. Raises `UnknownDraftError` or `DraftError` when there is none by that name."""
        return self._target(self.model)

    @override
    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """A model that is shown `tools`.

        `tool_choice`: None or "auto" leaves the answer free, "none" shows no tools, "any", "required" or True forces a call of
        any tool, a name (or OpenAI's dictionary) of that one. A forced answer is one call, or several with
        `parallel_tool_calls=True`; False ends a free answer's calls after the first. `strict` needs no mention: forced calls
        always follow their schema. Raises `ConfigError` for a choice that is not there and a schema that cannot be followed.
        """
        bound = {"tools": [convert_to_openai_tool(tool) for tool in tools], **kwargs}
        if tool_choice is not None:
            bound["tool_choice"] = tool_choice
        if parallel_tool_calls is not None:
            bound["parallel_tool_calls"] = parallel_tool_calls
        LocalRequest.of(bound)
        return self.bind(**bound)

    @override
    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Literal["json_schema", "function_calling", "json_mode"] = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """A model whose answer is an instance of `schema`, or a dictionary where that is no class.

        "json_schema" tells the model the schema and holds its answer to it, "json_mode" holds without telling (`schema`
        None: any JSON object), "function_calling" forces a call of a tool of that schema. `strict` changes nothing: all
        three are held to the schema. `include_raw` as in LangChain. Raises ValueError for other arguments and methods.
        """
        if kwargs:
            raise ValueError(f"with_structured_output takes no {', '.join(kwargs)}")
        if method == "function_calling" and schema is not None:
            return super().with_structured_output(schema, include_raw=include_raw)
        return structured(self, schema, method, include_raw)

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, None, **kwargs))

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        # As a stream, so that cancelling the task ends the work with the token in progress.
        return await agenerate_from_stream(self._astream(messages, stop, None, **kwargs))

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        name = kwargs.get("model") or self.model
        target = self._target(name)
        request = LocalRequest.of(kwargs)
        turns = request.told(turns_of(messages))
        tools, grammar = request.tools, request.grammar
        lookup = [original.text for message in messages if (original := original_in(message.additional_kwargs))]
        stream = target.stream(turns, self._sampling(stop, kwargs), tools=tools, grammar=grammar, lookup=lookup)
        reader = target.reader(turns, tools=tools, grammar=grammar, single=request.single) if tools else None
        parts = AnswerParts(reader)
        while True:
            try:
                chunk = parts.next(next(stream))
            except StopIteration as done:
                yield ChatGenerationChunk(message=parts.last(done.value, name))
                return
            if chunk is not None:
                generation = ChatGenerationChunk(message=chunk)
                if run_manager:
                    run_manager.on_llm_new_token(str(chunk.content), chunk=generation)
                yield generation

    def _target(self, name: str) -> LocalTarget:
        with self._loading:
            if name not in self._targets:
                self._targets[name] = load_target(name, TargetSettings.of(self))
            return self._targets[name]

    def _sampling(self, stop: list[str] | None, given: dict[str, Any]) -> Sampling:
        return Sampling(
            max_new_tokens=given.get("max_tokens", self.max_tokens),
            stop=tuple(stop or self.stop or ()),
            **{name: given.get(name, getattr(self, name)) for name in ("temperature", "top_p", "top_k", "seed")},
        )

    @property
    @override
    def _llm_type(self) -> str:
        return "specprefill-local"

    @property
    @override
    def _identifying_params(self) -> dict[str, Any]:
        settings = ("model", "max_tokens", "temperature", "top_p", "top_k", "seed", "stop", "positions", "device", "dtype", "bits")
        return {name: getattr(self, name) for name in settings}

    @override
    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        return super()._get_invocation_params(stop or self.stop, **kwargs)

    @override
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return {**super()._get_ls_params(stop or self.stop, **kwargs), "ls_provider": self._llm_type}

    @override
    def _resolve_model_profile(self) -> ModelProfile | None:
        return ModelProfile(
            text_inputs=True,
            text_outputs=True,
            image_inputs=False,
            audio_inputs=False,
            pdf_inputs=False,
            tool_calling=True,
            tool_choice=True,
            structured_output=True,
            temperature=True,
        )
