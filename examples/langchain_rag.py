"""A LangChain retrieval chain whose model reads retrieved documents compressed: one step, `| compress |`, in LCEL.

    python examples/langchain_rag.py [--scorer bm25]

With DEEPSEEK_API_KEY set DeepSeek answers; without it the embedded draft does, on this machine, as modestly as a model of
135 million parameters can. So that nothing needs the network, documents are found by the words that they share with the
question; put your own vector store in the place of that.
"""

from __future__ import annotations

import argparse
import math
import os
import re
from pydoc_data.topics import topics
from typing import Any
from zlib import crc32

from langchain.chat_models import init_chat_model
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore

from specprefill_agents import CompressionConfig, Compressor
from specprefill_langchain import ChatLocal, SpecPrefillDocumentCompressor

QUESTION = "In which order are the manager's methods called when a with statement has more than one item?"
PROMPT = ChatPromptTemplate.from_template("{context}\n\nAnswer in one sentence from the text above: {question}")


class SharedWords(Embeddings):
    """Counts of words, hashed into so many places; near where words are shared."""

    places = 4096

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        counts = [0.0] * self.places
        for word in re.findall(r"\w{4,}", text.lower()):
            counts[crc32(word.encode()) % self.places] += 1
        return [math.sqrt(count) for count in counts]


def joined(documents: list[Document]) -> str:
    return "\n\n".join(document.page_content for document in documents)


def main() -> None:
    """Find chapters of Python's reference manual, compress them together, and let the model answer from what is left."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scorer", default="fused", help="what ranks the sentences; bm25 reads with no draft (default %(default)s)")
    compressor = Compressor(config=CompressionConfig(keep_ratio=0.15, scorer=parser.parse_args().scorer))
    documents = SpecPrefillDocumentCompressor(compressor=compressor)
    model = init_chat_model("deepseek:deepseek-flash") if os.environ.get("DEEPSEEK_API_KEY") else ChatLocal(max_tokens=48)
    store = InMemoryVectorStore.from_documents([Document(str(text), id=name) for name, text in topics.items()], SharedWords())

    def compress(found: dict[str, Any]) -> str:
        kept = documents.compress_documents(found["documents"], found["question"])
        before, after = (sum(compressor.counter.count(one.page_content) for one in some) for some in (found["documents"], kept))
        print(f"{joined(list(kept))}\n\n{len(kept)} documents, {before:,} -> {after:,} tokens")
        return joined(list(kept))

    found = {"documents": store.as_retriever(search_kwargs={"k": 4}), "question": RunnablePassthrough()}
    chain = found | RunnablePassthrough.assign(context=RunnableLambda(compress)) | PROMPT | model | StrOutputParser()
    print(f"Answer: {chain.invoke(QUESTION)}")


if __name__ == "__main__":
    main()
