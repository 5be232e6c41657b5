"""Agents of both frameworks, which know of a gateway nothing but its base URL."""

from __future__ import annotations

import itertools
import json
from typing import Any

import httpx
import pytest
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.tools import StructuredTool
from langchain_deepseek import ChatDeepSeek
from langchain_openai import ChatOpenAI
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

from specprefill_langchain import SpecPrefillMiddleware
from tests.gateway.running import lexical
from tests.gateway.timetables import timetable, tool_texts
from tests.openai_server import ANSWER, Recorded

STEPS = "When does the train to 'Basel' leave, in 4 steps?"
NOT_THINKING = {"thinking": {"type": "disabled"}}


def through(model: type[Any], url: str, **settings: Any) -> BaseChatModel:
    made: BaseChatModel = model(model="deepseek-flash", api_key="key-1", base_url=url, extra_body=NOT_THINKING, **settings)
    return made


def outputs(upstream: Recorded) -> list[str]:
    """What the last request holds of tool outputs, after checking that each request extends the one before."""
    assert len(upstream.bodies) == 5
    for earlier, later in itertools.pairwise(upstream.requests):
        assert later["messages"][: len(earlier["messages"])] == earlier["messages"]
        assert later["tools"] == earlier["tools"]
    return tool_texts(upstream.messages())


@pytest.mark.parametrize("model", [ChatOpenAI, ChatDeepSeek])
@pytest.mark.parametrize("streams", [False, True])
def test_a_langchain_agent_is_sent_compressed_and_finds_its_answer(
    gateway: str, upstream: Recorded, model: type[Any], streams: bool
) -> None:
    agent = create_agent(
        through(model, gateway, streaming=streams), [StructuredTool.from_function(timetable)], system_prompt="You know trains."
    )
    answer = agent.invoke({"messages": [HumanMessage(STEPS)]})["messages"][-1]
    assert answer.content == ANSWER
    assert len(outputs(upstream)[0]) < 0.5 * len(timetable(4, "Basel"))


def test_the_middleware_on_the_same_run_sends_the_same_bytes(gateway: str, upstream: Recorded) -> None:
    tools = [StructuredTool.from_function(timetable)]
    create_agent(through(ChatDeepSeek, gateway), tools).invoke({"messages": [HumanMessage(STEPS)]})
    by_gateway = [json.loads(body) for body in upstream.bodies]
    upstream.bodies.clear()
    middleware = SpecPrefillMiddleware(lexical())
    create_agent(through(ChatDeepSeek, upstream.url), tools, middleware=[middleware]).invoke({"messages": [HumanMessage(STEPS)]})
    assert [json.loads(body) for body in upstream.bodies] == by_gateway
    assert len(outputs(upstream)) == 4


# LlamaIndex's agents use deprecated attributes of pydantic, and of their workflows, which cannot serialize their memory.
@pytest.mark.filterwarnings(
    "ignore::pydantic.PydanticDeprecatedSince20",
    "ignore::pydantic.PydanticDeprecatedSince211",
    "ignore:is_running called:DeprecationWarning",
    "ignore::workflows.context.state_store.UnserializableKeyWarning",
)
@pytest.mark.parametrize("streams", [False, True])
async def test_a_llamaindex_agent_is_sent_compressed_and_finds_its_answer(gateway: str, upstream: Recorded, streams: bool) -> None:
    async_client = httpx.AsyncClient()
    llm = OpenAILike(
        async_http_client=async_client,
        model="deepseek-flash",
        api_key="key-1",
        api_base=gateway,
        is_chat_model=True,
        is_function_calling_model=True,
        additional_kwargs={"extra_body": NOT_THINKING},
        max_retries=0,
    )
    agent = FunctionAgent(llm=llm, tools=[FunctionTool.from_defaults(timetable)], streaming=streams)
    async with async_client:
        assert str(await agent.run(STEPS)) == ANSWER
    assert len(outputs(upstream)[0]) < 0.5 * len(timetable(4, "Basel"))
