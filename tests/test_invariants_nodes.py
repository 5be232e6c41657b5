"""Invariants 1, 2, 4 and 5 for LlamaIndex: one node out per node in, in order, and only the text of text nodes is cut.

By hand with 50,000 examples each: `pytest --hypothesis-profile=thorough tests/test_invariants_nodes.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from random import Random

from hypothesis import given
from llama_index.core.schema import (
    Document,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    NodeWithScore,
    RelatedNodeInfo,
    TextNode,
)

from specprefill_llamaindex import NODE_ID_KEY, SPANS_KEY, TOKENS_KEY, SpecPrefillPostprocessor
from tests.invariants import SOME, compressor, counter
from tests.kinds import SEEDS
from tests.strategies import SIZES, any_query, any_text

RATIOS = (0.1, 0.3, 0.6)
CHANGED = {"text", "text_resource", "metadata", "excluded_llm_metadata_keys", "excluded_embed_metadata_keys"}
"""Fields in which a compressed node may differ."""
ADDED = {NODE_ID_KEY, SPANS_KEY, TOKENS_KEY}
"""What its metadata has besides what was there."""


@cache
def postprocessor(ratio: float, *, enabled: bool = True, drop_empty: bool = False) -> SpecPrefillPostprocessor:
    return SpecPrefillPostprocessor(compressor(ratio, scorer="bm25", enabled=enabled), drop_empty=drop_empty)


def nodes_of(seed: int, size: int) -> list[NodeWithScore]:
    """One to four nodes of every class, most of them text nodes."""
    source = Random(seed)
    count = source.choice((1, 2, 2, 3))
    return [NodeWithScore(node=_node(source, f"node-{at}", size // count), score=source.random()) for at in range(count)]


def _node(source: Random, node_id: str, size: int) -> TextNode | Node:
    text, metadata = any_text(source, size), {"title": any_query(source), "page": source.randrange(9)}
    what = source.randrange(12)
    if what == 0:
        return ImageNode(id_=node_id, text=text, metadata=metadata, image_url="https://example.org/a.png")
    if what == 1:
        return IndexNode(id_=node_id, text=text, metadata=metadata, index_id="other")
    if what == 2:
        return TextNode(id_=node_id, text=text, metadata={**metadata, SPANS_KEY: [[0, 1]]})
    if what == 3:
        picture = MediaResource(data=b"x") if source.random() < 0.5 else None
        return Node(id_=node_id, text_resource=MediaResource(text=text), image_resource=picture, metadata=metadata)
    if what == 4:
        return Document(id_=node_id, text=text, metadata=metadata)
    related = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="book", metadata={"shelf": 4})}
    return TextNode(id_=node_id, text=text, metadata=metadata, relationships=related, start_char_idx=10, embedding=[0.5])


def text_of(node: NodeWithScore) -> str:
    return node.node.get_content(MetadataMode.NONE)


def may_be_cut(node: NodeWithScore) -> bool:
    plain = not isinstance(node.node, (ImageNode, IndexNode)) and getattr(node.node, "image_resource", None) is None
    return plain and SPANS_KEY not in node.metadata and text_of(node).strip() != ""


@SOME
@given(SEEDS, SIZES)
def test_invariants_5_4_and_2_ids_order_and_count_of_nodes_stay_and_only_text_is_cut_within_the_budget(seed: int, size: int) -> None:
    given_, untouched = nodes_of(seed, size), nodes_of(seed, size)
    source = Random(seed + 1)
    ratio, query = source.choice(RATIOS), any_query(source)
    out = postprocessor(ratio).postprocess_nodes(given_, query_str=query)
    assert given_ == untouched, "nothing that came in was changed"
    assert [node.node_id for node in out] == [node.node_id for node in given_]
    for was, now in zip(given_, out, strict=True):
        if now is not was:
            assert may_be_cut(was)
            assert (type(now.node), now.score) == (type(was.node), was.score)
            assert (
                now.node.model_copy(update={name: getattr(was.node, name) for name in CHANGED & set(type(was.node).model_fields)})
                == was.node
            )
            assert {key: value for key, value in now.metadata.items() if key not in ADDED} == was.metadata
    fits(given_, out, ratio)
    if seed % 3 == 0:
        dropped = postprocessor(ratio, drop_empty=True).postprocess_nodes(given_, query_str=query)
        assert [node.node_id for node in dropped] == [n.node_id for n in out if text_of(n) or n.metadata.get(SPANS_KEY) != []]
    off = postprocessor(1.0) if seed % 2 else postprocessor(ratio, enabled=False)
    assert all(now is was for now, was in zip(off.postprocess_nodes(given_, query_str=query), given_, strict=True))


def fits(given_: Sequence[NodeWithScore], out: Sequence[NodeWithScore], ratio: float) -> None:
    """What may be cut has together at most its share of tokens left."""
    open_to = [at for at, node in enumerate(given_) if may_be_cut(node)]
    before, after = (sum(counter().count(text_of(nodes[at])) for at in open_to) for nodes in (given_, out))
    assert after <= int(ratio * before)
