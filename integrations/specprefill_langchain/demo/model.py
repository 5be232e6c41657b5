"""The demo's models: DeepSeek where there is a key, else a script that decides and a local model that answers."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from typing_extensions import override

from specprefill_agents.errors import missing_extra

DEEPSEEK_MODEL = "deepseek-flash"


class ScriptedModel(BaseChatModel):
    """Makes the tool calls of `steps` in order, then lets `writer` answer from the messages it was sent itself.

    `reminder` is put after them for the writer: a small model has lost a question that stands thousands of tokens back.
    """

    steps: Sequence[AIMessage]
    writer: BaseChatModel
    reminder: str

    @property
    @override
    def _llm_type(self) -> str:
        return "specprefill-demo-script"

    @override
    def bind_tools(self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any) -> ScriptedModel:
        return self

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        done = sum(isinstance(message, AIMessage) for message in messages)
        if done < len(self.steps):
            answer = self.steps[done].model_copy()
        else:
            answer = self.writer.invoke([*messages, HumanMessage(content=self.reminder)], stop=stop)
        return ChatResult(generations=[ChatGeneration(message=answer)])


def deepseek_model() -> BaseChatModel | None:
    """DeepSeek when DEEPSEEK_API_KEY is set, else None. Raises ImportError when its package is missing."""
    if not os.environ.get("DEEPSEEK_API_KEY"):
        return None
    try:
        from langchain_deepseek import ChatDeepSeek
    except ImportError as error:
        raise missing_extra("A demo driven by DeepSeek", "deepseek") from error
    # One user_id for the conversation, or the prefix cache is not shared. Without thinking no reasoning text has to be
    # sent back, which langchain-deepseek 1.1 does not do.
    body = {"user_id": f"specprefill-demo-{uuid.uuid4().hex[:12]}", "thinking": {"type": "disabled"}}
    return ChatDeepSeek(model_name=DEEPSEEK_MODEL, temperature=0, max_retries=2, extra_body=body)
