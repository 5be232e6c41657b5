"""Adapters in several processes that share a store send one conversation with the same bytes, whatever each would decide alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from redis import Redis

from benchmarks.store_faults.server import LocalServer
from specprefill_agents import CompressionConfig, Compressor, ConfigError, Originals
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_agents.session.shared import SessionStore
from specprefill_agents.storage.redis_server import RedisServer
from specprefill_agents.types import TokenScores
from specprefill_langchain import ChatSpecPrefill, PromptCompressor
from tests.agent_runs import log as tool_output
from tests.langchain.conftest import ScriptedModel
from tests.storage_redis.shared_stores import SECRET

SETTINGS: dict[str, Any] = {"keep_ratio": 0.3, "min_tokens": 0, "min_result_tokens": 0, "target_tokenizer": "estimate"}
NAMED: RunnableConfig = {"configurable": {"session_id": "conversation"}}


class Sometimes:
    """A scorer that fails where it is told to."""

    fingerprint = "sometimes"

    def __init__(self, fails: bool) -> None:
        self._fails = fails

    def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
        if self._fails:
            raise RuntimeError("on purpose")
        return LexicalScorer().score(contexts, query)


def messages(count: int) -> list[BaseMessage]:
    found: list[BaseMessage] = [HumanMessage("Which hosts have a fault?")]
    for number in range(count):
        call = {"id": f"call-{number}", "name": "read_log", "args": {"host": number}}
        found += [AIMessage("", tool_calls=[call]), ToolMessage(tool_output(number), tool_call_id=f"call-{number}", name="read_log")]
    return found


@pytest.fixture
def opened(raw: Redis, running: LocalServer, connect: Callable[..., RedisServer]) -> Callable[..., SessionStore]:
    """Opens the store, each time as another process would."""

    def make(*, fails: bool = False) -> SessionStore:
        server = connect(running.url)
        originals = Originals.on_redis(server, secret=SECRET)
        made = Compressor(config=CompressionConfig.from_dict(SETTINGS), scorer=Sometimes(fails), cache="memory", originals=originals)
        return SessionStore(server, made, secret=SECRET)

    return make


def test_what_one_process_sent_the_other_sends(opened: Callable[..., SessionStore]) -> None:
    here, there = opened(fails=True), opened()
    first = PromptCompressor(here.compressor, sessions=here).invoke(messages(1), NAMED)
    second = PromptCompressor(there.compressor, sessions=there).invoke(messages(2), NAMED)
    assert isinstance(first, list)
    assert isinstance(second, list)
    assert second[2].content == first[2].content == tool_output(0)
    assert len(str(second[4].content)) < len(tool_output(1))
    alone = PromptCompressor(there.compressor).invoke(messages(2), NAMED)
    assert isinstance(alone, list)
    assert len(str(alone[2].content)) < len(tool_output(0)), "it would have cut what was sent whole"


def test_so_does_a_chat_model(opened: Callable[..., SessionStore]) -> None:
    sent = []
    for store, count in ((opened(fails=True), 1), (opened(), 2)):
        inner = ScriptedModel(answers=[AIMessage("done")])
        ChatSpecPrefill(inner=inner, compressor=store.compressor, sessions=store).invoke(messages(count), NAMED)
        sent.append(inner.requests[-1])
    assert sent[1][2].content == sent[0][2].content == tool_output(0)


def test_a_store_of_another_compressor_is_refused(opened: Callable[..., SessionStore]) -> None:
    with pytest.raises(ConfigError, match="sessions="):
        PromptCompressor(opened().compressor, sessions=opened())
