"""LlamaIndex nodes of which one answers a question, a retriever of them, and postprocessors that need no model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import MetadataMode, NodeRelationship, NodeWithScore, QueryBundle, RelatedNodeInfo, TextNode

from specprefill_llamaindex import SpecPrefillPostprocessor

LEXICAL = {"scorer": "bm25", "min_tokens": 0, "target_tokenizer": "o200k_base"}
QUERY = "Who discovered the element polonium?"
NEEDLE = "The element polonium was discovered by Marie and Pierre Curie in July 1898."


def filler(topic: str, sentences: int = 12) -> str:
    return " ".join(f"Note {i} on {topic} says that nothing of interest happened in the year {1700 + i}." for i in range(sentences))


def make_nodes(count: int = 6, needle_in: int = 3) -> list[NodeWithScore]:
    nodes = []
    for i in range(count):
        before, after = filler(f"gardens {i}", 6), filler(f"harbours {i}", 6)
        text = f"{before} {NEEDLE} {after}" if i == needle_in else f"{before} {after}"
        node = TextNode(
            id_=f"node-{i}",
            text=text,
            metadata={"title": f"Chapter {i}", "page": i},
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="book", metadata={"shelf": 4})},
            embedding=[0.1, 0.2],
            start_char_idx=1000 * i,
        )
        nodes.append(NodeWithScore(node=node, score=1.0 - i / 10))
    return nodes


def make(**settings: Any) -> SpecPrefillPostprocessor:
    own = {name: settings.pop(name) for name in ("top_n", "joint", "drop_empty", "compressor") if name in settings}
    return SpecPrefillPostprocessor(config={**LEXICAL, "keep_ratio": 0.3, **settings}, **own)


def texts(nodes: Sequence[NodeWithScore]) -> list[str]:
    return [node.get_content(MetadataMode.NONE) for node in nodes]


class FixedRetriever(BaseRetriever):
    """Gives the same nodes whatever is asked."""

    def __init__(self, nodes: list[NodeWithScore]) -> None:
        super().__init__()
        self._nodes = nodes

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return list(self._nodes)
