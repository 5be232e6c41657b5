"""A LlamaIndex retriever whose nodes reach the model with only what the question needs: `SpecPrefillPostprocessor`.

    python examples/llamaindex_postprocessor.py [--scorer bm25]

Needs no language model; in a query engine the same postprocessor stands between retriever and model:
`index.as_query_engine(llm=..., node_postprocessors=[SpecPrefillPostprocessor(compressor)])`.
"""

from __future__ import annotations

import argparse
from pydoc_data.topics import topics

from llama_index.core import SummaryIndex
from llama_index.core.schema import TextNode

from specprefill_agents import CompressionConfig, Compressor
from specprefill_llamaindex import SpecPrefillPostprocessor

QUESTION = "What becomes of an exception when the finally clause executes a return statement?"
CHAPTERS = ("assert", "for", "raise", "try", "while", "with")


def main() -> None:
    """Retrieve chapters of Python's reference manual, compress them together, and show what is left."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scorer", default="fused", help="what ranks the sentences; bm25 needs no draft model (default %(default)s)")
    compressor = Compressor(config=CompressionConfig(keep_ratio=0.1, scorer=parser.parse_args().scorer))
    index = SummaryIndex([TextNode(id_=name, text=str(topics[name])) for name in CHAPTERS])
    found = index.as_retriever().retrieve(QUESTION)
    kept = SpecPrefillPostprocessor(compressor).postprocess_nodes(found, query_str=QUESTION)
    for node in kept:
        print(f"--- {node.node_id}\n{node.text}\n")
    before, after = (sum(compressor.counter.count(node.text) for node in nodes) for nodes in (found, kept))
    print(f"{len(found)} nodes -> {len(kept)}, {before:,} -> {after:,} tokens")


if __name__ == "__main__":
    main()
