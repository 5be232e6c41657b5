"""LangSmith's trace of an agent says, around each model call, what compressing did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tracers.langchain import LangChainTracer
from langsmith import Client

from specprefill_agents import Compressor


class Kept(Client):
    """Keeps what it would send of runs that have ended."""

    def __init__(self) -> None:
        super().__init__(api_url="http://127.0.0.1:1", api_key="none", auto_batch_tracing=False)
        self.names: dict[str, str] = {}
        self.metadata: dict[str, dict[str, Any]] = {}

    def create_run(self, name: str, inputs: Any, run_type: Any, **run: Any) -> None:
        self.names[str(run["id"])] = name

    def update_run(self, run_id: Any, **run: Any) -> None:
        self.metadata[str(run_id)] = (run.get("extra") or {}).get("metadata") or {}


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_the_run_around_a_model_call_has_the_figures_in_its_metadata(
    make_agent: Callable[..., Any], compressor: Compressor, question: str, is_async: bool
) -> None:
    client = Kept()
    config = {"callbacks": [LangChainTracer(client=client)]}
    agent, asked = make_agent(compressor), {"messages": [HumanMessage(question)]}
    if is_async:
        await agent.ainvoke(asked, config)
    else:
        agent.invoke(asked, config)
    found = {number: metadata["specprefill"] for number, metadata in client.metadata.items() if "specprefill" in metadata}
    assert {client.names[number] for number in found} == {f"SpecPrefillMiddleware.{'a' * is_async}wrap_model_call"}
    last = max(found.values(), key=lambda figures: figures["original_tokens"])
    assert last["kept_tokens"] < last["original_tokens"]
