"""What a process used before it forked, as servers do that load first, works in its children too."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from specprefill_agents import CompressionConfig, Compressor, Guardrails, Segment
from specprefill_agents.guardrails.guard import WAITING, Guard
from specprefill_agents.guardrails.settings import DriftSettings
from specprefill_agents.storage.forking import RestartingPool
from specprefill_langchain import PromptCompressor
from specprefill_llamaindex import SpecPrefillPostprocessor

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
]

TEXT = "".join(f"Shelf {number} holds {number * 37 % 101} books about birds.\n" for number in range(60))
CONFIG = CompressionConfig(keep_ratio=0.2, min_tokens=0, min_result_tokens=0, target_tokenizer="o200k_base", on_error="raise")
QUESTION = "How many books does shelf 41 hold?"


def in_a_child(holds: Callable[[], bool]) -> bool:
    """Whether it holds in a forked child, within a minute."""
    child = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(0 if holds() else 1))
    child.start()
    child.join(60)
    if child.is_alive():
        child.kill()
    return child.exitcode == 0


def test_a_pool_has_its_threads_again_and_the_parent_keeps_its_own() -> None:
    pool = RestartingPool(2, "worker")
    assert pool.submit(lambda: 1).result() == 1
    assert in_a_child(lambda: pool.submit(lambda: 2).result(30) == 2)
    assert pool.submit(lambda: 3).result() == 3


def test_a_compressor_that_was_loaded_scores(embedded_draft: str) -> None:
    compressor = Compressor(embedded_draft, CONFIG, cache="memory")
    compressor.load()
    assert in_a_child(lambda: "Shelf 41 holds" in compressor.compress([Segment(TEXT)], QUESTION).segments[0].text)


def test_a_guard_does_not_wait_for_the_second_opinions_of_its_parent(lexical: Callable[..., Compressor]) -> None:
    guard = Guard(Guardrails(id="test", version=1, drift=DriftSettings(share=1.0, scorer="random")))
    asked, answer = threading.Event(), threading.Event()

    def slow() -> list[list[tuple[int, int]]]:
        asked.set()
        answer.wait(60)
        return [[(0, 10)]]

    def has_its_own() -> bool:
        guard.second_opinion("own", [[(0, 10)]], lambda: [[(0, 10)]])
        guard.settle()
        return guard.drift is not None and guard.drift.metrics()["overlap_mean"] == 1

    for key in range(WAITING):
        guard.second_opinion(str(key), [[(0, 10)]], slow)
    asked.wait(60)
    try:
        assert in_a_child(has_its_own)
    finally:
        answer.set()
        guard.settle()


def test_asynchronous_calls_of_both_frameworks_are_answered(lexical: Callable[..., Compressor]) -> None:
    runnable = PromptCompressor(lexical(keep_ratio=0.2))
    postprocessor = SpecPrefillPostprocessor(compressor=lexical(keep_ratio=0.2))
    call = AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "c1"}])
    messages = [HumanMessage(QUESTION), call, ToolMessage(TEXT, tool_call_id="c1")]
    nodes = [NodeWithScore(node=TextNode(text=TEXT), score=1.0)]

    async def both() -> bool:
        compressed = await runnable.ainvoke(messages)
        kept = await postprocessor.apostprocess_nodes(nodes, QueryBundle(QUESTION))
        return len(compressed[-1].content) < len(TEXT) and len(kept[0].text) < len(TEXT)

    assert asyncio.run(both())
    assert in_a_child(lambda: asyncio.run(both()))
