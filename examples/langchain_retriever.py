"""A LangChain retriever that gives back only what the question needs: `ContextualCompressionRetriever` of langchain-classic.

    python examples/langchain_retriever.py [--scorer bm25]

Needs no language model, and `pip install langchain-classic`. Ids, order and metadata of the documents stay.
"""

from __future__ import annotations

import argparse
import re
from pydoc_data.topics import topics

from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from specprefill_agents import CompressionConfig, Compressor
from specprefill_langchain import SpecPrefillDocumentCompressor

QUESTION = "Which error comes of a raise statement without an expression when there is no active exception?"


class Manual(BaseRetriever):
    """Chapters of Python's reference manual, by how many words of the question they have for their length."""

    k: int = 4

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        asked = re.compile("|".join(re.findall(r"\w{4,}", query)), re.IGNORECASE)
        chapters = [Document(str(text), id=name, metadata={"chapter": name}) for name, text in topics.items()]
        return sorted(chapters, key=lambda one: -len(asked.findall(one.page_content)) / len(one.page_content))[: self.k]


def main() -> None:
    """Retrieve with and without compression, and show what is left."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scorer", default="fused", help="what ranks the sentences; bm25 reads with no draft (default %(default)s)")
    compressor = Compressor(config=CompressionConfig(keep_ratio=0.15, scorer=parser.parse_args().scorer))
    documents = SpecPrefillDocumentCompressor(compressor=compressor)
    retriever = ContextualCompressionRetriever(base_compressor=documents, base_retriever=Manual())
    found, kept = Manual().invoke(QUESTION), retriever.invoke(QUESTION)
    for document in kept:
        print(f"--- {document.metadata['chapter']}, worth {document.metadata['specprefill']['score']:.2f}\n{document.page_content}\n")
    before, after = (sum(compressor.counter.count(one.page_content) for one in some) for some in (found, kept))
    print(f"{len(found)} documents -> {len(kept)}, {before:,} -> {after:,} tokens")


if __name__ == "__main__":
    main()
