"""All passages of a question set as one corpus, and a BM25 retriever over it: distractors are what a search really finds.

In the sets themselves each question comes with passages of its own; here they are documents of one index.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from llama_index.core.schema import Document, NodeRelationship, NodeWithScore, RelatedNodeInfo, TextNode
from llama_index.retrievers.bm25 import BM25Retriever

from benchmarks.data import Question
from benchmarks.metrics import FoldedText
from benchmarks.peers.words import shows


@dataclass(frozen=True, slots=True)
class Corpus:
    """Passages of a set, each once: a document, and the one node made of it."""

    documents: tuple[Document, ...]
    nodes: tuple[TextNode, ...]

    def retriever(self, top_k: int) -> BM25Retriever:
        """Finds the `top_k` nodes that BM25 ranks first."""
        return BM25Retriever.from_defaults(nodes=list(self.nodes), similarity_top_k=top_k)


def corpus_of(questions: Sequence[Question]) -> Corpus:
    """The corpus of all passages of `questions`."""
    passages = {segment.text: segment.name or "" for question in questions for segment in question.segments}
    documents = tuple(Document(text=text, id_=document_id(text), metadata={"title": title}) for text, title in passages.items())
    return Corpus(documents, tuple(_node(document) for document in documents))


def document_id(text: str) -> str:
    """The id of the document with this passage."""
    return f"document-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def node_id(document: str) -> str:
    """The id of the node made of a document."""
    return document.replace("document", "node", 1)


def gold(question: Question) -> frozenset[str]:
    """Ids of the documents in which supporting text of a question stands."""
    evidence = [needle for needle in question.needles if needle.kind == "evidence"]
    return frozenset(
        document_id(segment.text)
        for segment in question.segments
        if any(shows([FoldedText(segment.text)], needle.alternatives) for needle in evidence)
    )


def copies(found: Sequence[NodeWithScore]) -> list[NodeWithScore]:
    """Nodes that a postprocessor may change."""
    return [NodeWithScore(node=one.node.model_copy(deep=True), score=one.score) for one in found]


def _node(document: Document) -> TextNode:
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=document.node_id)}
    keys = list(document.metadata)
    return TextNode(
        id_=node_id(document.node_id),
        text=document.text,
        metadata=dict(document.metadata),
        excluded_llm_metadata_keys=keys,
        relationships=source,  # type: ignore[arg-type]
    )
