"""pre_model_hook: for graphs that let something look at the messages before the model does, as `create_react_agent` does."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import Runnable, RunnableLambda

from specprefill_agents.compressor import Compressor
from specprefill_langchain.runnable import PromptCompressor


def pre_model_hook(compressor: Compressor | PromptCompressor) -> Runnable[Any, dict[str, Any]]:
    """A node from a graph's state to `{"llm_input_messages": ...}`, the state's messages with their tool outputs compressed.

    For `create_react_agent(model, tools, pre_model_hook=pre_model_hook(compressor))`; `create_agent` takes
    `SpecPrefillMiddleware` instead. The state keeps the full texts. Give the agent `expand_tool(compressor)` among its tools.
    """
    prompt = compressor if isinstance(compressor, PromptCompressor) else PromptCompressor(compressor)
    return RunnableLambda(_messages) | prompt | RunnableLambda(_as_input)


def _messages(state: Any) -> Any:
    """The messages of a state, which is a mapping or an object with attributes."""
    return state["messages"] if isinstance(state, dict) else state.messages


def _as_input(messages: Any) -> dict[str, Any]:
    return {"llm_input_messages": messages}
