"""The postprocessor where users put it: real chat and query engines over a real BM25 index, and a step of a real Workflow.

Scripted is only what a language model decides: which tool, which sub-questions, how a question reads on its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.response.schema import Response
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine
from llama_index.core.llms import ChatMessage, MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import CitationQueryEngine, RetrieverQueryEngine, RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import Document, MetadataMode, NodeWithScore
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import QueryEngineTool
from llama_index.core.workflow import Context, Event, JsonSerializer, StartEvent, StopEvent, Workflow, step
from llama_index.retrievers.bm25 import BM25Retriever

from specprefill_llamaindex import NODE_ID_KEY, SPANS_KEY, SpecPrefillPostprocessor
from tests.retrieved_nodes import NEEDLE, QUERY, filler, make

# LlamaIndex's workflows look at every attribute, the deprecated ones of pydantic included.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")

DANUBE = "The town of Melk lies on the river Danube, below a large abbey."
RIVER = "Which river flows past the town of Melk?"
SPLITTER = SentenceSplitter(chunk_size=256, chunk_overlap=0)


def documents() -> list[Document]:
    """Books of several nodes each; the first answers `QUERY`, the second `RIVER`."""
    facts = [NEEDLE, DANUBE, "Glass is made of sand.", "Owls hunt at night."]
    return [
        Document(id_=f"book-{i}", text=f"{filler(f'plain {i}', 14)} {fact} {filler(f'hill {i}', 14)}", metadata={"title": f"Book {i}"})
        for i, fact in enumerate(facts)
    ]


@pytest.fixture(scope="module")
def retriever() -> BM25Retriever:
    return BM25Retriever.from_defaults(nodes=SPLITTER.get_nodes_from_documents(documents()), similarity_top_k=8)


@pytest.fixture
def post() -> SpecPrefillPostprocessor:
    return make(keep_ratio=0.15)


class Scripted(MockLLM):
    """Answers by `decide`; where that has nothing to say, with its prompt, as `MockLLM` does."""

    def __init__(self, decide: Callable[[str], str | None]) -> None:
        super().__init__()
        self._decide = decide

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        answer = super().complete(prompt, formatted, **kwargs)
        answer.text = self._decide(prompt) or answer.text
        return answer


def read_by_the_model(sources: list[NodeWithScore]) -> str:
    return "\n".join(node.get_content(MetadataMode.LLM) for node in sources)


def check(sources: list[NodeWithScore], fact: str, original_chars: int) -> None:
    """The sources hold the fact, are compressed, and lead to their books."""
    shown = read_by_the_model(sources)
    assert fact in shown
    assert len(shown) < 0.4 * original_chars
    assert {node.node.ref_doc_id for node in sources} <= {f"book-{i}" for i in range(4)}


def retrieved_chars(retriever: BM25Retriever, question: str) -> int:
    return len(read_by_the_model(retriever.retrieve(question)))


def test_a_context_chat_engine_reads_for_each_message_what_it_needs(retriever: BM25Retriever, post: SpecPrefillPostprocessor) -> None:
    engine = ContextChatEngine.from_defaults(
        retriever=retriever, llm=MockLLM(), node_postprocessors=[post], memory=ChatMemoryBuffer.from_defaults()
    )
    for question, fact in ((QUERY, NEEDLE), (RIVER, DANUBE)):
        response = engine.chat(question)
        assert fact in str(response)
        check(response.source_nodes, fact, retrieved_chars(retriever, question))


async def test_a_context_chat_engine_does_so_streaming_and_asynchronously(retriever: BM25Retriever, post: SpecPrefillPostprocessor) -> None:
    engine = ContextChatEngine.from_defaults(
        retriever=retriever, llm=MockLLM(), node_postprocessors=[post], memory=ChatMemoryBuffer.from_defaults()
    )
    response = await engine.astream_chat(QUERY)
    streamed = "".join([part async for part in response.async_response_gen()])
    engine.reset()
    assert NEEDLE in streamed
    assert str(await engine.achat(QUERY)) == streamed


def test_a_condensing_chat_engine_compresses_for_the_question_it_condensed(
    retriever: BM25Retriever, post: SpecPrefillPostprocessor
) -> None:
    llm = Scripted(lambda prompt: RIVER if "standalone question" in prompt.lower() else None)
    history = [ChatMessage("Tell me of Melk.", role="user"), ChatMessage("It is a town.", role="assistant")]
    memory = ChatMemoryBuffer.from_defaults(chat_history=history)
    engine = CondensePlusContextChatEngine.from_defaults(retriever=retriever, llm=llm, node_postprocessors=[post], memory=memory)
    response = engine.chat("And what flows past it?")
    check(response.source_nodes, DANUBE, retrieved_chars(retriever, RIVER))


def test_a_citation_engine_splits_what_was_kept_and_each_chunk_knows_its_node(
    retriever: BM25Retriever, post: SpecPrefillPostprocessor
) -> None:
    retrieved = {node.node_id: node for node in retriever.retrieve(QUERY)}
    engine = CitationQueryEngine(retriever, llm=MockLLM(), node_postprocessors=[post], citation_chunk_size=64, citation_chunk_overlap=0)
    response = engine.query(QUERY)
    chunks = response.source_nodes
    assert [node.text.split(":\n")[0] for node in chunks] == [f"Source {i + 1}" for i in range(len(chunks))]
    for chunk in chunks:
        source = retrieved[chunk.metadata[NODE_ID_KEY]]
        assert chunk.node.ref_doc_id == source.node.ref_doc_id
        assert chunk.metadata["title"] == source.metadata["title"]
        assert chunk.score == source.score
    (cited,) = [chunk for chunk in chunks if "discovered by Marie" in chunk.text]
    assert cited.node.ref_doc_id == "book-0"
    start, end = next(span for span in cited.metadata[SPANS_KEY] if "polonium" in retrieved[cited.metadata[NODE_ID_KEY]].text[slice(*span)])
    assert NEEDLE in retrieved[cited.metadata[NODE_ID_KEY]].text[start:end]


def tools(retriever: BM25Retriever, llm: MockLLM) -> list[QueryEngineTool]:
    engines = [RetrieverQueryEngine.from_args(retriever, llm=llm, node_postprocessors=[make(keep_ratio=0.15)]) for _ in range(2)]
    return [
        QueryEngineTool.from_defaults(engine, name=name, description=f"Answers on {name}.")
        for engine, name in zip(engines, ("chemistry", "rivers"), strict=True)
    ]


def test_a_router_leads_to_an_engine_that_compresses(retriever: BM25Retriever) -> None:
    llm = Scripted(lambda prompt: '[{"choice": 2, "reason": "a river"}]' if "choices" in prompt.lower() else None)
    engine = RouterQueryEngine.from_defaults(tools(retriever, llm), llm=llm, selector=LLMSingleSelector.from_defaults(llm=llm))
    response = engine.query(RIVER)
    assert response.metadata is not None
    assert response.metadata["selector_result"].ind == 1
    check(response.source_nodes, DANUBE, retrieved_chars(retriever, RIVER))


def test_each_sub_question_has_its_own_compression(retriever: BM25Retriever) -> None:
    asked = {"items": [{"sub_question": QUERY, "tool_name": "chemistry"}, {"sub_question": RIVER, "tool_name": "rivers"}]}
    llm = Scripted(lambda prompt: f"```json\n{json.dumps(asked)}\n```" if "sub_question" in prompt else None)
    engine = SubQuestionQueryEngine.from_defaults(
        tools(retriever, llm),
        llm=llm,
        question_gen=LLMQuestionGenerator.from_defaults(llm=llm),
        response_synthesizer=get_response_synthesizer(llm=llm),
        use_async=False,
        verbose=False,
    )
    response = engine.query("Who found polonium, and which river is at Melk?")
    assert isinstance(response, Response)
    answers = [node for node in response.source_nodes if "Sub question" in node.text]
    assert [fact in node.text for node, fact in zip(answers, (NEEDLE, DANUBE), strict=True)] == [True, True]
    originals = [node for node in response.source_nodes if SPANS_KEY in node.metadata]
    assert {NEEDLE in read_by_the_model(originals), DANUBE in read_by_the_model(originals)} == {True}


class RetrievedEvent(Event):
    nodes: list[NodeWithScore]


class CompressedEvent(Event):
    nodes: list[NodeWithScore]


class Answering(Workflow):
    """Question -> nodes -> what the question needs of them -> answer."""

    def __init__(self, retriever: BM25Retriever, post: SpecPrefillPostprocessor) -> None:
        super().__init__(timeout=60)
        self._retriever = retriever
        self._post = post

    @step
    async def retrieve(self, ctx: Context, event: StartEvent) -> RetrievedEvent:
        await ctx.store.set("question", event.question)
        return RetrievedEvent(nodes=await self._retriever.aretrieve(event.question))

    @step
    async def compress(self, ctx: Context, event: RetrievedEvent) -> CompressedEvent:
        question = await ctx.store.get("question")
        nodes = await self._post.apostprocess_nodes(event.nodes, query_str=question)
        await ctx.store.set("sources", [scored.node for scored in nodes])
        return CompressedEvent(nodes=nodes)

    @step
    async def answer(self, ctx: Context, event: CompressedEvent) -> StopEvent:
        synthesizer = get_response_synthesizer(llm=MockLLM())
        return StopEvent(result=await synthesizer.asynthesize(await ctx.store.get("question"), event.nodes))


async def test_a_workflow_step_compresses_nodes_and_runs_at_once_do_not_mix(
    retriever: BM25Retriever, post: SpecPrefillPostprocessor
) -> None:
    workflow = Answering(retriever, post)
    asked = [(QUERY, NEEDLE), (RIVER, DANUBE)] * 3
    responses = await asyncio.gather(*(workflow.run(question=question) for question, _ in asked))
    for (question, fact), response in zip(asked, responses, strict=True):
        assert fact in str(response)
        check(response.source_nodes, fact, retrieved_chars(retriever, question))


async def test_compressed_nodes_survive_the_serialization_of_a_workflows_context(
    retriever: BM25Retriever, post: SpecPrefillPostprocessor
) -> None:
    workflow = Answering(retriever, post)
    handler = workflow.run(question=QUERY)
    await handler
    stored = json.loads(json.dumps(handler.ctx.to_dict(serializer=JsonSerializer())))
    again = Context.from_dict(workflow, stored, serializer=JsonSerializer())
    sources = await again.store.get("sources")
    assert sources == await handler.ctx.store.get("sources")
    assert any(NEEDLE in source.get_content(MetadataMode.LLM) for source in sources)
