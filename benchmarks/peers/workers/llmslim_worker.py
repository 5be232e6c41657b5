"""Drives LLMSlim inside its own environment. Imports nothing of this project.

Retrieved documents go to `compress_documents`, which gives all of them one budget; a single text goes to it too, and is then
compressed alone. Its own tokens are those of tiktoken's cl100k_base.
"""

from __future__ import annotations

from typing import Any

from answering import own_stdout, serve, share_of  # type: ignore[import-not-found]
from llmslim import compress_documents  # type: ignore[import-not-found]

PACKAGES = ("llmslim", "tiktoken", "scikit-learn")


def compress(request: dict[str, Any]) -> tuple[str, float]:
    """The reply to one request."""
    found = compress_documents(request["contexts"], query=request["question"], target_ratio=share_of(request))
    return "\n\n".join(one.compressed_text for one in found if one.compressed_text), 0.0


if __name__ == "__main__":
    serve(own_stdout(), compress, PACKAGES)
