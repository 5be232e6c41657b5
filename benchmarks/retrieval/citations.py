"""Does a citation still lead to its document? A real CitationQueryEngine, whose model's decision alone is scripted.

The model quotes the first source that shows a piece of the supporting text, and cites its number; what the number leads
to is the engine's doing: which nodes it makes of those that come out of the postprocessors, and what they know of where
they are from.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import CompletionResponse, CompletionResponseGen, LLMMetadata
from llama_index.core.bridge.pydantic import Field
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import CitationQueryEngine
from llama_index.core.retrievers import BaseRetriever

from benchmarks.data import Question
from benchmarks.metrics import FoldedText
from benchmarks.peers.words import shows
from benchmarks.retrieval.corpus import gold, node_id
from specprefill_llamaindex import NODE_ID_KEY

METRICS = ("cited", "document", "node", "retrieved")
"""Whether a source was cited; of those, whether its document, and its node, is a gold one; whether a gold one was retrieved."""

NOTHING = "None of the sources says that."
_SOURCE = re.compile(r"^Source (\d+):\n(.*?)(?=^Source \d+:\n|^------$)", re.MULTILINE | re.DOTALL)
_CITED = re.compile(r"\[(\d+)\]$")


class QuotingLLM(CustomLLM):
    """Answers with the first of `wanted` that a numbered source of the prompt shows, and that source's number."""

    wanted: list[str] = Field(default_factory=list)

    @property
    def metadata(self) -> LLMMetadata:
        """A window in which all sources fit at once."""
        return LLMMetadata(context_window=200_000, num_output=256)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The quotation with its citation."""
        # The template shows an example with sources of its own before the real ones.
        sources = _SOURCE.findall(prompt.partition("\n------\n")[2] or prompt)
        for number, text in sources:
            folded = [FoldedText(text)]
            for wanted in self.wanted:
                if shows(folded, [wanted]):
                    return CompletionResponse(text=f'"{wanted}" [{number}]')
        return CompletionResponse(text=NOTHING)

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """As `complete`, in one piece."""
        yield self.complete(prompt, formatted, **kwargs)


def citation_metrics(
    question: Question, retriever: BaseRetriever, postprocessors: Sequence[BaseNodePostprocessor]
) -> dict[str, float | None]:
    """The metrics of one question; `document` and `node` are None where nothing was cited.

    A node is known by what the postprocessor notes of it: without one, the engine's chunks have ids of their own alone.
    """
    wanted = [text for needle in question.needles if needle.kind == "evidence" for text in needle.alternatives]
    engine = CitationQueryEngine(
        retriever, llm=QuotingLLM(wanted=wanted), node_postprocessors=list(postprocessors), citation_chunk_size=512
    )
    response = engine.query(question.query)
    right = gold(question)
    retrieved = any(found.node.ref_doc_id in right for found in retriever.retrieve(question.query))
    cited = _CITED.search(str(response))
    if cited is None:
        return {"cited": 0.0, "document": None, "node": None, "retrieved": float(retrieved)}
    source = response.source_nodes[int(cited[1]) - 1].node
    known = source.metadata.get(NODE_ID_KEY, source.node_id)
    return {
        "cited": 1.0,
        "document": float(source.ref_doc_id in right),
        "node": float(known in {node_id(document) for document in right}),
        "retrieved": float(retrieved),
    }
