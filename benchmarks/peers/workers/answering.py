"""How every worker talks: JSON lines in, JSON lines out, a greeting first. Imports nothing of this project."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any, TextIO

Compress = Callable[[dict[str, Any]], tuple[str, float]]
"""A request -> the text, and the seconds that the peer would have needed besides for what was remembered of an earlier request."""

FIRST = {
    "contexts": ["The first sentence is short. The second one is longer."],
    "question": "Which?",
    "budget_tokens": 6,
    "context_tokens": 12,
}


def own_stdout() -> TextIO:
    """The pipe to the caller. Whatever a library prints from here on goes to standard error."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return pipe


def share_of(request: dict[str, Any]) -> float:
    """The share of the texts that may be kept, in (0, 1]: of the shortest text at least a token."""
    return float(max(1, request["budget_tokens"]) / max(1, request["context_tokens"]))


def answer(compress: Compress, request: dict[str, Any]) -> dict[str, Any]:
    """The reply to one request; what the peer raises becomes an error in it."""
    started = time.perf_counter()
    text = error = None
    spared = 0.0
    try:
        text, spared = compress(request)
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"[:300]
    return {"text": text, "error": error, "seconds": round(time.perf_counter() - started + spared, 4)}


def serve(pipe: TextIO, compress: Compress, packages: Sequence[str] = ()) -> None:
    """Greet with the versions of `packages`, then answer requests until the input ends.

    A text is compressed before the greeting: what a peer loads at its first call is no part of any reply's time.
    """
    answer(compress, FIRST)
    print(json.dumps({"ready": {name: metadata.version(name) for name in packages}}), file=pipe)
    for line in sys.stdin:
        print(json.dumps(answer(compress, json.loads(line))), file=pipe)
