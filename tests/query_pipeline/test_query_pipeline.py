"""SpecPrefillPostprocessor as a component of a real QueryPipeline, in the last llama-index-core that has one.

Run by `make test-query-pipeline` in an environment of its own.
"""

from __future__ import annotations

import asyncio
import runpy
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import get_response_synthesizer
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import CustomQueryEngine
from llama_index.core.query_pipeline import InputComponent, QueryPipeline
from llama_index.core.schema import MetadataMode, TextNode
from llama_index.retrievers.bm25 import BM25Retriever

from specprefill_agents import CompressionConfig, Compressor, TokenScores
from specprefill_agents.storage.originals import Originals
from specprefill_llamaindex import CompressionEndEvent, SpecPrefillPostprocessor

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "llamaindex_query_pipeline.py"
FACTS = {
    "Who discovered the element polonium?": "The element polonium was discovered by Marie and Pierre Curie in July 1898.",
    "Which river flows through the town of Melk?": "The town of Melk lies on the river Danube, below a large abbey.",
}


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the tests keep stays out of the user's cache."""
    monkeypatch.setenv("SPECPREFILL_CACHE_DIR", str(tmp_path / "cache"))


def filler(topic: str) -> str:
    return " ".join(f"Note {i} on {topic} says that nothing of interest happened in the year {1700 + i}." for i in range(8))


def nodes() -> list[TextNode]:
    texts = [f"{filler(f'element {i}')} {fact} {filler(f'river {i}')}" for i, fact in enumerate(FACTS.values())]
    return [
        TextNode(id_=f"node-{i}", text=text, metadata={"page": i}) for i, text in enumerate([*texts, filler("towns"), filler("discovery")])
    ]


def postprocessor(**settings: Any) -> SpecPrefillPostprocessor:
    config = CompressionConfig.from_dict(
        {"scorer": "bm25", "keep_ratio": 0.2, "min_tokens": 0, "target_tokenizer": "o200k_base", **settings}
    )
    return SpecPrefillPostprocessor(Compressor(config=config, cache="memory", originals=Originals.in_memory()))


def pipeline(post: SpecPrefillPostprocessor | None = None) -> QueryPipeline:
    """Question -> retriever -> postprocessor -> synthesizer, the latter two with the question; the model answers with its prompt."""
    built = QueryPipeline(verbose=False)
    built.add_modules(
        {
            "input": InputComponent(),
            "retriever": BM25Retriever.from_defaults(nodes=nodes(), similarity_top_k=4),
            "compress": post or postprocessor(),
            "answer": get_response_synthesizer(llm=MockLLM()),
        }
    )
    built.add_link("input", "retriever", src_key="query_str")
    built.add_link("retriever", "compress", dest_key="nodes")
    built.add_link("input", "compress", src_key="query_str", dest_key="query_str")
    built.add_link("compress", "answer", dest_key="nodes")
    built.add_link("input", "answer", src_key="query_str", dest_key="query_str")
    return built


def check(question: str, response: Any) -> None:
    """The prompt holds the fact asked for, in far fewer characters than all nodes have."""
    prompt = str(response)
    other = next(fact for asked, fact in FACTS.items() if asked != question)
    assert FACTS[question] in prompt
    assert other not in prompt
    assert len(prompt) < 0.5 * sum(len(node.text) for node in nodes())
    assert {node.node_id for node in response.source_nodes} <= {node.node_id for node in nodes()}


def test_this_is_the_last_release_with_a_query_pipeline() -> None:
    assert metadata.version("llama-index-core") == "0.12.52.post1"
    assert "torch" not in sys.modules


@pytest.mark.parametrize("question", FACTS)
def test_it_compresses_between_retriever_and_synthesizer(question: str) -> None:
    check(question, pipeline().run(query_str=question))


@pytest.mark.parametrize("question", FACTS)
async def test_it_does_so_in_an_asynchronous_run(question: str) -> None:
    check(question, await pipeline().arun(query_str=question))


def test_a_batch_answers_each_question_from_what_it_needs() -> None:
    for question, response in zip(FACTS, pipeline().run(query_str=list(FACTS), batch=True), strict=True):
        check(question, response)


async def test_runs_at_once_share_one_postprocessor() -> None:
    post = postprocessor()
    asked = [*FACTS] * 4
    responses = await asyncio.gather(*(pipeline(post).arun(query_str=question) for question in asked))
    for question, response in zip(asked, responses, strict=True):
        check(question, response)


def test_in_a_chain_without_a_question_it_still_meets_the_budget() -> None:
    chain = QueryPipeline(chain=[BM25Retriever.from_defaults(nodes=nodes(), similarity_top_k=4), postprocessor()])
    out = chain.run(input="Who discovered the element polonium?")
    lengths = [sum(len(one.get_content(MetadataMode.NONE)) for one in each) for each in (out, nodes())]
    assert 0 < lengths[0] < 0.4 * lengths[1]


def test_what_it_took_in_and_gave_out_shows_among_the_intermediates() -> None:
    _, steps = pipeline().run_with_intermediates(query_str=next(iter(FACTS)))
    assert set(steps["compress"].inputs) == {"nodes", "query_str"}
    (kept,) = steps["compress"].outputs.values()
    assert next(iter(FACTS.values())) in "".join(one.get_content(MetadataMode.NONE) for one in kept)


@pytest.mark.parametrize("question", FACTS)
def test_a_query_engine_may_be_a_pipeline(question: str) -> None:
    class Engine(CustomQueryEngine):
        pipeline: QueryPipeline

        def custom_query(self, query_str: str) -> Any:
            return self.pipeline.run(query_str=query_str)

    check(question, Engine(pipeline=pipeline()).query(question))


def test_a_pipeline_may_be_a_step_of_another() -> None:
    question = next(iter(FACTS))
    outer = QueryPipeline(chain=[pipeline(), MockLLM()])
    assert FACTS[question] in str(outer.run(query_str=question))


def test_a_failing_scorer_leaves_the_nodes_as_they_were_retrieved() -> None:
    class Failing:
        def score(self, contexts: Any, query: str) -> list[TokenScores]:
            raise RuntimeError("no model")

    config = CompressionConfig(min_tokens=0, target_tokenizer="o200k_base")
    post = SpecPrefillPostprocessor(Compressor(config=config, scorer=Failing(), cache="memory"))
    response = pipeline(post).run(query_str=next(iter(FACTS)))
    assert all(node.text in str(response) for node in nodes())


@pytest.fixture
def seen() -> Iterator[list[BaseEvent]]:
    """Events that an event handler of the root dispatcher was given."""
    events: list[BaseEvent] = []

    class Handler(BaseEventHandler):
        def handle(self, event: BaseEvent, **kwargs: Any) -> None:
            events.append(event)

    root = get_dispatcher()
    handler = Handler()
    root.add_event_handler(handler)
    yield events
    root.event_handlers.remove(handler)


def test_instrumentation_is_told_what_was_kept(seen: list[BaseEvent]) -> None:
    pipeline().run(query_str=next(iter(FACTS)))
    (end,) = [event for event in seen if isinstance(event, CompressionEndEvent)]
    assert 0 < end.kept_tokens <= 0.2 * end.original_tokens


def test_it_serializes_here_too() -> None:
    post = postprocessor()
    again = SpecPrefillPostprocessor.from_json(post.to_json())
    assert again.config == post.config


def test_the_example_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [EXAMPLE.name, "--scorer", "bm25"])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    printed = capsys.readouterr().out
    assert 'executes a "return", "break" or "continue" statement, the saved exception is discarded' in " ".join(printed.split())
    before, after = (int(word.replace(",", "")) for word in printed.rsplit("\n", 2)[-2].split() if word[0].isdigit())
    assert 0 < after < before / 4
