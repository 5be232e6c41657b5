"""One budget for all nodes or one for each; what a compressed node says of itself; nodes as no test would wish them."""

from __future__ import annotations

import json

import pytest
from llama_index.core.schema import MediaResource, MetadataMode, Node, NodeWithScore, QueryBundle, TextNode

from specprefill_agents import CompressionConfig, Compressor
from specprefill_agents.draft.loading import load_draft
from specprefill_llamaindex import NODE_ID_KEY, SPANS_KEY, TOKENS_KEY, SpecPrefillPostprocessor
from tests.retrieved_nodes import LEXICAL, NEEDLE, QUERY, filler, make, make_nodes, texts


def test_with_a_budget_each_every_node_keeps_its_share_and_without_none_need() -> None:
    nodes = make_nodes()
    post = make(joint=False, keep_ratio=0.2, drop_empty=False)
    count = post.compressor.counter.count
    each = post.postprocess_nodes(nodes, query_str=QUERY)
    for before, after in zip(texts(nodes), texts(each), strict=True):
        assert 0 < count(after) <= 0.2 * count(before)
    unranked = [NodeWithScore(node=one.node) for one in nodes]
    together = make(keep_ratio=0.2, drop_empty=False).postprocess_nodes(unranked, query_str=QUERY)
    needle = [i for i, text in enumerate(texts(together)) if NEEDLE in text]
    assert needle == [3]
    assert count(texts(together)[3]) > 0.2 * count(texts(nodes)[3])


def test_a_budget_each_leaves_a_node_under_min_tokens_whole_and_its_answer_does_not_depend_on_the_others() -> None:
    nodes = make_nodes()
    short = NodeWithScore(node=TextNode(id_="short", text=NEEDLE))
    post = make(joint=False, min_tokens=60)
    out = post.postprocess_nodes([short, *nodes], query_str=QUERY)
    assert out[0] is short
    assert out[1:] == post.postprocess_nodes(nodes, query_str=QUERY)
    assert out[4] == post.postprocess_nodes(nodes[3:4], query_str=QUERY)[0]


def test_joint_is_the_default_and_survives_serialization() -> None:
    assert make().joint
    again = SpecPrefillPostprocessor.from_dict(make(joint=False).to_dict())
    assert not again.joint
    nodes = make_nodes()
    assert again.postprocess_nodes(nodes, query_str=QUERY) == make(joint=False).postprocess_nodes(nodes, query_str=QUERY)


def test_a_compressed_node_tells_its_tokens_and_its_id_in_metadata_that_no_model_is_shown() -> None:
    nodes = make_nodes()
    post = make(drop_empty=False)
    count = post.compressor.counter.count
    for before, after in zip(nodes, post.postprocess_nodes(nodes, query_str=QUERY), strict=True):
        assert after.metadata[NODE_ID_KEY] == before.node_id
        assert after.metadata[TOKENS_KEY] == [count(text) for text in texts([before, after])]
        added = {NODE_ID_KEY, TOKENS_KEY, SPANS_KEY}
        assert added == set(after.metadata) - set(before.metadata)
        json.dumps({key: after.metadata[key] for key in added})
        for mode in (MetadataMode.LLM, MetadataMode.EMBED):
            assert "specprefill_" not in after.get_content(mode)


def test_the_order_is_the_retrievers_whatever_is_kept_of_each_node() -> None:
    nodes = make_nodes()[::-1]
    out = make(drop_empty=False).postprocess_nodes(nodes, query_str=QUERY)
    assert [(one.node_id, one.score) for one in out] == [(one.node_id, one.score) for one in nodes]


def test_nodes_without_score_text_or_resource_pass_among_the_others() -> None:
    bare = [NodeWithScore(node=Node()), NodeWithScore(node=TextNode(text="")), NodeWithScore(node=Node(text_resource=MediaResource()))]
    out = make(drop_empty=True).postprocess_nodes([*bare, *make_nodes()], query_str=QUERY)
    assert all(after is before for after, before in zip(out, bare, strict=False))
    assert NEEDLE in "\n".join(texts(out))


def test_a_query_that_is_a_bundle_with_an_embedding_or_blank_is_read_as_text() -> None:
    nodes = make_nodes()
    bundle = QueryBundle(QUERY, custom_embedding_strs=["gardens"], embedding=[0.1])
    assert make().postprocess_nodes(nodes, bundle) == make().postprocess_nodes(nodes, query_str=QUERY)
    assert make().postprocess_nodes(nodes, QueryBundle("   "))
    with pytest.raises(ValueError, match="both"):
        make().postprocess_nodes(nodes, bundle, QUERY)


def test_text_that_is_no_valid_unicode_or_names_control_tokens_stays_text() -> None:
    strange = f"\ud800 <|im_start|>system {filler('moons', 4)} \x00 {NEEDLE} [… lines 3-9 omitted] {filler('suns', 4)}"
    (out,) = make(keep_ratio=0.5).postprocess_nodes([NodeWithScore(node=TextNode(text=strange))], query_str=QUERY)
    assert NEEDLE in texts([out])[0]
    for start, end in out.metadata[SPANS_KEY]:
        assert strange[start:end] in texts([out])[0]


@pytest.mark.parametrize("joint", [True, False])
def test_a_node_longer_than_the_drafts_window_is_compressed_without_a_fallback(tiny_draft: str, joint: bool) -> None:
    config = CompressionConfig(keep_ratio=0.2, scorer="speculative", min_tokens=0, target_tokenizer="o200k_base", on_error="raise")
    post = SpecPrefillPostprocessor(Compressor(tiny_draft, config, cache="memory"), joint=joint)
    draft, text = load_draft(tiny_draft), filler("hills", 60)
    assert len(draft.encode(text).ids) > draft.window
    (out,) = post.postprocess_nodes([NodeWithScore(node=TextNode(text=text))], query_str=QUERY)
    before, after = out.metadata[TOKENS_KEY]
    assert 0 < after <= 0.2 * before


def test_one_compressor_serves_both_kinds_of_budget() -> None:
    compressor = Compressor(config=CompressionConfig.from_dict({**LEXICAL, "keep_ratio": 0.3}), cache="memory")
    first, second = (SpecPrefillPostprocessor(compressor, joint=joint) for joint in (True, False))
    assert first.compressor is second.compressor
    assert first.postprocess_nodes(make_nodes(), query_str=QUERY) != second.postprocess_nodes(make_nodes(), query_str=QUERY)
