"""Documents of which one answers a question, and a retriever that ranks them."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

QUERY = "Who discovered the element polonium?"
NEEDLE = "The element polonium was discovered by Marie and Pierre Curie in July 1898."


def make_documents(count: int = 6, needle_in: int = 3) -> list[Document]:
    documents = []
    for i in range(count):
        notes = [f"Note {n} on gardens and harbours says that nothing of interest happened in {1700 + n}." for n in range(12)]
        notes[6:6] = [NEEDLE] if i == needle_in else []
        documents.append(Document(" ".join(notes), id=f"d{i}", metadata={"title": f"Chapter {i}", "pages": [i, i + 1]}))
    return documents


class Overlap(BaseRetriever):
    """Ranks documents by the words that they share with the query."""

    documents: list[Document]
    k: int = 4

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None) -> list[Document]:
        words = set(query.lower().split())
        ranked = sorted(self.documents, key=lambda document: -len(words & set(document.page_content.lower().split())))
        return ranked[: k or self.k]


def joined(documents: Sequence[Document]) -> str:
    return "\n\n".join(document.page_content for document in documents)
