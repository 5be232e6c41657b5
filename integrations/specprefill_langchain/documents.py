"""SpecPrefillDocumentCompressor: what a query needs of retrieved documents, one document out per document kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables.config import run_in_executor
from pydantic import ConfigDict, Field, PrivateAttr
from typing_extensions import override

from specprefill_agents.compressor import Compressor
from specprefill_agents.selection.units import rank_prior
from specprefill_agents.types import CompressedSegment, Segment
from specprefill_langchain.step import failed
from specprefill_langchain.threads import ContextPool

KEY = "specprefill"
"""Metadata key of a compressed document."""


class SpecPrefillDocumentCompressor(BaseDocumentCompressor):
    """Keeps the spans of retrieved documents that the query attends to, all documents sharing one budget in target tokens.

    Ids, metadata and order stay; the documents that come in are never changed. When anything is left out, each document
    that shared the budget is a copy whose `page_content` shows its kept spans, with `metadata["specprefill"]` holding their
    character ranges in the original as `spans`, `original_tokens`, `kept_tokens`, and as `score` what its best unit is worth
    for the query beside those of the other documents; otherwise the very documents come back. Empty documents and ones that
    were compressed before pass unchanged, and so do all when a part fails.

    A document counts for more the further to the front it stands (`config.prior_weight`), since the order is the retriever's.
    `drop_empty` leaves out documents of which nothing is kept; otherwise they stay with empty text. `top_n` returns only
    the first so many of what is left, in the order of the retriever, whose ranking it is. In asynchronous calls the draft
    works in one thread of this instance. Raises only where the compressor's `on_error` is "raise".
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    compressor: Compressor = Field(exclude=True)
    top_n: int | None = Field(default=None, ge=1)
    drop_empty: bool = True
    _worker: ContextPool = PrivateAttr(default_factory=lambda: ContextPool(thread_name_prefix="specprefill-documents"))

    @override
    def compress_documents(self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None) -> list[Document]:
        """The documents as the model should read them. Blocks while the draft reads what is new."""
        try:
            decided = self._decide(documents, query)
        except Exception as error:
            if self.compressor.config.on_error == "raise":
                raise
            failed(self.compressor, "compressing documents", error)
            decided = {}
        kept = [
            document if one is None else _compressed(document, one)
            for document, one in ((document, decided.get(index)) for index, document in enumerate(documents))
            if one is None or one.spans or not self.drop_empty
        ]
        return kept[: self.top_n]

    @override
    async def acompress_documents(self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None) -> list[Document]:
        """As `compress_documents`, with the work done in this instance's one worker thread."""
        return await run_in_executor(self._worker, self.compress_documents, documents, query, callbacks)

    def _decide(self, documents: Sequence[Document], query: str) -> Mapping[int, CompressedSegment]:
        """Index of each document that shared the budget -> what is kept of it; nothing when no document was shortened."""
        indexes = [index for index, document in enumerate(documents) if document.page_content and KEY not in document.metadata]
        segments = [
            Segment(documents[index].page_content, "document", id=documents[index].id, prior=rank_prior(index)) for index in indexes
        ]
        result = self.compressor.compress(segments, query)
        if all(one.outcome != "compressed" for one in result.segments):
            return {}
        return {index: one for index, one in zip(indexes, result.segments, strict=True) if one.outcome != "protected"}


def _compressed(document: Document, one: CompressedSegment) -> Document:
    about = {
        "spans": [list(span) for span in one.spans],
        "score": one.score,
        "original_tokens": one.original_tokens,
        "kept_tokens": one.kept_tokens,
    }
    return document.model_copy(update={"page_content": one.text, "metadata": {**document.metadata, KEY: about}})
