"""`SpecPrefillPostprocessor` in a `QueryPipeline`, which llama-index-core has up to 0.12.52.

    pip install specprefill-agents 'llama-index-core==0.12.52.post1'
    python examples/llamaindex_query_pipeline.py [--scorer bm25]

Later versions have no QueryPipeline. There the same postprocessor stands in a query engine
(`examples/llamaindex_postprocessor.py`), or in a step of a `Workflow`: `await postprocessor.apostprocess_nodes(nodes, query_str=...)`.
Needs no language model: `MockLLM` answers with its prompt, which shows what a model would read.
"""

from __future__ import annotations

import argparse
from pydoc_data.topics import topics

from llama_index.core import SummaryIndex, get_response_synthesizer
from llama_index.core.llms import MockLLM
from llama_index.core.query_pipeline import InputComponent, QueryPipeline
from llama_index.core.schema import TextNode

from specprefill_agents import CompressionConfig, Compressor
from specprefill_llamaindex import SpecPrefillPostprocessor

QUESTION = "What becomes of an exception when the finally clause executes a return statement?"
CHAPTERS = ("assert", "for", "raise", "try", "while", "with")


def main() -> None:
    """Retrieve chapters of Python's reference manual, compress them together, and show the prompt they end in."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scorer", default="fused", help="what ranks the sentences; bm25 needs no draft model (default %(default)s)")
    compressor = Compressor(config=CompressionConfig(keep_ratio=0.1, scorer=parser.parse_args().scorer))
    chapters = [TextNode(id_=name, text=str(topics[name])) for name in CHAPTERS]
    pipeline = QueryPipeline(
        modules={
            "input": InputComponent(),
            "retriever": SummaryIndex(chapters).as_retriever(),
            "compress": SpecPrefillPostprocessor(compressor),
            "answer": get_response_synthesizer(llm=MockLLM()),
        }
    )
    pipeline.add_link("input", "retriever", src_key="query_str")
    pipeline.add_link("retriever", "compress", dest_key="nodes")
    pipeline.add_link("input", "compress", src_key="query_str", dest_key="query_str")
    pipeline.add_link("compress", "answer", dest_key="nodes")
    pipeline.add_link("input", "answer", src_key="query_str", dest_key="query_str")

    response = pipeline.run(query_str=QUESTION)
    print(response)
    before, after = (sum(compressor.counter.count(node.text) for node in nodes) for nodes in (chapters, response.source_nodes))
    print(f"{before:,} -> {after:,} tokens")


if __name__ == "__main__":
    main()
