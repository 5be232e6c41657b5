"""SpecPrefillDocumentCompressor in LangChain's ContextualCompressionRetriever, with LangChain's own suite."""

from __future__ import annotations

from typing import Any

from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_tests.integration_tests import RetrieversIntegrationTests

from specprefill_agents import CompressionConfig, Compressor
from specprefill_langchain import SpecPrefillDocumentCompressor
from tests.langchain.retrieved import NEEDLE, QUERY, Overlap, joined, make_documents


class Compressed(ContextualCompressionRetriever):
    """The retriever of LangChain that compresses, with the number of documents as a setting of its own."""

    def __init__(self, documents: list[Document], compressor: SpecPrefillDocumentCompressor, k: int = 4) -> None:
        super().__init__(base_compressor=compressor, base_retriever=Overlap(documents=documents, k=k))


async def test_a_retriever_gives_compressed_documents(compressor: Compressor) -> None:
    retriever = Compressed(make_documents(), SpecPrefillDocumentCompressor(compressor=compressor))
    found = retriever.invoke(QUERY)
    assert found == await retriever.ainvoke(QUERY)
    assert NEEDLE in joined(found)
    assert all("specprefill" in document.metadata for document in found)


class TestStandardRetriever(RetrieversIntegrationTests):
    """LangChain's own suite, on a retriever whose documents are compressed."""

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return Compressed

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        config = CompressionConfig(scorer="bm25", min_tokens=0, min_result_tokens=0, keep_ratio=0.3, target_tokenizer="o200k_base")
        # The suite counts documents, so those of which nothing is kept stay.
        compressor = SpecPrefillDocumentCompressor(compressor=Compressor(config=config, cache="memory"), drop_empty=False)
        return {"documents": make_documents(), "compressor": compressor}

    @property
    def retriever_query_example(self) -> str:
        return QUERY
