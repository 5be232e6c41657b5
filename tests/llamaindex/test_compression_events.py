"""What instrumentation sees of a compression: real handlers on the root dispatcher, counts that add up, never a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.base import BaseEvent
from llama_index_instrumentation.span import SimpleSpan

from specprefill_agents import CompressionConfig, Compressor, TokenScores
from specprefill_llamaindex import CompressionEndEvent, CompressionStartEvent
from tests.retrieved_nodes import LEXICAL, QUERY, FixedRetriever, make, make_nodes, texts


@dataclass
class Watch:
    """Events in order, and finished spans."""

    events: list[BaseEvent] = field(default_factory=list)
    spans: SimpleSpanHandler = field(default_factory=SimpleSpanHandler)

    @property
    def ours(self) -> list[CompressionStartEvent | CompressionEndEvent]:
        return [event for event in self.events if isinstance(event, (CompressionStartEvent, CompressionEndEvent))]

    @property
    def end(self) -> CompressionEndEvent:
        (event,) = [event for event in self.ours if isinstance(event, CompressionEndEvent)]
        return event

    def span(self, span_id: str | None) -> SimpleSpan:
        (span,) = [span for span in self.spans.completed_spans if span.id_ == span_id]
        return span


@pytest.fixture
def watch() -> Iterator[Watch]:
    seen = Watch()

    class Handler(BaseEventHandler):
        def handle(self, event: BaseEvent, **kwargs: Any) -> None:
            seen.events.append(event)

    root, handler = get_dispatcher(), Handler()
    root.add_event_handler(handler)
    root.add_span_handler(seen.spans)
    yield seen
    root.event_handlers.remove(handler)
    root.span_handlers.remove(seen.spans)


class FailingScorer:
    def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
        raise RuntimeError(f"cannot read {contexts[0]}")


@pytest.mark.parametrize("joint", [True, False])
def test_the_counts_are_those_of_what_came_out(watch: Watch, joint: bool) -> None:
    post, nodes = make(keep_ratio=0.1, joint=joint), make_nodes()
    out = post.postprocess_nodes(nodes, query_str=QUERY)
    start, end = watch.ours
    assert isinstance(start, CompressionStartEvent)
    assert (start.texts, start.draft, start.keep_ratio) == (6, None if start.scorer == "bm25" else start.draft, 0.1)
    assert start.scorer.startswith("bm25")
    assert isinstance(end, CompressionEndEvent)
    count = post.compressor.counter.count
    assert end.original_tokens == sum(map(count, texts(nodes)))
    assert end.kept_tokens == sum(map(count, texts(out)))
    assert end.ratio == end.kept_tokens / end.original_tokens <= 0.1
    assert (end.texts, end.compressed, end.dropped) == (6, 6, 6 - len(out))
    assert end.elapsed_ms >= end.scorer_ms > 0
    assert end.fallback_reason is None


def test_they_belong_to_the_span_of_the_call_within_the_span_of_the_query(watch: Watch) -> None:
    engine = RetrieverQueryEngine.from_args(FixedRetriever(make_nodes()), llm=MockLLM(), node_postprocessors=[make()])
    engine.query(QUERY)
    start, end = watch.ours
    assert start.span_id == end.span_id
    span = watch.span(end.span_id)
    assert span.id_.startswith("SpecPrefillPostprocessor._postprocess_nodes-")
    assert watch.span(span.parent_id).id_.startswith("RetrieverQueryEngine._query-")


async def test_an_asynchronous_call_has_the_same_parent_though_it_works_in_a_thread(watch: Watch) -> None:
    engine = RetrieverQueryEngine.from_args(FixedRetriever(make_nodes()), llm=MockLLM(), node_postprocessors=[make()])
    await engine.aquery(QUERY)
    span = watch.span(watch.end.span_id)
    assert watch.span(span.parent_id).id_.startswith("RetrieverQueryEngine._aquery-")


def test_no_text_of_a_node_or_a_question_is_in_them_even_where_an_error_quotes_one(watch: Watch) -> None:
    config = CompressionConfig.from_dict(LEXICAL)
    make(compressor=Compressor(config=config, scorer=FailingScorer())).postprocess_nodes(make_nodes(), query_str=QUERY)
    make().postprocess_nodes(make_nodes(), query_str=QUERY)
    said = "".join(event.model_dump_json() for event in watch.ours)
    assert len(watch.ours) == 4
    assert not any(word in said for word in ("polonium", "gardens", "harbours", "cannot read"))


def test_a_failure_is_told_with_its_kind_and_everything_kept(watch: Watch) -> None:
    config = CompressionConfig.from_dict(LEXICAL)
    make(compressor=Compressor(config=config, scorer=FailingScorer())).postprocess_nodes(make_nodes(), query_str=QUERY)
    end = watch.end
    assert end.fallback_reason == "RuntimeError"
    assert (end.compressed, end.dropped, end.ratio) == (0, 0, 1.0)


def test_nodes_that_cannot_be_read_are_told_as_forwarded(watch: Watch) -> None:
    class Unreadable(TextNode):
        def get_content(self, metadata_mode: MetadataMode = MetadataMode.NONE) -> str:
            raise OSError("gone")

    make().postprocess_nodes([NodeWithScore(node=Unreadable(text="x"))], query_str=QUERY)
    assert watch.end.fallback_reason == "nodes are forwarded unchanged: OSError"


def test_a_call_that_raises_ends_its_span_and_has_no_end_event(watch: Watch) -> None:
    config = CompressionConfig.from_dict({**LEXICAL, "on_error": "raise"})
    post = make(compressor=Compressor(config=config, scorer=FailingScorer()))
    with pytest.raises(RuntimeError):
        post.postprocess_nodes(make_nodes(), query_str=QUERY)
    assert [event.class_name() for event in watch.ours] == ["CompressionStartEvent"]
    assert [span.id_.split("-")[0] for span in watch.spans.dropped_spans] == ["SpecPrefillPostprocessor._postprocess_nodes"]


def test_nothing_to_do_is_told_too(watch: Watch) -> None:
    make().postprocess_nodes([], query_str=QUERY)
    assert (watch.end.texts, watch.end.original_tokens, watch.end.ratio) == (0, 0, 1.0)


def test_an_event_says_its_class_when_it_is_stored(watch: Watch) -> None:
    make().postprocess_nodes(make_nodes(), query_str=QUERY)
    assert [event.model_dump()["class_name"] for event in watch.ours] == ["CompressionStartEvent", "CompressionEndEvent"]
