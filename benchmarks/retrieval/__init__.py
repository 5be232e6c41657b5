"""Retrieval through LlamaIndex: what postprocessors leave of the supporting text, and whether citations still find their source."""
