"""PromptCompressor: messages in, messages out, so that `prompt | compressor | model` works."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import BaseMessage, convert_to_messages
from langchain_core.prompt_values import ChatPromptValue
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import run_in_executor
from typing_extensions import override

from specprefill_agents.compressor import Compressor
from specprefill_agents.session.sessions import MAX_SESSIONS, Sessions
from specprefill_agents.session.shared import SessionStore
from specprefill_langchain.conversations import opening_of, own_conversation_id
from specprefill_langchain.step import compress_step
from specprefill_langchain.threads import ContextPool


class PromptCompressor(Runnable[LanguageModelInput, LanguageModelInput]):
    """Forwards a prompt with its tool outputs compressed, and everything else as it came.

    A list of messages gives a list, a ChatPromptValue a ChatPromptValue; input that holds no tool outputs (a string)
    is returned as it is. What is decided about a tool output depends only on the messages up to it, so a growing
    conversation keeps its prefix. With `configurable={"session_id": ...}` (or `thread_id`) in the config the decisions
    are also remembered, for the `max_sessions` conversations used last, and not worked out again. `query` replaces the
    question derived from the messages. `sessions`, a `SessionStore` made with the same compressor, shares them with other
    processes. `model_id` is what audit records call the model, which is not seen from here.
    """

    def __init__(
        self,
        compressor: Compressor,
        query: str | None = None,
        *,
        max_sessions: int = MAX_SESSIONS,
        sessions: SessionStore | None = None,
        name: str | None = None,
        model_id: str | None = None,
    ) -> None:
        self.compressor = compressor
        self.query = query
        self.name = name
        self._sessions = Sessions(compressor, max_sessions, model_id, sessions)
        self._worker = ContextPool(thread_name_prefix="specprefill-runnable")

    @property
    @override
    def InputType(self) -> Any:
        return LanguageModelInput

    @property
    @override
    def OutputType(self) -> Any:
        return LanguageModelInput

    @override
    def invoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> LanguageModelInput:
        """The prompt as the model should get it. Blocks while the draft reads what is new."""
        return self._call_with_config(self._compress, input, config, **kwargs)

    @override
    async def ainvoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> LanguageModelInput:
        """As `invoke`, with the work done in this instance's one worker thread."""
        return await self._acall_with_config(self._acompress, input, config, **kwargs)

    def _compress(self, prompt: LanguageModelInput, run_manager: object, config: RunnableConfig) -> LanguageModelInput:
        if isinstance(prompt, ChatPromptValue):
            return prompt.model_copy(update={"messages": self._sent(list(prompt.messages), config)})
        if isinstance(prompt, (list, tuple)):
            messages = _messages(prompt)
            return prompt if messages is None else self._sent(messages, config)
        return prompt

    async def _acompress(self, prompt: LanguageModelInput, run_manager: object, config: RunnableConfig) -> LanguageModelInput:
        return await run_in_executor(self._worker, self._compress, prompt, run_manager, config)

    def _sent(self, messages: list[BaseMessage], config: RunnableConfig) -> list[BaseMessage]:
        session = self._sessions.get(own_conversation_id(config), opening_of(messages))
        return list(compress_step(self.compressor, session, messages, self.query).sent)


def _messages(prompt: Any) -> list[BaseMessage] | None:
    """The messages of `prompt`; tuples, dicts and strings in it are converted as a model would.

    None where that fails: the model itself says best what is wrong with its input.
    """
    if all(isinstance(message, BaseMessage) for message in prompt):
        return list(prompt)
    try:
        return convert_to_messages(prompt)
    except (ValueError, NotImplementedError):
        return None
