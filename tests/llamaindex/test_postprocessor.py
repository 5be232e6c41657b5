"""SpecPrefillPostprocessor on real LlamaIndex nodes, alone and inside real query engines."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from llama_index.core import SummaryIndex
from llama_index.core.base.response.schema import Response
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import CitationQueryEngine, RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import (
    Document,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeWithScore,
    QueryBundle,
    TextNode,
)

from specprefill_agents import CompressionConfig, Compressor, ConfigError, TokenScores, UnknownDraftError
from specprefill_agents.scoring.lexical import LexicalScorer
from specprefill_llamaindex import SPANS_KEY, SpecPrefillPostprocessor
from tests.retrieved_nodes import LEXICAL, NEEDLE, QUERY, FixedRetriever, filler, make, make_nodes, texts


class FailingScorer:
    """A scorer whose model is gone."""

    def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
        raise RuntimeError("no model")


def test_what_the_query_asks_for_is_kept() -> None:
    out = make().postprocess_nodes(make_nodes(), query_str=QUERY)
    assert NEEDLE in "\n".join(texts(out))


def test_the_text_budget_holds_over_all_nodes_together() -> None:
    post = make(keep_ratio=0.2, drop_empty=False)
    nodes = make_nodes()
    count = post.compressor.counter.count
    out = post.postprocess_nodes(nodes, query_str=QUERY)
    assert 0 < sum(map(count, texts(out))) <= 0.2 * sum(map(count, texts(nodes)))


def test_a_compressed_node_keeps_everything_but_its_text() -> None:
    nodes = make_nodes()
    by_id = {node.node_id: node for node in nodes}
    out = make(drop_empty=False).postprocess_nodes(nodes, query_str=QUERY)
    assert [node.node_id for node in out] == [node.node_id for node in nodes]
    for node in out:
        before = by_id[node.node_id]
        assert node.score == before.score
        assert {key: value for key, value in node.metadata.items() if not key.startswith("specprefill_")} == before.metadata
        assert node.node.relationships == before.node.relationships
        assert node.node.embedding == before.node.embedding
        assert isinstance(node.node, TextNode)
        assert node.node.start_char_idx == before.node.start_char_idx


def test_spans_lead_back_to_the_original_text() -> None:
    nodes = make_nodes()
    by_id = {node.node_id: node.text for node in nodes}
    for node in make().postprocess_nodes(nodes, query_str=QUERY):
        spans = node.metadata[SPANS_KEY]
        assert spans == sorted(spans)
        json.dumps(spans)
        for start, end in spans:
            assert by_id[node.node_id][start:end] in node.text


def test_nodes_that_come_in_are_never_changed() -> None:
    nodes = make_nodes()
    before = copy.deepcopy(nodes)
    out = make().postprocess_nodes(nodes, query_str=QUERY)
    for node in out:
        node.node.metadata["added"] = "later"
        node.node.relationships.clear()
        node.node.excluded_llm_metadata_keys.append("title")
    assert nodes == before


def test_neither_model_is_shown_the_spans_and_metadata_is_not_copied_into_the_text() -> None:
    (first, *_) = make().postprocess_nodes(make_nodes(), query_str=QUERY)
    assert SPANS_KEY not in first.get_content(MetadataMode.LLM)
    assert SPANS_KEY not in first.get_content(MetadataMode.EMBED)
    assert first.get_content(MetadataMode.LLM).count("title: Chapter") == 1
    assert "title:" not in first.get_content(MetadataMode.NONE)


def test_nodes_of_which_nothing_is_kept_are_dropped_or_stay_empty() -> None:
    nodes = make_nodes()
    dropped = make(keep_ratio=0.05).postprocess_nodes(nodes, query_str=QUERY)
    assert 0 < len(dropped) < len(nodes)
    assert all(texts(dropped))
    kept = make(keep_ratio=0.05, drop_empty=False).postprocess_nodes(nodes, query_str=QUERY)
    assert len(kept) == len(nodes)
    assert "" in texts(kept)
    assert all(node.metadata[SPANS_KEY] == [] for node in kept if not node.text)


def test_top_n_returns_the_first_nodes_that_keep_something() -> None:
    everything = make(keep_ratio=0.5).postprocess_nodes(make_nodes(), query_str=QUERY)
    assert len(everything) > 2
    assert make(keep_ratio=0.5, top_n=2).postprocess_nodes(make_nodes(), query_str=QUERY) == everything[:2]
    with pytest.raises(ValueError, match="top_n"):
        make(top_n=0)


def test_nodes_that_are_more_than_text_pass_unchanged() -> None:
    image = NodeWithScore(node=ImageNode(text="a chart of polonium", image_url="https://example.org/chart.png"), score=0.5)
    index = NodeWithScore(node=IndexNode(text=filler("tables"), index_id="table-1", obj=TextNode(text="the table")), score=0.4)
    mixed = Node(text_resource=MediaResource(text=filler("films")), image_resource=MediaResource(url="https://example.org/still.png"))
    others = [image, index, NodeWithScore(node=mixed)]
    out = make(keep_ratio=0.2, top_n=1).postprocess_nodes([*make_nodes(), *others], query_str=QUERY)
    assert len(out) == 4
    assert all(after is before for after, before in zip(out[1:], others, strict=True))


def test_documents_and_nodes_with_a_text_resource_are_compressed() -> None:
    text = f"{filler('rivers')} {NEEDLE} {filler('hills')}"
    document = Document(text=text, metadata={"file": "a.txt"})
    node = Node(text_resource=MediaResource(text=text, mimetype="text/markdown"))
    for original in (document, node):
        (out,) = make().postprocess_nodes([NodeWithScore(node=original)], query_str=QUERY)
        assert type(out.node) is type(original)
        assert NEEDLE in out.get_content(MetadataMode.NONE)
        assert len(out.get_content(MetadataMode.NONE)) < len(text) == len(original.get_content(MetadataMode.NONE))
    assert isinstance(out.node, Node)
    assert out.node.text_resource is not None
    assert out.node.text_resource.mimetype == "text/markdown"


@pytest.mark.parametrize("settings", [{"keep_ratio": 1.0}, {"enabled": False}, {"min_tokens": 100_000}])
def test_nothing_to_do_returns_the_very_same_nodes(settings: dict[str, Any]) -> None:
    nodes = make_nodes()
    out = make(**settings).postprocess_nodes(nodes, query_str=QUERY)
    assert all(after is before for after, before in zip(out, nodes, strict=True))


def test_empty_nodes_and_no_nodes_pass() -> None:
    post = make()
    empty = [NodeWithScore(node=TextNode(text=text, metadata={"title": "t"}), score=0.1) for text in ("", "  \n")]
    assert post.postprocess_nodes([], query_str=QUERY) == []
    assert post.postprocess_nodes(empty, query_str=QUERY) == empty
    out = post.postprocess_nodes([*empty, *make_nodes()], query_str=QUERY)
    assert out[:2] == empty


def test_duplicate_ids_and_texts_are_handled_by_position() -> None:
    nodes = make_nodes()
    twin = TextNode(id_="node-3", text=filler("clocks"))
    out = make(drop_empty=False).postprocess_nodes([*nodes, nodes[3], NodeWithScore(node=twin, score=0.0)], query_str=QUERY)
    assert [node.node_id for node in out] == [*(f"node-{i}" for i in range(6)), "node-3", "node-3"]
    assert NEEDLE in out[3].text
    assert NEEDLE in out[6].text
    assert NEEDLE not in out[7].text


def test_metadata_that_is_no_json_passes_through() -> None:
    nodes = make_nodes()
    marker = object()
    nodes[3].node.metadata["handle"] = marker
    out = make(drop_empty=False).postprocess_nodes(nodes, query_str=QUERY)
    assert out[3].metadata["handle"] is marker


def test_a_node_compressed_before_is_left_alone() -> None:
    post = make()
    once = post.postprocess_nodes(make_nodes(), query_str=QUERY)
    twice = post.postprocess_nodes(once, query_str=QUERY)
    assert all(after is before for after, before in zip(twice, once, strict=True))


@pytest.mark.parametrize("bundle", [None, QueryBundle("")])
def test_a_missing_or_empty_query_still_compresses(bundle: QueryBundle | None) -> None:
    nodes = make_nodes()
    out = make(drop_empty=False).postprocess_nodes(nodes, bundle)
    assert len(out) == len(nodes)
    assert sum(map(len, texts(out))) < sum(map(len, texts(nodes)))


def test_thousands_of_nodes_go_through() -> None:
    nodes = [NodeWithScore(node=TextNode(id_=str(i), text=f"Line {i}: {filler('x', 1)}")) for i in range(3000)]
    nodes[1234] = NodeWithScore(node=TextNode(id_="1234", text=NEEDLE))
    out = make(keep_ratio=0.01).postprocess_nodes(nodes, query_str=QUERY)
    assert 0 < len(out) < 100
    assert NEEDLE in texts(out)


def test_a_failing_scorer_forwards_the_original_nodes(caplog: pytest.LogCaptureFixture) -> None:
    nodes = make_nodes()
    post = make(compressor=Compressor(config=CompressionConfig.from_dict(LEXICAL), scorer=FailingScorer()))
    out = post.postprocess_nodes(nodes, query_str=QUERY)
    assert all(after is before for after, before in zip(out, nodes, strict=True))
    assert "RuntimeError" in caplog.text
    strict = CompressionConfig.from_dict({**LEXICAL, "on_error": "raise"})
    with pytest.raises(RuntimeError, match="no model"):
        SpecPrefillPostprocessor(Compressor(config=strict, scorer=FailingScorer())).postprocess_nodes(nodes, query_str=QUERY)


def test_a_node_that_cannot_be_read_forwards_the_original_nodes(caplog: pytest.LogCaptureFixture) -> None:
    class Unreadable(TextNode):
        def get_content(self, metadata_mode: MetadataMode = MetadataMode.NONE) -> str:
            raise OSError("gone")

    nodes = [*make_nodes(), NodeWithScore(node=Unreadable(text="x"))]
    out = make().postprocess_nodes(nodes, query_str=QUERY)
    assert all(after is before for after, before in zip(out, nodes, strict=True))
    assert "gone" in caplog.text


def test_async_gives_the_same_nodes_and_many_at_once_agree() -> None:
    post = make()
    expected = post.postprocess_nodes(make_nodes(), query_str=QUERY)

    async def many() -> list[list[NodeWithScore]]:
        return await asyncio.gather(*(post.apostprocess_nodes(make_nodes(), query_str=QUERY) for _ in range(8)))

    assert asyncio.run(many()) == [expected] * 8


def test_async_keeps_the_event_loop_free() -> None:
    running: list[bool] = []

    class Watching:
        def score(self, contexts: Sequence[str], query: str) -> list[TokenScores]:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                running.append(False)
            else:
                running.append(True)
            return LexicalScorer().score(contexts, query)

    post = make(compressor=Compressor(config=CompressionConfig.from_dict(LEXICAL), scorer=Watching()))
    asyncio.run(post.apostprocess_nodes(make_nodes(), query_str=QUERY))
    assert running == [False]


def test_it_serializes_by_draft_and_config() -> None:
    post = make(top_n=3, drop_empty=False, force_keep=["polonium"])
    data = post.to_dict()
    assert data["class_name"] == SpecPrefillPostprocessor.class_name() == "SpecPrefillPostprocessor"
    again = SpecPrefillPostprocessor.from_json(post.to_json())
    assert again.config == post.config
    assert (again.draft, again.top_n, again.drop_empty) == (post.draft, 3, False)
    assert again.postprocess_nodes(make_nodes(), query_str=QUERY) == post.postprocess_nodes(make_nodes(), query_str=QUERY)
    assert pickle.loads(pickle.dumps(post)).config == post.config


def test_wrong_settings_are_refused_at_construction() -> None:
    with pytest.raises(ConfigError, match="keep_ratio"):
        SpecPrefillPostprocessor(config={"keep_ratio": 2})
    with pytest.raises(UnknownDraftError, match="smollm2-135m"):
        SpecPrefillPostprocessor(draft="no such draft")


def test_a_query_engine_answers_from_compressed_text_with_one_copy_of_the_metadata() -> None:
    nodes = make_nodes()
    engine = RetrieverQueryEngine.from_args(FixedRetriever(nodes), llm=MockLLM(), node_postprocessors=[make(keep_ratio=0.2)])
    prompt = str(engine.query(QUERY))
    full = str(RetrieverQueryEngine.from_args(FixedRetriever(nodes), llm=MockLLM()).query(QUERY))
    assert NEEDLE in prompt
    assert len(prompt) < 0.5 * len(full)
    assert prompt.count("title: Chapter 3") == 1
    assert SPANS_KEY not in prompt


def test_a_query_engine_answers_the_same_async_and_cites_the_retrieved_ids() -> None:
    nodes = make_nodes()
    engine = RetrieverQueryEngine.from_args(FixedRetriever(nodes), llm=MockLLM(), node_postprocessors=[make()])
    sync = engine.query(QUERY)
    later = asyncio.run(engine.aquery(QUERY))
    assert isinstance(sync, Response)
    assert str(sync) == str(later)
    assert [(n.node_id, n.score) for n in sync.source_nodes] == [(n.node_id, n.score) for n in later.source_nodes]
    assert {n.node_id for n in sync.source_nodes} <= {n.node_id for n in nodes}
    assert "node-3" in {n.node_id for n in sync.source_nodes}


def test_an_index_keeps_its_nodes_whole() -> None:
    index = SummaryIndex([node.node for node in make_nodes()])  # type: ignore[arg-type]
    engine = index.as_query_engine(llm=MockLLM(), node_postprocessors=[make()])
    first, second = str(engine.query(QUERY)), str(engine.query(QUERY))
    assert first == second
    stored = index.docstore.get_node("node-3")
    assert stored.get_content(MetadataMode.NONE) == make_nodes()[3].text
    assert SPANS_KEY not in stored.metadata


def test_a_citation_engine_cites_compressed_nodes_by_their_ids() -> None:
    synthesizer = get_response_synthesizer(llm=MockLLM())
    engine = CitationQueryEngine(
        FixedRetriever(make_nodes()), llm=MockLLM(), response_synthesizer=synthesizer, node_postprocessors=[make()]
    )
    response = engine.query(QUERY)
    cited = [node for node in response.source_nodes if NEEDLE in node.get_content(MetadataMode.NONE)]
    assert [node.node.metadata["title"] for node in cited] == ["Chapter 3"]


def test_the_real_draft_finds_the_needle(embedded_draft: str) -> None:
    post = SpecPrefillPostprocessor(draft=embedded_draft, config={"keep_ratio": 0.2, "min_tokens": 0})
    out = post.postprocess_nodes(make_nodes(4, needle_in=2), query_str=QUERY)
    assert NEEDLE in "\n".join(texts(out))


def test_importing_the_package_loads_no_framework_and_a_missing_one_is_named() -> None:
    script = """
import sys
import specprefill_llamaindex
assert not {"torch", "llama_index", "llama_index.core"} & set(sys.modules)
assert dir(specprefill_llamaindex) == sorted(specprefill_llamaindex.__all__)
sys.modules["llama_index"] = None
try:
    specprefill_llamaindex.SpecPrefillPostprocessor
except ImportError as error:
    assert "pip install 'specprefill-agents[llamaindex]'" in str(error), error
else:
    raise AssertionError("no ImportError")
try:
    specprefill_llamaindex.nothing
except AttributeError:
    print("ok")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "ok\n", done.stderr


def test_public_names_are_complete(lexical: Callable[..., Compressor]) -> None:
    import specprefill_llamaindex

    assert all(hasattr(specprefill_llamaindex, name) for name in specprefill_llamaindex.__all__)
    assert SpecPrefillPostprocessor(lexical(keep_ratio=0.4)).config.keep_ratio == 0.4
